//! One queue: a thread with a ring of its own that takes requests from the driver, moves data between the tags'
//! buffers (or the pages that the driver has registered) and the data file, and polls the cold way's futures.
//!
//! libublk's [`UblkQueue`] maps the driver's descriptors and speaks its commands; its async runtime is not used: a
//! state machine a tag ([`crate::tags`]) needs no task, no slab and no executor, and [`crate::wake`] can wake it.
//!
//! A turn of the loop is one `io_uring_enter`: it submits what the last turn queued (commits, data) and waits for
//! the next completions.
//!
//! Invariant: the thread ends only when no data is in flight; buffers are freed only if the driver has let go too.
//! Invariant: a queue of which the driver still has commands is not dropped (libublk's drop would wait for them for
//! ever): it is forgotten, and its [`Mapping`] goes once the thread's ring is gone.

use std::cell::RefCell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use io_uring::IoUring;
use libublk::io::{UblkDev, UblkQueue, ublk_init_task_ring, with_task_io_ring_mut};
use libublk::{UblkError as LibError, sys};
use wandisk_io::{Disk, Lane};

use crate::request::{Bounds, Request};
use crate::sys::{Buffers, Completion, Mapping, poll_eventfd};
use crate::tags::{Part, Port, Tags};
use crate::wake::Wakeups;

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const EBUSY: i32 = 16;

/// What a queue is made of.
#[derive(Debug)]
pub(crate) struct Plan<D> {
    pub(crate) number: u16,
    pub(crate) lane: Lane,
    pub(crate) disk: Arc<D>,
    pub(crate) wakeups: Arc<Wakeups>,
    /// Told whether the driver has been asked for requests.
    pub(crate) ready: Sender<bool>,
}

/// How a queue ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The driver took all commands back: the device was stopped.
    Stopped,
    /// It was told to leave the device as it is.
    Left,
    /// The ring failed; requests of this queue are left to the driver.
    Failed(io::Error),
}

struct RingPort<'a, 'd> {
    queue: &'a UblkQueue<'d>,
    buffers: &'a Buffers,
}

impl Port for RingPort<'_, '_> {
    fn start(&mut self, tag: u16, part: Part) -> bool {
        self.buffers.start(tag, part)
    }

    fn commit(&mut self, tag: u16, result: i32) {
        self.buffers.commit(self.queue, tag, result);
    }
}

/// Serves one queue until the device is stopped. Runs on the queue's own thread.
///
/// # Errors
/// If the queue could not be set up; then the driver was told of no buffer.
pub(crate) fn serve<D: Disk>(dev: &UblkDev, plan: &Plan<D>) -> io::Result<(Ended, Option<Mapping>)> {
    let (depth, max_io) = (dev.dev_info.queue_depth, dev.dev_info.max_io_buf_bytes);
    init_ring(depth)?;
    let queue = UblkQueue::new(plan.number, dev).map_err(io_error)?;
    let buffers = Buffers::new(&dev.dev_info);
    // Not dropped while a panic unwinds, either.
    let queue = ManuallyDrop::new(buffers.fetch(queue).map_err(io_error)?);
    plan.ready.send(true).ok();
    let mut tags = Tags::new(&plan.disk, plan.lane, depth, &plan.wakeups);
    let bounds = Bounds { size: plan.disk.geometry().size_bytes, max_io };
    let mut port = RingPort { queue: &queue, buffers: &buffers };

    let mut armed = false;
    let ended = loop {
        if !armed && !queue.is_stopping() {
            armed = poll_eventfd(plan.wakeups.eventfd());
        }
        let turn = queue.flush_and_wake_io_tasks(
            |data, cqe, _| match Completion::of(data) {
                Completion::Driver(tag) => {
                    // Anything else is an abort, which libublk counts.
                    if cqe.result() == sys::UBLK_IO_RES_OK.cast_signed() {
                        tags.request(&mut port, tag, Request::decode(queue.get_iod(tag), bounds));
                    }
                }
                Completion::Data(tag) => tags.moved(&mut port, tag, cqe.result()),
                Completion::Wake => {
                    armed = false;
                    plan.wakeups.take(|tag| tags.poll(&mut port, tag));
                }
            },
            1,
        );
        match turn {
            Ok(_) if plan.wakeups.leaves() => break Ended::Left,
            Ok(_) => {}
            Err(LibError::QueueIsDown) => break Ended::Stopped,
            Err(e) => match io_error(e) {
                // A signal, or completions that have to be taken before more can be submitted.
                e if matches!(e.raw_os_error(), Some(EINTR | EAGAIN | EBUSY)) => {}
                e => break Ended::Failed(e),
            },
        }
    };
    let quiet = drain(&mut tags, &mut port);
    drop(tags);
    let queue = ManuallyDrop::into_inner(queue);
    if !matches!(ended, Ended::Stopped) {
        return Ok((ended, Some(Mapping::take(queue))));
    }
    drop(queue);
    if quiet {
        buffers.free();
    }
    Ok((ended, None))
}

/// Waits for data in flight after the queue went down; `false` if the ring does not allow it.
fn drain<D: Disk>(tags: &mut Tags<'_, D>, port: &mut RingPort<'_, '_>) -> bool {
    while tags.moving() > 0 {
        let waited = with_task_io_ring_mut(|ring| ring.submit_and_wait(1));
        match waited {
            Err(e) if !matches!(e.raw_os_error(), Some(EINTR | EAGAIN | EBUSY)) => {
                tracing::error!(error = %e, "a ublk queue cannot wait for its last requests");
                return false;
            }
            _ => {}
        }
        while let Some(cqe) = with_task_io_ring_mut(|ring| ring.completion().next()) {
            if let Completion::Data(tag) = Completion::of(cqe.user_data()) {
                tags.moved(port, tag, cqe.result());
            }
        }
    }
    true
}

/// The thread's ring, with room for all tags at once: a tag has one command or one move of data in flight.
fn init_ring(depth: u16) -> io::Result<()> {
    const OTHERS: u32 = 8;
    let entries = (u32::from(depth) + OTHERS).next_power_of_two();
    // Only this thread submits, and it runs the kernel's side of its requests when it waits, not when interrupted
    // (Linux 6.1); else as libublk's own ring.
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(entries)
        .or_else(|_| IoUring::builder().setup_coop_taskrun().build(entries))?;
    ublk_init_task_ring(|cell| cell.set(RefCell::new(ring)).map_err(|_| LibError::OtherError(-EBUSY)))
        .map_err(io_error)
}

/// libublk's error as the errno it holds.
pub(crate) fn io_error(e: LibError) -> io::Error {
    match e {
        LibError::IOError(e) => e,
        LibError::OtherError(n) | LibError::UringIOError(n) if n < 0 => io::Error::from_raw_os_error(-n),
        e => io::Error::other(e),
    }
}

/// The data file as the ring's table of files wants it.
pub(crate) fn data_fd<D: Disk>(disk: &D) -> i32 {
    disk.data().as_raw_fd()
}
