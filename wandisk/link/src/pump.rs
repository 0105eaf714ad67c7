//! Carries bytes between an SSH channel and a local socket pair, on a thread of its own.
//!
//! libssh2 is one state machine under one lock, so both directions share the thread: nothing here blocks but `poll`,
//! and neither direction waits for the other. Three traps, found by
//! reading libssh2; each can stop a link:
//!
//! - Any call may drain the socket into libssh2's own queue. Before sleeping, that queue is looked at: `poll` does
//!   not see it.
//! - A packet that the socket took only in part has to be offered again by the call that made it. Calls whose packet
//!   lives on the C stack (end of file, keepalive) are made only when the socket has room.
//! - Where the far side's window holds us up, room in the socket is no help: then only input is waited for.
//!
//! Memory: one buffer each way, and what the far side may send unasked ([`crate::ssh::WINDOW`]).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, Session};

use crate::tail::Tail;

/// Bytes carried at a time in each direction.
const BUFFER: usize = 256 << 10;
/// Quiet for this long: a word is sent, so that firewalls do not forget the connection. A dead host is noticed by TCP.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Longest sleep: the far side's own keepalives are answered this often even when nobody reads from us.
const TICK: Duration = Duration::from_secs(1);
/// Sleep when bytes may be in libssh2's queue.
const SHORT: Duration = Duration::from_millis(2);
/// What was written before our side was dropped is carried for this long.
const LAST: Duration = Duration::from_secs(1);
/// Waiting for the far program's exit code, and for the far side to close.
const GOODBYE_MS: u32 = 500;

/// One link's pump.
pub(crate) struct Pump {
    session: Session,
    socket: TcpStream,
    channel: Channel,
    local: UnixStream,
    tail: Tail,
    heard: Instant,
    /// The last round left a packet half sent.
    wants_out: bool,
    /// Our side was dropped.
    dropped: Option<Instant>,
    told_end: bool,
}

/// Bytes read from one side that the other has not taken yet.
struct Held {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
}

impl Held {
    fn new() -> Held {
        Held { bytes: vec![0; BUFFER], from: 0, to: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn wants(&self) -> bool {
        self.is_empty() && !self.ended
    }

    /// Reads if empty: how much, `None` for not now.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<Option<usize>> {
        if !self.wants() {
            return Ok(None);
        }
        let read = later(from.read(&mut self.bytes))?;
        (self.from, self.to) = (0, read.unwrap_or(0));
        Ok(read)
    }

    /// Writes until empty or not now; did anything move?
    fn drain(&mut self, to: &mut impl Write) -> io::Result<bool> {
        let before = self.from;
        while !self.is_empty() {
            match later(to.write(&self.bytes[self.from..self.to]))? {
                // libssh2 says 0 too where the window is closed.
                None | Some(0) => break,
                Some(n) => self.from += n,
            }
        }
        Ok(self.from != before)
    }
}

/// "Would block" is no error.
fn later(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}

impl Pump {
    /// Of a session that is not blocking; `socket` is its socket, to wait on.
    pub(crate) fn new(
        session: Session,
        socket: TcpStream,
        channel: Channel,
        local: UnixStream,
        tail: Tail,
    ) -> Pump {
        let heard = Instant::now();
        let (wants_out, dropped, told_end) = (false, None, false);
        Pump { session, socket, channel, local, tail, heard, wants_out, dropped, told_end }
    }

    /// Carries until one side ends.
    pub(crate) fn run(mut self) {
        let ended = self.carry();
        self.session.set_blocking(true);
        self.session.set_timeout(GOODBYE_MS);
        let exit_code = match ended {
            Ok(()) => self.exit_code(),
            Err(e) => {
                tracing::debug!(error = %e, "an ssh link broke");
                self.tail.push(format!("\nthe ssh connection broke: {e}\n").as_bytes());
                None
            }
        };
        // First the reason, then the end: whoever reads the end can ask why.
        self.tail.finish(exit_code);
        self.local.shutdown(Shutdown::Both).ok();
        self.channel.close().ok();
        self.session.disconnect(None, "done", None).ok();
    }

    /// Zero is what libssh2 says also where it was not told: that is "not known".
    fn exit_code(&mut self) -> Option<i32> {
        self.channel.wait_close().ok();
        let signal = self.channel.exit_signal().ok().and_then(|exit| exit.exit_signal);
        if let Some(signal) = signal {
            self.tail.push(format!("\nended by signal {signal}\n").as_bytes());
        }
        self.channel.exit_status().ok().filter(|code| *code != 0)
    }

    fn carry(&mut self) -> io::Result<()> {
        let (mut inward, mut outward) = (Held::new(), Held::new());
        let mut looked_again = false;
        loop {
            self.wants_out = false;
            let mut moved = self.read_channel(&mut inward)?;
            moved |= self.write_local(&mut inward);
            moved |= self.read_local(&mut outward)?;
            let drained = outward.drain(&mut self.channel);
            self.note_direction();
            moved |= drained?;
            if outward.ended && outward.is_empty() && !self.told_end && self.has_room()? {
                self.told_end =
                    later(self.channel.send_eof().map(|()| 0).map_err(io::Error::from))?.is_some();
            }
            if inward.ended && inward.is_empty() {
                return Ok(());
            }
            if self.dropped.is_some_and(|at| self.told_end || at.elapsed() >= LAST) {
                return Ok(());
            }
            if moved {
                self.heard = Instant::now();
                looked_again = false;
                continue;
            }
            let queued = inward.wants() && self.channel.read_window().available > 0;
            if queued && !looked_again {
                looked_again = true;
                continue;
            }
            looked_again = false;
            self.wait(&inward, &outward, if queued { SHORT } else { TICK })?;
        }
    }

    /// Remembers whether the last call left a packet half sent.
    fn note_direction(&mut self) {
        self.wants_out |=
            matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
    }

    fn read_channel(&mut self, inward: &mut Held) -> io::Result<bool> {
        let read = inward.fill(&mut self.channel);
        self.note_direction();
        let mut moved = match read? {
            // No bytes of standard output, but of standard error: not the end.
            Some(0) => {
                inward.ended = self.channel.eof();
                inward.ended
            }
            Some(_) => true,
            None => false,
        };
        if self.channel.read_window().available > 0 {
            moved |= self.read_stderr();
        }
        Ok(moved)
    }

    fn read_stderr(&mut self) -> bool {
        let mut buffer = [0u8; 4096];
        let read = self.channel.stderr().read(&mut buffer);
        self.note_direction();
        match read {
            Ok(n @ 1..) => {
                self.tail.push(&buffer[..n]);
                true
            }
            _ => false,
        }
    }

    fn write_local(&mut self, inward: &mut Held) -> bool {
        inward.drain(&mut self.local).unwrap_or_else(|_| {
            // Nobody will read any more; what was written to us may still go.
            self.dropped.get_or_insert_with(Instant::now);
            inward.from = inward.to;
            false
        })
    }

    fn read_local(&mut self, outward: &mut Held) -> io::Result<bool> {
        match outward.fill(&mut self.local) {
            Ok(Some(0)) => {
                outward.ended = true;
                Ok(true)
            }
            Ok(read) => Ok(read.is_some()),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                outward.ended = true;
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    /// Would the socket take a small packet whole?
    fn has_room(&self) -> io::Result<bool> {
        if self.wants_out {
            return Ok(false);
        }
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut fds, Some(&now)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn wait(&mut self, inward: &Held, outward: &Held, at_most: Duration) -> io::Result<()> {
        let end_untold = outward.ended && outward.is_empty() && !self.told_end;
        let mut ssh = PollFlags::empty();
        // With a full buffer and nothing to send, what comes stays in the socket: TCP slows the far side down.
        ssh.set(PollFlags::IN, inward.wants() || !outward.is_empty());
        ssh.set(PollFlags::OUT, self.wants_out || end_untold);
        let mut near = PollFlags::empty();
        near.set(PollFlags::IN, outward.wants());
        near.set(PollFlags::OUT, !inward.is_empty());
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.socket, ssh), PollFd::new(&self.local, near)];
        // A dropped side would wake us for ever.
        let watched = if self.dropped.is_some() { &mut fds[..1] } else { &mut fds[..] };
        let ready = match poll(watched, Some(&timeout)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let hung_up = watched.get(1).is_some_and(|fd| fd.revents().contains(PollFlags::HUP));
        if hung_up {
            self.dropped = Some(Instant::now());
        }
        if ready == 0 && at_most == TICK {
            self.read_stderr();
            if self.heard.elapsed() >= KEEPALIVE && self.has_room()? {
                self.heard = Instant::now();
                self.session.keepalive_send()?;
            }
        }
        Ok(())
    }
}
