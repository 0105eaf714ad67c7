//! Takes one client's requests: what is done at once is done here, the rest is given on.
//!
//! Invariant: it blocks only on its own client, on the limits of what is in flight, and on a buffered write; whatever
//! else may take time is a task of the pool, or is given back to the thread that runs this, when another goes on reading.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wandisk_io::{Disk, IoError, IoFuture, Op, Ticket};

use crate::buffers::{Receiver, Sender};
use crate::connection::Service;
use crate::data;
use crate::lift::{Lift, Moved};
use crate::limits::MAX_INLINE_READ;
use crate::outbox::{Outbox, Slot};
use crate::proto::Session;
use crate::proto::constants::cmd;
use crate::proto::reply;
use crate::proto::request::{Plan, REQUEST_HEADER, Request, plan};
use crate::tasks::{Asked, errno};
use crate::wire::Wire;

/// What a request without data counts for in memory, in bytes.
const SMALL: usize = 256;

/// Why no more requests are taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the client ended the connection inside a request")]
    Truncated,
    #[error("the client sent something that is no request")]
    LostPlace,
    #[error("the client announced {0} bytes of data")]
    TooLong(u32),
    #[error("the disk panicked")]
    Panicked,
    #[error("the socket failed")]
    Socket(#[from] io::Error),
}

/// Why a thread stops reading.
#[derive(Debug)]
pub(crate) enum Next {
    /// The client has gone in order.
    GoodBye,
    /// It is to do this flush itself; the other thread reads meanwhile.
    Flush(Slot),
}

/// One client's requests, and what of its bytes is not taken or not sent yet.
pub(crate) struct Reader<'a, D> {
    pub(crate) service: &'a Service<D>,
    pub(crate) session: Session,
    pub(crate) wire: &'a Wire,
    pub(crate) outbox: &'a Arc<Outbox>,
    pub(crate) received: Receiver,
    pub(crate) replies: Sender,
    /// Made for the first large write.
    pub(crate) lift: Option<Lift>,
    /// Another thread is there to go on reading. Whoever takes it gives it back.
    pub(crate) relief: &'a AtomicBool,
}

impl<D: Disk> Reader<'_, D> {
    /// Takes requests until the client says good-bye, or ends the stream between two of them, or there is a flush for this
    /// thread to do.
    pub(crate) fn run(&mut self) -> Result<Next, End> {
        loop {
            if !self.received.need(REQUEST_HEADER, self.wire, &mut self.replies)? {
                return if self.received.bytes().is_empty() {
                    Ok(Next::GoodBye)
                } else {
                    Err(End::Truncated)
                };
            }
            let header = self.received.bytes().first_chunk().ok_or(End::Truncated)?;
            let request = Request::parse(header).ok_or(End::LostPlace)?;
            self.received.consume(REQUEST_HEADER);
            let plan = plan(&request, self.session, &self.service.export);
            // Clients that write much are likely to go on: the next request's data is left in the socket for the pipe.
            let large = matches!(plan, Plan::Write { .. }) && Lift::suits(request.len as usize);
            self.received.set_lean(large);
            if plan == Plan::Disconnect {
                return Ok(Next::GoodBye);
            }
            if let Some(flush) = self.carry_out(&request, plan)? {
                return Ok(Next::Flush(flush));
            }
        }
    }

    /// A flush, if this thread is to do one now.
    fn carry_out(&mut self, request: &Request, plan: Plan) -> Result<Option<Slot>, End> {
        let (seat, pool) = (&self.service.seat, &self.service.pool);
        let range = (request.offset, request.len);
        match plan {
            Plan::Read => self.read(request)?,
            Plan::Write { fua } => return self.write(request, fua),
            Plan::Zero { mode, fua } => {
                let slot = self.slot(request, SMALL)?;
                seat.spawn_zero(pool, slot, range, mode, fua);
            }
            Plan::Flush => {
                self.skip_payload(request)?;
                return self.flush(request);
            }
            Plan::Status { len, only_one } => {
                let slot = self.slot(request, SMALL)?;
                seat.spawn_status(pool, slot, (request.offset, len), only_one);
            }
            Plan::Nothing => {
                self.skip_payload(request)?;
                self.replies.push(&reply::simple(request.cookie, 0), self.wire)?;
            }
            Plan::Refuse(error) => self.refuse(request, error)?,
            Plan::Disconnect => {}
        }
        Ok(None)
    }

    /// Begins at once in this thread, unless nobody would read meanwhile.
    fn flush(&mut self, request: &Request) -> Result<Option<Slot>, End> {
        let slot = self.slot(request, SMALL)?;
        if self.relief.swap(false, Ordering::AcqRel) {
            return Ok(Some(slot));
        }
        self.service.seat.spawn_flush(&self.service.pool, slot);
        Ok(None)
    }

    fn read(&mut self, request: &Request) -> Result<(), End> {
        let Request { offset, len, cookie, .. } = *request;
        let seat = &self.service.seat;
        let head = reply::data(self.session, cookie, offset, len);
        if len <= MAX_INLINE_READ {
            let done = self.replies.push_data(&head, len as usize, self.wire, |room| {
                let pass = seat.disk.hot().try_begin(seat.lane, Op::Read, offset, u64::from(len));
                len == 0 || pass.is_some_and(|_held| data::read_cached(seat.disk.data(), room, offset))
            })?;
            if done {
                seat.disk.count(seat.lane, Op::Read, u64::from(len));
                return Ok(());
            }
        }
        let slot = self.slot(request, len as usize + SMALL)?;
        seat.spawn_read(&self.service.pool, slot, self.session, offset, len);
        Ok(())
    }

    fn write(&mut self, request: &Request, fua: bool) -> Result<Option<Slot>, End> {
        let Request { offset, len, .. } = *request;
        let seat = &self.service.seat;
        let size = len as usize;
        if Lift::suits(size)
            && self.received.bytes().len() < size
            && let Some(lift) = self.lift.take().or_else(Lift::new)
        {
            return self.write_lifted(request, fua, lift);
        }
        if !self.received.fits(size) {
            return self.write_later(request, fua, None, None);
        }
        if !self.received.need(size, self.wire, &mut self.replies)? {
            return Err(End::Truncated);
        }
        let leave = match seat.ask_to_write(offset, u64::from(len), || self.has_room(size)) {
            Asked::Now(leave) => leave,
            Asked::Refused(e) => {
                self.received.consume(size);
                return self.wrote(request, fua, Err(e));
            }
            Asked::Later(begun) => return self.write_later(request, fua, None, begun),
        };
        let written = data::write(seat.disk.data(), &self.received.bytes()[..size], offset);
        let written = seat.end_write(leave, written);
        self.received.consume(size);
        self.wrote(request, fua, written)
    }

    /// A write whose data is still in the socket, but for its start. The pipe is kept if nothing is left in it.
    fn write_lifted(&mut self, request: &Request, fua: bool, mut lift: Lift) -> Result<Option<Slot>, End> {
        let Request { offset, len, .. } = *request;
        let seat = &self.service.seat;
        let here = self.received.bytes().len();
        let size = len as usize;
        let rest = size - here;
        let mut patient = false;
        // All of it first: a pass is not held while a client is waited for.
        while lift.held() < rest {
            let missing = rest - lift.held();
            match self.wire.lift(&mut lift, missing, patient)? {
                Moved::Bytes(0) => return Err(End::Truncated),
                Moved::Bytes(_) => patient = false,
                Moved::MustWait => {
                    self.replies.flush(self.wire)?;
                    patient = true;
                }
                Moved::Full => break,
            }
        }
        if lift.held() < rest {
            return self.write_later(request, fua, Some(lift), None);
        }
        let written = match seat.ask_to_write(offset, u64::from(len), || self.has_room(size)) {
            Asked::Now(leave) => {
                let moved = data::write_lifted(seat.disk.data(), self.received.bytes(), &mut lift, offset);
                seat.end_write(leave, moved)
            }
            // The pipe goes, with what is in it.
            Asked::Refused(e) => Err(e),
            Asked::Later(begun) => return self.write_later(request, fua, Some(lift), begun),
        };
        self.received.consume(here);
        if lift.held() == 0 {
            self.lift = Some(lift);
        }
        self.wrote(request, fua, written)
    }

    /// A write that waits for the disk (for what has `begun`, if anything has), or whose data is longer than the buffer.
    fn write_later(
        &mut self,
        request: &Request,
        fua: bool,
        lift: Option<Lift>,
        begun: Option<IoFuture<Ticket>>,
    ) -> Result<Option<Slot>, End> {
        let size = request.len as usize;
        let slot = self.slot(request, size + SMALL)?;
        let mut payload = vec![0; size];
        let whole = self.gather(&mut payload, lift);
        if !matches!(whole, Ok(true)) {
            slot.withdraw();
            return Err(whole.err().map_or(End::Truncated, End::Socket));
        }
        let seat = &self.service.seat;
        seat.spawn_write(&self.service.pool, slot, (request.offset, payload), fua, begun);
        Ok(None)
    }

    /// Collects a write's data from the buffer, the pipe and the socket, in this order.
    fn gather(&mut self, payload: &mut [u8], lift: Option<Lift>) -> io::Result<bool> {
        let Some(mut lift) = lift else {
            return self.received.take(payload, self.wire, &mut self.replies);
        };
        let here = self.received.bytes().len();
        let (head, rest) = payload.split_at_mut(here);
        self.received.take(head, self.wire, &mut self.replies)?;
        let lifted = lift.take(rest)?;
        self.lift = Some(lift);
        self.received.take(&mut rest[lifted..], self.wire, &mut self.replies)
    }

    fn wrote(
        &mut self,
        request: &Request,
        fua: bool,
        written: Result<(), IoError>,
    ) -> Result<Option<Slot>, End> {
        let seat = &self.service.seat;
        match written {
            Err(e) => self.replies.push(&reply::simple(request.cookie, errno(e)), self.wire)?,
            Ok(()) => {
                seat.disk.count(seat.lane, Op::Write, u64::from(request.len));
                if fua {
                    return self.flush(request);
                }
                self.replies.push(&reply::simple(request.cookie, 0), self.wire)?;
                self.replies.flush_if_due(self.wire)?;
            }
        }
        Ok(None)
    }

    fn refuse(&mut self, request: &Request, error: u32) -> Result<(), End> {
        let failure = reply::failure(request.cookie, self.is_chunked(request), error);
        if request.ends_connection() {
            self.replies.push(&failure, self.wire)?;
            return Err(End::TooLong(request.len));
        }
        self.skip_payload(request)?;
        self.replies.push(&failure, self.wire)?;
        Ok(())
    }

    fn skip_payload(&mut self, request: &Request) -> Result<(), End> {
        let skipped = self.received.skip(request.payload() as usize, self.wire, &mut self.replies)?;
        if skipped { Ok(()) } else { Err(End::Truncated) }
    }

    /// Is there a slot for a write of so many bytes without waiting? It stays so: this thread alone takes slots.
    fn has_room(&self, size: usize) -> bool {
        !self.outbox.is_full(size + SMALL)
    }

    /// A place among the requests in flight. What is ready is sent before it is waited for.
    fn slot(&mut self, request: &Request, bytes: usize) -> Result<Slot, End> {
        if self.outbox.is_full(bytes) {
            self.replies.flush(self.wire)?;
        }
        Ok(self.outbox.admit(request.cookie, self.is_chunked(request), bytes))
    }

    fn is_chunked(&self, request: &Request) -> bool {
        self.session.structured && matches!(request.command, cmd::READ | cmd::BLOCK_STATUS)
    }
}
