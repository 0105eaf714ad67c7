//! One client, from its handshake to its last reply: its threads.
//!
//! Two take turns at reading its requests. A flush is done by the one that took it, which begins at once, and the other goes on
//! reading meanwhile: so it waits for no thread to be woken, and no request waits for it. One more flush in that time
//! is a task of the pool. (A third thread, the replier, sleeps nearly always.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::executor::ThreadPool;
use wandisk_io::Disk;

use crate::buffers::{Receiver, Sender};
use crate::handshake::shake_hands;
use crate::limits::HANDSHAKE_DEADLINE;
use crate::outbox::Slot;
use crate::proto::{Export, Session};
use crate::reader::{End, Next, Reader};
use crate::registry::Membership;
use crate::replier;
use crate::tasks::Seat;

/// What all connections of a server share.
pub(crate) struct Service<D> {
    pub(crate) seat: Seat<D>,
    pub(crate) export: Arc<Export>,
    pub(crate) pool: ThreadPool,
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
    let relief = AtomicBool::new(false);
    let reader = Reader {
        service,
        session,
        wire: member.wire(),
        outbox,
        received: Receiver::new(left_over),
        replies: Sender::new(),
        lift: None,
        relief: &relief,
    };
    let turns = Turns { member, reader: Mutex::new(Some(reader)) };
    std::thread::scope(|scope| {
        let second = std::thread::Builder::new().name("nbd-second".into());
        match second.spawn_scoped(scope, || turns.take(&service.seat, &relief)) {
            Ok(_) => relief.store(true, Ordering::Release),
            // The pool does its flushes.
            Err(e) => tracing::warn!(error = %e, "no second thread for a client"),
        }
        turns.take(&service.seat, &relief);
    });
    outbox.drain();
    if replier.join().is_err() {
        tracing::error!("a thread for replies panicked");
    }
}

/// What the threads that read a client's requests share.
struct Turns<'a, D> {
    member: &'a Membership,
    /// Whoever holds it reads; `None` when no more requests are taken.
    reader: Mutex<Option<Reader<'a, D>>>,
}

impl<D: Disk> Turns<'_, D> {
    /// Reads, and does what flushes come meanwhile, until no more requests are taken.
    fn take(&self, seat: &Seat<D>, relief: &AtomicBool) {
        while let Some(flush) = self.read() {
            seat.flush_now(flush);
            relief.store(true, Ordering::Release);
        }
    }

    /// Reads until there is a flush to be done.
    fn read(&self) -> Option<Slot> {
        let mut held = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = held.as_mut()?;
        // A disk that panics must not leave the other threads behind, and with them the client's socket.
        let ended = match catch_unwind(AssertUnwindSafe(|| reader.run())) {
            Ok(Ok(Next::Flush(slot))) => return Some(slot),
            Ok(Ok(Next::GoodBye)) => Ok(()),
            Ok(Err(end)) => Err(end),
            Err(_) => Err(End::Panicked),
        };
        self.end(reader, ended);
        *held = None;
        None
    }

    fn end(&self, reader: &mut Reader<'_, D>, ended: Result<(), End>) {
        // The replies of what was done inline; the client may still read though it sends no more.
        let sent = reader.replies.flush(reader.wire);
        let ended_badly = ended.is_err() || sent.is_err();
        match ended {
            Err(End::Socket(e)) => tracing::debug!(error = %e, "a client's socket failed"),
            Err(e) => tracing::info!(error = &e as &dyn std::error::Error, "a client was dropped"),
            Ok(()) => {}
        }
        if sent.is_err() {
            self.member.wire().cut();
        }
        // A client that says good-bye is gone when its last reply is sent; one whose socket ended is gone now.
        if ended_badly {
            self.member.gone();
        }
    }
}
