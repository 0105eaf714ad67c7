//! What a connection has in flight off its reader thread, and the replies that are ready to be sent.
//!
//! ```text
//! reader ──admit──> Slot ──(a task of the pool)──answer──┬─(the socket takes it)────────────────────┐
//!   ^                                                    └─(it does not)─> ready ──> replier ──send──┤
//!   └──────────────────────────────────── room again ────────────────────────────────────────────────┘
//! ```
//! Invariant: a task never waits for a client: the pool is everybody's.
//! Invariant: requests and bytes in flight stay inside the limits; one request alone is always let in.
//! Invariant: every slot is answered exactly once, or withdrawn; one that is dropped is answered with an I/O error.

use std::io::IoSlice;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::limits::{MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES};
use crate::proto::constants::errno;
use crate::proto::reply::{self, Head};
use crate::wire::{Sent, Wire};

/// A reply that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) data: Vec<u8>,
    /// Bytes to be given back once it is sent.
    reserved: usize,
}

#[derive(Debug, Default)]
struct State {
    ready: Vec<Reply>,
    requests: usize,
    bytes: usize,
    /// No more requests come.
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    wire: Arc<Wire>,
    state: Mutex<State>,
    /// There are replies, or the outbox was closed.
    work: Condvar,
    /// Something was given back.
    room: Condvar,
}

impl Outbox {
    pub(crate) fn new(wire: Arc<Wire>) -> Outbox {
        Outbox { wire, state: Mutex::default(), work: Condvar::new(), room: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Would a request with so many bytes have to wait for others to end?
    pub(crate) fn is_full(&self, bytes: usize) -> bool {
        full(&self.lock(), bytes)
    }

    /// Lets a request in that answers to `cookie`, in chunks or not; waits while there is no room.
    pub(crate) fn admit(self: &Arc<Self>, cookie: u64, chunked: bool, bytes: usize) -> Slot {
        let mut state = self.lock();
        while full(&state, bytes) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.requests += 1;
        state.bytes += bytes;
        Slot { outbox: Arc::clone(self), cookie, chunked, bytes, answered: false }
    }

    /// Requests in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().requests
    }

    /// No more requests come; waits until those in flight have been answered.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.work.notify_one();
        while state.requests > 0 {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The replier's next replies, oldest first; `None` when there will be no more.
    pub(crate) fn next(&self) -> Option<Vec<Reply>> {
        let mut state = self.lock();
        while state.ready.is_empty() {
            if state.closed && state.requests == 0 {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut state.ready))
    }

    /// These replies have been sent, or cannot be.
    pub(crate) fn release(&self, replies: &[Reply]) {
        self.give_back(replies.len(), replies.iter().map(|r| r.reserved).sum());
    }

    fn give_back(&self, requests: usize, bytes: usize) {
        let mut state = self.lock();
        state.requests -= requests;
        state.bytes -= bytes;
        self.room.notify_one();
        if state.closed && state.requests == 0 {
            // The replier has nothing more to wait for.
            self.work.notify_one();
        }
    }

    /// Sends a reply here and now, which saves waking the replier, or leaves it to that.
    fn ready(&self, mut reply: Reply) {
        // Behind others that wait, it had better be sent together with them.
        let alone = self.lock().ready.is_empty();
        if alone {
            let mut parts = [IoSlice::new(reply.head.as_bytes()), IoSlice::new(&reply.data)];
            match self.wire.try_send(&mut parts) {
                Ok(Sent::All) => return self.release(&[reply]),
                // Nothing of it is left here, and the replier is to send what the wire has kept.
                Ok(Sent::Part) => (reply.head, reply.data) = (Head::default(), Vec::new()),
                // An error is the replier's to find.
                Ok(Sent::Nothing) | Err(_) => {}
            }
        }
        self.lock().ready.push(reply);
        self.work.notify_one();
    }
}

fn full(state: &State, bytes: usize) -> bool {
    state.requests > 0 && (state.requests >= MAX_IN_FLIGHT || state.bytes + bytes > MAX_IN_FLIGHT_BYTES)
}

/// One request in flight: its place, and the duty to answer it.
#[derive(Debug)]
pub(crate) struct Slot {
    outbox: Arc<Outbox>,
    cookie: u64,
    chunked: bool,
    bytes: usize,
    answered: bool,
}

impl Slot {
    /// The cookie that the answer carries.
    pub(crate) fn cookie(&self) -> u64 {
        self.cookie
    }

    /// It succeeded; the replier sends the head and the data.
    pub(crate) fn answer(mut self, head: Head, data: Vec<u8>) {
        self.put(head, data);
    }

    /// It failed, with an error of the protocol.
    pub(crate) fn fail(mut self, error: u32) {
        self.put(reply::failure(self.cookie, self.chunked, error), Vec::new());
    }

    /// The request never came whole, so nobody waits for an answer.
    pub(crate) fn withdraw(mut self) {
        self.answered = true;
        self.outbox.give_back(1, self.bytes);
    }

    fn put(&mut self, head: Head, data: Vec<u8>) {
        self.answered = true;
        self.outbox.ready(Reply { head, data, reserved: self.bytes });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.answered {
            self.put(reply::failure(self.cookie, self.chunked, errno::EIO), Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::replier;

    fn outbox() -> (Arc<Outbox>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Arc::new(Outbox::new(Arc::new(Wire::new(ours.into())))), theirs)
    }

    #[test]
    fn a_slot_that_is_dropped_is_answered_with_an_error() {
        let (outbox, mut client) = outbox();
        drop(outbox.admit(7, false, 100));
        let mut answer = [0; 16];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, reply::simple(7, errno::EIO).as_bytes());
        outbox.drain();
        assert!(outbox.next().is_none());
    }

    #[test]
    fn what_is_in_flight_is_bounded_and_one_request_always_fits() {
        let (outbox, _client) = outbox();
        assert!(!outbox.is_full(usize::MAX / 2));
        let slots: Vec<Slot> = (0..MAX_IN_FLIGHT as u64).map(|i| outbox.admit(i, false, 1)).collect();
        assert!(outbox.is_full(0));
        drop(slots);
        let big = outbox.admit(0, false, MAX_IN_FLIGHT_BYTES);
        assert!(outbox.is_full(1));
        assert!(!outbox.is_full(0));
        drop(big);
    }

    #[test]
    fn replies_that_the_socket_does_not_take_at_once_arrive_whole_and_waited_for_nobody() {
        let (outbox, mut client) = outbox();
        let data = |i: u8| vec![i; 300_000 + usize::from(i)];
        for i in 0..20 {
            // Nobody reads yet, so a task that waited for the client would wait for ever.
            outbox.admit(u64::from(i), false, 1).answer(reply::simple(u64::from(i), 0), data(i));
        }
        std::thread::scope(|scope| {
            let replier = scope.spawn(|| replier::run(&outbox, &outbox.wire));
            for i in 0..20 {
                let mut got = vec![0; 16 + data(i).len()];
                client.read_exact(&mut got).unwrap();
                assert_eq!(&got[..16], reply::simple(u64::from(i), 0).as_bytes());
                assert!(got[16..] == data(i), "reply {i}");
            }
            outbox.drain();
            replier.join().unwrap();
        });
    }
}
