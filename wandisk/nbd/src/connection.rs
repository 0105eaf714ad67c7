//! One client, from its handshake to its last reply: the reader thread.
//!
//! Invariant: it blocks only on its own client, on the limits of what is in flight, and on a buffered write; whatever
//! else may take time is a task of the pool.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::executor::ThreadPool;
use wandisk_io::{Disk, IoError, IoFuture, Op, Ticket};

use crate::buffers::{Receiver, Sender};
use crate::data;
use crate::handshake::shake_hands;
use crate::lift::{Lift, Moved};
use crate::limits::{HANDSHAKE_DEADLINE, MAX_INLINE_READ};
use crate::outbox::{Outbox, Slot};
use crate::proto::constants::cmd;
use crate::proto::reply;
use crate::proto::request::{Plan, REQUEST_HEADER, Request, plan};
use crate::proto::{Export, Session};
use crate::registry::Membership;
use crate::replier;
use crate::tasks::{Asked, Seat, errno};
use crate::wire::Wire;

/// What a request without data counts for in memory, in bytes.
const SMALL: usize = 256;

/// What all connections of a server share.
pub(crate) struct Service<D> {
    pub(crate) seat: Seat<D>,
    pub(crate) export: Arc<Export>,
    pub(crate) pool: ThreadPool,
}

/// Why no more requests are taken.
#[derive(Debug, thiserror::Error)]
enum End {
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

/// Serves a client until it or its socket ends, and every request of it has ended.
pub(crate) fn serve<D: Disk>(service: &Service<D>, member: &Membership) {
    let wire = member.wire();
    let deadline = Instant::now() + HANDSHAKE_DEADLINE;
    let agreed = shake_hands(wire, &service.export, deadline, || member.serving());
    match agreed {
        Ok(Some((session, left_over))) => serve_session(service, member, session, &left_over),
        Ok(None) => {}
        Err(e) => tracing::info!(error = &e as &dyn std::error::Error, "a handshake failed"),
    }
    wire.cut();
}

fn serve_session<D: Disk>(service: &Service<D>, member: &Membership, session: Session, left_over: &[u8]) {
    let outbox = member.outbox();
    let replies = std::thread::Builder::new().name("nbd-replier".into()).spawn({
        let (outbox, wire) = (Arc::clone(outbox), Arc::clone(member.wire()));
        move || replier::run(&outbox, &wire)
    });
    let replier = match replies {
        Ok(thread) => thread,
        Err(e) => return tracing::warn!(error = %e, "no thread for a client's replies"),
    };
    let mut reader = Reader {
        service,
        session,
        wire: member.wire(),
        outbox,
        received: Receiver::new(left_over),
        replies: Sender::new(),
        lift: None,
    };
    // A disk that panics must not leave the replier behind, and with it the client's socket.
    let ended = catch_unwind(AssertUnwindSafe(|| reader.run())).unwrap_or(Err(End::Panicked));
    // The replies of what was done inline; the client may still read though it sends no more.
    let sent = reader.replies.flush(reader.wire);
    let ended_badly = ended.is_err() || sent.is_err();
    match ended {
        Err(End::Socket(e)) => tracing::debug!(error = %e, "a client's socket failed"),
        Err(e) => tracing::info!(error = &e as &dyn std::error::Error, "a client was dropped"),
        Ok(()) => {}
    }
    if sent.is_err() {
        member.wire().cut();
    }
    // A client that says good-bye is gone when its last reply is sent; one whose socket ended is gone now.
    if ended_badly {
        member.gone();
    }
    outbox.drain();
    if replier.join().is_err() {
        tracing::error!("a thread for replies panicked");
    }
}

struct Reader<'a, D> {
    service: &'a Service<D>,
    session: Session,
    wire: &'a Wire,
    outbox: &'a Arc<Outbox>,
    received: Receiver,
    replies: Sender,
    /// Made for the first large write.
    lift: Option<Lift>,
}

impl<D: Disk> Reader<'_, D> {
    /// Takes requests until the client says good-bye, or ends the stream between two of them.
    fn run(&mut self) -> Result<(), End> {
        loop {
            if !self.received.need(REQUEST_HEADER, self.wire, &mut self.replies)? {
                return if self.received.bytes().is_empty() { Ok(()) } else { Err(End::Truncated) };
            }
            let header = self.received.bytes().first_chunk().ok_or(End::Truncated)?;
            let request = Request::parse(header).ok_or(End::LostPlace)?;
            self.received.consume(REQUEST_HEADER);
            let plan = plan(&request, self.session, &self.service.export);
            // Clients that write much are likely to go on: the next request's data is left in the socket for the pipe.
            let large = matches!(plan, Plan::Write { .. }) && Lift::suits(request.len as usize);
            self.received.set_lean(large);
            if plan == Plan::Disconnect {
                return Ok(());
            }
            self.carry_out(&request, plan)?;
        }
    }

    fn carry_out(&mut self, request: &Request, plan: Plan) -> Result<(), End> {
        let (seat, pool) = (&self.service.seat, &self.service.pool);
        let range = (request.offset, request.len);
        match plan {
            Plan::Read => self.read(request)?,
            Plan::Write { fua } => self.write(request, fua)?,
            Plan::Zero { mode, fua } => {
                let slot = self.slot(request, SMALL)?;
                seat.spawn_zero(pool, slot, range, mode, fua);
            }
            Plan::Flush => {
                self.skip_payload(request)?;
                let slot = self.slot(request, SMALL)?;
                seat.spawn_flush(pool, slot);
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
        Ok(())
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

    fn write(&mut self, request: &Request, fua: bool) -> Result<(), End> {
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
    fn write_lifted(&mut self, request: &Request, fua: bool, mut lift: Lift) -> Result<(), End> {
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
    ) -> Result<(), End> {
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
        Ok(())
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

    fn wrote(&mut self, request: &Request, fua: bool, written: Result<(), IoError>) -> Result<(), End> {
        let Request { len, cookie, .. } = *request;
        let seat = &self.service.seat;
        match written {
            Err(e) => self.replies.push(&reply::simple(cookie, errno(e)), self.wire)?,
            Ok(()) => {
                seat.disk.count(seat.lane, Op::Write, u64::from(len));
                if fua {
                    let slot = self.slot(request, SMALL)?;
                    seat.spawn_flush(&self.service.pool, slot);
                } else {
                    self.replies.push(&reply::simple(cookie, 0), self.wire)?;
                }
            }
        }
        Ok(())
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
