//! What a front-end asks of the engine.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::gate::Lane;
use crate::hot::{HotMap, Op};

/// A future of the cold way. It may be awaited on any executor: the work behind it runs on the engine's own
/// and goes on if the future is dropped.
pub type IoFuture<T> = BoxFuture<'static, Result<T, IoError>>;

/// Why a request failed; each maps to one errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IoError {
    /// The store or a fetched chunk is bad, or the disk is poisoned.
    #[error("input/output error")]
    Io,
    /// The store has no space left.
    #[error("no space left on the store's filesystem")]
    NoSpace,
    /// A write to a disk attached read-only.
    #[error("the disk is attached read-only")]
    ReadOnly,
    /// The disk is not resident here (a standby, or handed over).
    #[error("the disk is not resident at this site")]
    NotResident,
    /// No holder of a chunk answered inside the fetch time-out.
    #[error("no holder of the chunk answered in time")]
    TimedOut,
    /// The range is outside the disk, or the request makes no sense.
    #[error("the request is not valid for this disk")]
    Invalid,
}

impl IoError {
    /// The errno that the kernel or an NBD client is told.
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            IoError::Io | IoError::NotResident | IoError::TimedOut => 5, // EIO
            IoError::NoSpace => 28,                                      // ENOSPC
            IoError::ReadOnly => 1,                                      // EPERM
            IoError::Invalid => 22,                                      // EINVAL
        }
    }
}

/// A disk's shape; fixed while a front-end runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the disk in bytes, a multiple of 512.
    pub size_bytes: u64,
    /// Size of a chunk in bytes, a power of two.
    pub chunk_size: u32,
    /// Smallest unit that a trim frees, in bytes.
    pub trim_granularity: u32,
    /// No writes.
    pub read_only: bool,
}

/// How a range is to be zeroed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMode {
    /// Discard: reads as zeros afterwards, space is given back.
    Trim,
    /// Write zeroes, and space may be given back.
    ZeroMayPunch,
    /// Write zeroes and keep the space allocated.
    ZeroAllocated,
}

/// One run of [`Disk::block_status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// Takes no space (anywhere: a chunk held elsewhere is not a hole).
    pub hole: bool,
    /// Reads as zeros.
    pub zero: bool,
}

/// Told how a cold write ended. Dropping a [`Ticket`] without [`Ticket::done`] reports failure.
pub trait WriteEnd: Send {
    /// Called once, after the data write ended.
    ///
    /// # Errors
    /// The data is there, but what has to be noted before its acknowledgement could not be: the request fails.
    fn ended(self: Box<Self>, ok: bool) -> Result<(), IoError>;
}

/// Leave to move one request's data between its buffer and `data.img`, given by the cold way.
///
/// For a write, the front-end writes all of the data and then calls [`Ticket::done`] before it acknowledges.
#[must_use = "the data is moved while the ticket is held"]
pub struct Ticket {
    end: Option<Box<dyn WriteEnd>>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("open", &self.end.is_some()).finish()
    }
}

impl Ticket {
    /// A ticket whose end `end` is told.
    pub fn new(end: Box<dyn WriteEnd>) -> Ticket {
        Ticket { end: Some(end) }
    }

    /// A ticket that nobody waits for.
    pub fn free() -> Ticket {
        Ticket { end: None }
    }

    /// The data has been moved (`ok`) or could not be. A request is acknowledged only after `Ok`.
    ///
    /// # Errors
    /// What has to be noted about the data could not be.
    pub fn done(mut self, ok: bool) -> Result<(), IoError> {
        self.end.take().map_or(Ok(()), |end| end.ended(ok))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // Nobody waits for it any more.
            end.ended(false).ok();
        }
    }
}

/// A disk as the front-ends see it.
///
/// A request of a front-end, in order:
/// 1. `hot().try_begin(..)`: a pass → move the data with its own ring or `pread`/`pwrite` on `data()`, drop the pass.
/// 2. else `begin(..)` and await it: a ticket → move the data, then [`Ticket::done`].
/// 3. FUA: `flush()` after the data, before the acknowledgement.
pub trait Disk: Send + Sync + 'static {
    /// Size and limits.
    fn geometry(&self) -> Geometry;

    /// The hot path's view.
    fn hot(&self) -> &HotMap;

    /// The sparse raw image; byte *i* of the disk at offset *i*. Opened without `O_DIRECT`.
    fn data(&self) -> BorrowedFd<'_>;

    /// Makes the chunks of a request fit for it: waits for fetches, marks extents, opens versions.
    ///
    /// A write that covers a whole chunk fetches nothing. Ranges are checked here.
    fn begin(self: Arc<Self>, lane: Lane, op: Op, offset: u64, len: u64) -> IoFuture<Ticket>;

    /// Everything acknowledged before this call is durable when it ends.
    fn flush(self: Arc<Self>) -> IoFuture<()>;

    /// As [`Disk::flush`], where the thread that polls may wait for the medium: saves waking other threads.
    fn flush_here(self: Arc<Self>) -> IoFuture<()> {
        self.flush()
    }

    /// Zeroes a range, all of it done when the future ends (not yet durable).
    fn zero(self: Arc<Self>, lane: Lane, offset: u64, len: u64, mode: ZeroMode) -> IoFuture<()>;

    /// What is where, for a client that copies the disk; covers exactly `len` bytes from `offset`.
    ///
    /// # Errors
    /// [`IoError::Invalid`] outside the disk, [`IoError::Io`] if the store cannot be asked.
    fn block_status(&self, offset: u64, len: u64) -> Result<Vec<Extent>, IoError>;

    /// A front-end's own read or write of `data()` failed with this errno. What a failed write or a full filesystem
    /// means for the disk is the disk's to judge; the front-end passes the error on to its client.
    fn failed(&self, op: Op, errno: i32);

    /// Counts a finished request, for `status`. Called once a request, on the lane that did it.
    fn count(&self, lane: Lane, op: Op, bytes: u64);
}
