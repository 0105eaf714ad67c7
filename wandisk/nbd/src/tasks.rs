//! Requests that cannot be done inline, as tasks of the server's pool.
//!
//! A task that waits for the engine takes no thread; one that waits for the medium takes one. Each ends with its slot
//! answered, whatever happens: an error, a panic of the disk's, the pool's end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use futures::executor::{ThreadPool, block_on};
use wandisk_io::{Disk, IoError, IoFuture, Lane, Op, Pass, Ticket, ZeroMode};

use crate::data;
use crate::outbox::Slot;
use crate::proto::{Session, reply};

/// A disk, and the lane through which a connection uses it.
pub(crate) struct Seat<D> {
    pub(crate) disk: Arc<D>,
    pub(crate) lane: Lane,
}

impl<D> Clone for Seat<D> {
    fn clone(&self) -> Self {
        Seat { disk: Arc::clone(&self.disk), lane: self.lane }
    }
}

/// Leave to write to `data.img`; given back before the client is answered.
pub(crate) enum Leave<'d> {
    Hot { _pass: Pass<'d> },
    Cold(Ticket),
}

impl Leave<'_> {
    /// The data was written, or could not be.
    pub(crate) fn end(self, ok: bool) -> Result<(), IoError> {
        match self {
            Leave::Cold(ticket) => ticket.done(ok),
            Leave::Hot { .. } => Ok(()),
        }
    }
}

/// What the disk says to a write, there and then.
pub(crate) enum Asked<'d> {
    Now(Leave<'d>),
    Refused(IoError),
    /// It has to be waited for: what has begun, or, if nothing has, the disk is to be asked again.
    Later(Option<IoFuture<Ticket>>),
}

/// The errno of an error, as the protocol writes it.
pub(crate) fn errno(error: IoError) -> u32 {
    error.errno().unsigned_abs()
}

impl<D: Disk> Seat<D> {
    async fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, IoError> {
        let disk = &self.disk;
        if let Some(_pass) = disk.hot().try_begin(self.lane, Op::Read, offset, len as u64) {
            return data::read(disk.data(), offset, len).inspect_err(|e| disk.failed(Op::Read, e.errno()));
        }
        let ticket = Arc::clone(disk).begin(self.lane, Op::Read, offset, len as u64).await?;
        let read = data::read(disk.data(), offset, len);
        let noted = ticket.done(read.is_ok());
        let read = read.inspect_err(|e| disk.failed(Op::Read, e.errno()))?;
        noted.map(|()| read)
    }

    /// Asks for leave to write `len` bytes, without waiting. What has begun keeps others from its chunks: only who has a slot
    /// for it, or is sure to get one without waiting, may begin (`may_begin`).
    pub(crate) fn ask_to_write(&self, offset: u64, len: u64, may_begin: impl FnOnce() -> bool) -> Asked<'_> {
        if let Some(pass) = self.disk.hot().try_begin(self.lane, Op::Write, offset, len) {
            return Asked::Now(Leave::Hot { _pass: pass });
        }
        if !may_begin() {
            return Asked::Later(None);
        }
        let disk = Arc::clone(&self.disk);
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let mut begun = disk.begin(self.lane, Op::Write, offset, len);
            match (&mut begun).now_or_never() {
                Some(Ok(ticket)) => Asked::Now(Leave::Cold(ticket)),
                Some(Err(e)) => Asked::Refused(e),
                None => Asked::Later(Some(begun)),
            }
        }));
        asked.unwrap_or_else(|_| {
            tracing::error!("the disk panicked; the request failed with an I/O error");
            Asked::Refused(IoError::Io)
        })
    }

    /// The data of a write has been moved, or not: gives the leave back.
    pub(crate) fn end_write(&self, leave: Leave<'_>, written: Result<(), IoError>) -> Result<(), IoError> {
        let noted = leave.end(written.is_ok());
        written.inspect_err(|e| self.disk.failed(Op::Write, e.errno())).and(noted)
    }

    async fn write(&self, offset: u64, bytes: &[u8], begun: Option<IoFuture<Ticket>>) -> Result<(), IoError> {
        let begin = || Arc::clone(&self.disk).begin(self.lane, Op::Write, offset, bytes.len() as u64);
        let leave = match begun {
            Some(begun) => Leave::Cold(begun.await?),
            None => match self.disk.hot().try_begin(self.lane, Op::Write, offset, bytes.len() as u64) {
                Some(pass) => Leave::Hot { _pass: pass },
                None => Leave::Cold(begin().await?),
            },
        };
        let written = data::write(self.disk.data(), bytes, offset);
        self.end_write(leave, written)
    }

    async fn flush_if(&self, asked: bool) -> Result<(), IoError> {
        if asked { Arc::clone(&self.disk).flush_here().await } else { Ok(()) }
    }

    /// A read, cold or not in the page cache.
    pub(crate) fn spawn_read(&self, pool: &ThreadPool, slot: Slot, session: Session, offset: u64, len: u32) {
        let seat = self.clone();
        run(pool, slot, async move |slot: Slot| match seat.read(offset, len as usize).await {
            Ok(bytes) => {
                seat.disk.count(seat.lane, Op::Read, u64::from(len));
                let head = reply::data(session, slot.cookie(), offset, len);
                slot.answer(head, bytes);
            }
            Err(e) => slot.fail(errno(e)),
        });
    }

    /// A write that waits for what has `begun`, or is too long to hold the reader thread up.
    pub(crate) fn spawn_write(
        &self,
        pool: &ThreadPool,
        slot: Slot,
        (offset, bytes): (u64, Vec<u8>),
        fua: bool,
        begun: Option<IoFuture<Ticket>>,
    ) {
        let seat = self.clone();
        run(pool, slot, async move |slot: Slot| {
            let mut done = seat.write(offset, &bytes, begun).await;
            if done.is_ok() {
                seat.disk.count(seat.lane, Op::Write, bytes.len() as u64);
                drop(bytes);
                done = seat.flush_if(fua).await;
            }
            end(slot, done);
        });
    }

    /// A flush, also the second half of a write with FUA.
    pub(crate) fn spawn_flush(&self, pool: &ThreadPool, slot: Slot) {
        let seat = self.clone();
        run(pool, slot, async move |slot: Slot| end(slot, seat.flush_if(true).await));
    }

    /// The same, by the thread that calls.
    pub(crate) fn flush_now(&self, slot: Slot) {
        block_on(guarded(slot, async |slot: Slot| end(slot, self.flush_if(true).await)));
    }

    /// A trim or write-zeroes.
    pub(crate) fn spawn_zero(
        &self,
        pool: &ThreadPool,
        slot: Slot,
        (offset, len): (u64, u32),
        mode: ZeroMode,
        fua: bool,
    ) {
        let seat = self.clone();
        run(pool, slot, async move |slot: Slot| {
            let mut done = Arc::clone(&seat.disk).zero(seat.lane, offset, u64::from(len), mode).await;
            if done.is_ok() {
                done = seat.flush_if(fua).await;
            }
            end(slot, done);
        });
    }

    /// Block status.
    pub(crate) fn spawn_status(
        &self,
        pool: &ThreadPool,
        slot: Slot,
        (offset, len): (u64, u32),
        only_one: bool,
    ) {
        let seat = self.clone();
        run(pool, slot, async move |slot: Slot| {
            let told = seat.disk.block_status(offset, u64::from(len));
            let status = told.map(|extents| reply::status(slot.cookie(), &extents, only_one));
            match status {
                Ok(Some((head, descriptors))) => slot.answer(head, descriptors),
                Ok(None) => slot.fail(errno(IoError::Io)),
                Err(e) => slot.fail(errno(e)),
            }
        });
    }
}

fn end(slot: Slot, done: Result<(), IoError>) {
    match done {
        Ok(()) => {
            let head = reply::simple(slot.cookie(), 0);
            slot.answer(head, Vec::new());
        }
        Err(e) => slot.fail(errno(e)),
    }
}

fn run<F>(pool: &ThreadPool, slot: Slot, body: impl FnOnce(Slot) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    pool.spawn_ok(guarded(slot, body));
}

/// The slot answers for itself when a panic drops it; the thread must not die of that.
async fn guarded<F: Future<Output = ()>>(slot: Slot, body: impl FnOnce(Slot) -> F) {
    let guarded = async move { AssertUnwindSafe(body(slot)).catch_unwind().await };
    if guarded.await.is_err() {
        tracing::error!("the disk panicked; the request failed with an I/O error");
    }
}
