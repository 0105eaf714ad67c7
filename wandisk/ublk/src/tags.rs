//! What each tag of a queue is doing: the state machine between the driver, the disk and the queue's ring.
//!
//! ```text
//! Idle ──request──> Moving ──data ended──> (FUA: Finishing) ──> committed, Idle
//!   │                 ^
//!   ├─(cold)─> Preparing ──ticket──┘
//!   └─flush, zero─> Finishing ──> committed, Idle
//! ```
//! No I/O here: the [`Port`] moves data and answers the driver; tests put a fake in its place.
//!
//! Invariant: each request is committed exactly once, after its pass or ticket has been given back.
//! Invariant: on the hot path (Idle → Moving → Idle) nothing is allocated and nothing is locked.
//! Fault model: the engine's futures may fail, never end, or panic; the data file may move less than asked or fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wandisk_io::{Disk, HotMap, IoError, IoFuture, Lane, Op, Pass, Ticket};

use crate::request::{Ask, Request};
use crate::wake::Wakeups;

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOSPC: i32 = 28;
const EFBIG: i32 = 27;
const EDQUOT: i32 = 122;

/// How often in a row the data file may say "interrupted" or "again" before a request fails.
const MAX_RETRIES: u8 = 32;

/// Part of a tag's data to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) op: Op,
    /// Where in the data file, in bytes.
    pub(crate) offset: u64,
    /// Where in the tag's buffer, in bytes.
    pub(crate) at: u32,
    /// How many bytes.
    pub(crate) len: u32,
}

/// The world outside of the tags: the ring, the buffers and the driver.
pub(crate) trait Port {
    /// Starts to move data between the tag's buffer and the data file; ends with [`Tags::moved`].
    /// `false`: could not be started, and will not end.
    fn start(&mut self, tag: u16, part: Part) -> bool;
    /// Answers the driver: bytes moved or a negative errno. The tag is free for the next request.
    fn commit(&mut self, tag: u16, result: i32);
}

/// Leave to touch the data file; given back before the driver is answered.
enum Leave<'d> {
    Hot { _pass: Pass<'d> },
    Cold(Ticket),
}

impl Leave<'_> {
    fn end(self, ok: bool) -> Result<(), IoError> {
        match self {
            Leave::Cold(ticket) => ticket.done(ok),
            Leave::Hot { .. } => Ok(()),
        }
    }
}

enum Step<'d> {
    Idle,
    Preparing(IoFuture<Ticket>),
    Moving(Leave<'d>),
    Finishing(IoFuture<()>),
}

struct Tag<'d> {
    step: Step<'d>,
    op: Op,
    fua: bool,
    retries: u8,
    offset: u64,
    /// Bytes to move; 0 for requests without data.
    len: u32,
    moved: u32,
}

/// The tags of one queue.
pub(crate) struct Tags<'d, D> {
    disk: &'d Arc<D>,
    hot: &'d HotMap,
    lane: Lane,
    tags: Vec<Tag<'d>>,
    wakers: Vec<Waker>,
    wakeups: Arc<Wakeups>,
}

impl<'d, D: Disk> Tags<'d, D> {
    /// `depth` idle tags; requests of the hot path are counted in `lane`.
    pub(crate) fn new(disk: &'d Arc<D>, lane: Lane, depth: u16, wakeups: &Arc<Wakeups>) -> Self {
        let idle =
            || Tag { step: Step::Idle, op: Op::Read, fua: false, retries: 0, offset: 0, len: 0, moved: 0 };
        Tags {
            disk,
            hot: disk.hot(),
            lane,
            tags: (0..depth).map(|_| idle()).collect(),
            wakers: (0..depth).map(|tag| wakeups.waker(tag)).collect(),
            wakeups: Arc::clone(wakeups),
        }
    }

    /// A request has come from the driver, or something that could not be decoded (`Err`: its errno).
    pub(crate) fn request(&mut self, port: &mut impl Port, tag: u16, request: Result<Request, i32>) {
        let Request { ask, offset, len } = match request {
            Ok(request) => request,
            Err(errno) => return port.commit(tag, -errno),
        };
        let (disk, lane) = (self.disk, self.lane);
        let slot = &mut self.tags[usize::from(tag)];
        (slot.offset, slot.moved, slot.retries, slot.fua) = (offset, 0, 0, false);
        let made = match ask {
            Ask::Data { op, fua } => {
                (slot.op, slot.fua) = (op, fua);
                // Checked against the buffer's size by `Request::decode`.
                slot.len = u32::try_from(len).unwrap_or(0);
                if let Some(pass) = self.hot.try_begin(lane, op, offset, len) {
                    slot.step = Step::Moving(Leave::Hot { _pass: pass });
                    return self.start_move(port, tag);
                }
                engine(|| Step::Preparing(Arc::clone(disk).begin(lane, op, offset, len)))
            }
            Ask::Flush => {
                slot.len = 0;
                engine(|| Step::Finishing(Arc::clone(disk).flush()))
            }
            Ask::Zero { mode, fua } => {
                slot.len = 0;
                engine(|| Step::Finishing(zero(Arc::clone(disk), lane, offset, len, mode, fua)))
            }
        };
        match made {
            Ok(step) => slot.step = step,
            Err(e) => return self.finish(port, tag, Err(e.errno())),
        }
        self.poll(port, tag);
    }

    /// The tag's future may have something to say. Harmless for a tag that waits for nothing.
    pub(crate) fn poll(&mut self, port: &mut impl Port, tag: u16) {
        let slot = &mut self.tags[usize::from(tag)];
        let mut cx = Context::from_waker(&self.wakers[usize::from(tag)]);
        let refuse = self.wakeups.refuses_waits();
        match &mut slot.step {
            Step::Idle | Step::Moving(_) => {}
            Step::Preparing(future) => match polled(future, &mut cx, refuse) {
                Poll::Pending => {}
                Poll::Ready(Ok(ticket)) => {
                    slot.step = Step::Moving(Leave::Cold(ticket));
                    self.start_move(port, tag);
                }
                Poll::Ready(Err(e)) => self.finish(port, tag, Err(e.errno())),
            },
            Step::Finishing(future) => {
                if let Poll::Ready(ended) = polled(future, &mut cx, refuse) {
                    self.finish(port, tag, ended.map_err(IoError::errno));
                }
            }
        }
    }

    /// The data file has moved `result` bytes of the tag's part, or failed with a negative errno.
    pub(crate) fn moved(&mut self, port: &mut impl Port, tag: u16, result: i32) {
        let slot = &mut self.tags[usize::from(tag)];
        match result {
            r if r == -EINTR || r == -EAGAIN => {
                slot.retries += 1;
                if slot.retries > MAX_RETRIES {
                    return self.end_move(port, tag, Err(EIO));
                }
                return self.start_move(port, tag);
            }
            r if r < 0 => {
                let (op, errno) = (slot.op, told(-r));
                engine(|| self.disk.failed(op, errno)).ok();
                return self.end_move(port, tag, Err(errno));
            }
            // The image is never shorter than the disk; zeros made up here would hide that it is.
            0 => return self.end_move(port, tag, Err(EIO)),
            r => {
                slot.retries = 0;
                slot.moved = slot.moved.saturating_add(r.unsigned_abs()).min(slot.len);
            }
        }
        if slot.moved < slot.len {
            return self.start_move(port, tag);
        }
        self.end_move(port, tag, Ok(()));
    }

    /// How many tags' data is being moved by the ring right now.
    pub(crate) fn moving(&self) -> usize {
        self.tags.iter().filter(|t| matches!(t.step, Step::Moving(_))).count()
    }

    fn start_move(&mut self, port: &mut impl Port, tag: u16) {
        let slot = &self.tags[usize::from(tag)];
        let part = Part {
            op: slot.op,
            offset: slot.offset + u64::from(slot.moved),
            at: slot.moved,
            len: slot.len - slot.moved,
        };
        if !port.start(tag, part) {
            self.end_move(port, tag, Err(EIO));
        }
    }

    fn end_move(&mut self, port: &mut impl Port, tag: u16, mut ended: Result<(), i32>) {
        let slot = &mut self.tags[usize::from(tag)];
        if let Step::Moving(leave) = std::mem::replace(&mut slot.step, Step::Idle) {
            let noted = engine(|| leave.end(ended.is_ok())).and_then(|noted| noted);
            ended = ended.and(noted.map_err(IoError::errno));
        }
        if ended.is_ok() {
            self.disk.count(self.lane, slot.op, u64::from(slot.len));
            if slot.fua {
                let disk = Arc::clone(self.disk);
                match engine(|| disk.flush()) {
                    Ok(flush) => slot.step = Step::Finishing(flush),
                    Err(e) => return self.finish(port, tag, Err(e.errno())),
                }
                return self.poll(port, tag);
            }
        }
        self.finish(port, tag, ended);
    }

    fn finish(&mut self, port: &mut impl Port, tag: u16, ended: Result<(), i32>) {
        let slot = &mut self.tags[usize::from(tag)];
        slot.step = Step::Idle;
        let result = match ended {
            Ok(()) => i32::try_from(slot.len).unwrap_or(-EIO),
            Err(errno) => -errno,
        };
        port.commit(tag, result);
    }
}

/// Polls a future of the engine; one that would wait fails if `refuse`.
fn polled<T>(future: &mut IoFuture<T>, cx: &mut Context<'_>, refuse: bool) -> Poll<Result<T, IoError>> {
    match engine(|| future.as_mut().poll(cx)).unwrap_or_else(|e| Poll::Ready(Err(e))) {
        Poll::Pending if refuse => Poll::Ready(Err(IoError::TimedOut)),
        polled => polled,
    }
}

/// Zeroes, and makes it durable where that was asked for.
fn zero<D: Disk>(
    disk: Arc<D>,
    lane: Lane,
    offset: u64,
    len: u64,
    mode: wandisk_io::ZeroMode,
    fua: bool,
) -> IoFuture<()> {
    let zeroed = Arc::clone(&disk).zero(lane, offset, len, mode);
    if !fua {
        return zeroed;
    }
    Box::pin(async move {
        zeroed.await?;
        disk.flush().await
    })
}

/// What the driver is told of an errno of the data file.
fn told(errno: i32) -> i32 {
    match errno {
        ENOSPC | EDQUOT | EFBIG => ENOSPC,
        _ => EIO,
    }
}

/// Calls into the engine. A panic there fails one request and not the queue, whose other requests own buffers that
/// the kernel is writing to.
fn engine<T>(call: impl FnOnce() -> T) -> Result<T, IoError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
        tracing::error!("the engine panicked; the request fails with an I/O error");
        IoError::Io
    })
}

#[cfg(test)]
mod tests;
