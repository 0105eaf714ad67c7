//! Carries frames from one TUN device to another over a [`Line`]: a thread a way, by the real clock.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use tun_rs::SyncDevice;

use super::frame;
use super::line::{Counts, Line};

/// A frame with offloads: 64 KiB and its headers.
const LARGEST: usize = (64 << 10) + 256;
/// Frames taken before those that have arrived are looked for again.
const AT_ONCE: usize = 32;
/// How long a pump may not notice that it is to end.
const NOTICE: Duration = Duration::from_millis(100);

/// Packets, or the room for them: each is used again, since fresh memory costs more than the bytes in it.
#[derive(Debug)]
pub(super) struct Frame {
    room: Box<[u8]>,
    length: usize,
}

impl Frame {
    fn new() -> Frame {
        Frame { room: vec![0; LARGEST].into(), length: 0 }
    }
}

/// A way in motion; stopped when dropped.
#[derive(Debug)]
pub(super) struct Pump {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Counts>>>,
}

impl Pump {
    pub(super) fn start(
        from: Arc<SyncDevice>,
        to: Arc<SyncDevice>,
        line: Line<Frame>,
        offload: bool,
    ) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("wan".to_owned())
            .spawn(move || carry(&from, &to, line, offload, &seen))
            .context("cannot start a thread")?;
        Ok(Self { ended, thread: Some(thread) })
    }

    /// Stops; what went through, or what went wrong.
    pub(super) fn stop(mut self) -> Result<Counts> {
        self.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("stopped twice")?;
        thread.join().map_err(|_| anyhow::anyhow!("the WAN's thread panicked"))?
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn carry(
    from: &SyncDevice,
    to: &SyncDevice,
    mut line: Line<Frame>,
    offload: bool,
    ended: &AtomicBool,
) -> Result<Counts> {
    // A real WAN takes no turns with the programs at its ends. Without the right to it, it is later.
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), -15).ok();
    let start = Instant::now();
    let mut spare = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        while let Some(frame) = line.arrived(start.elapsed()) {
            match write(to, &frame.room[..frame.length]) {
                // A namespace that is coming up or going down takes nothing: lost, as on any network.
                Ok(_) | Err(Errno::IO | Errno::NOBUFS | Errno::INVAL | Errno::AGAIN) => {}
                Err(error) => return Err(error).context("cannot write to a TUN device"),
            }
            spare.push(frame);
        }
        if take(from, &mut line, offload, &mut spare, start)? == 0 {
            rest(from, &line, start)?;
        }
    }
    Ok(line.counts())
}

/// Takes frames from the device; how many.
fn take(
    from: &SyncDevice,
    line: &mut Line<Frame>,
    offload: bool,
    spare: &mut Vec<Frame>,
    start: Instant,
) -> Result<usize> {
    for taken in 0..AT_ONCE {
        let mut next = spare.pop().unwrap_or_else(Frame::new);
        next.length = match read(from, &mut *next.room) {
            Ok(length) => length,
            Err(error) => {
                spare.push(next);
                // EIO: the device is down.
                let down = matches!(error, Errno::AGAIN | Errno::IO | Errno::INTR);
                return if down { Ok(taken) } else { Err(error).context("cannot read a TUN device") };
            }
        };
        let packets = &next.room[..next.length];
        let bytes = if offload { frame::wire_bytes(packets) } else { u64::try_from(next.length).ok() };
        if let Some(bytes) = bytes {
            line.offer(start.elapsed(), bytes, next);
        }
    }
    Ok(AT_ONCE)
}

/// Waits for a frame, the next arrival, or the time to look whether this is the end.
fn rest(from: &SyncDevice, line: &Line<Frame>, start: Instant) -> Result<()> {
    let left = line.next_arrival().map_or(NOTICE, |at| at.saturating_sub(start.elapsed())).min(NOTICE);
    let left = Timespec::try_from(left).context("a wait is too long")?;
    match poll(&mut [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)], Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for a TUN device"),
    }
}
