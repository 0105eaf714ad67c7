//! A connection's two buffers: requests are received many at once, replies gathered and sent together.
//!
//! Both are allocated once a connection; the hot path allocates nothing.
//!
//! Invariant: replies that are ready are sent before anything is waited for.

use std::io;
use std::time::Instant;

use crate::limits::{GATHERED_FOR, RECEIVE_BUFFER, SEND_BUFFER};
use crate::proto::reply::Head;
use crate::wire::Wire;

/// What was received and not yet taken.
#[derive(Debug)]
pub(crate) struct Receiver {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Nothing is received beyond what is needed, since what comes next goes past the buffer.
    lean: bool,
}

impl Receiver {
    /// Starts with bytes that came with the handshake; they fit, since a handshake's buffer is smaller.
    pub(crate) fn new(left_over: &[u8]) -> Receiver {
        let mut buffer = vec![0; RECEIVE_BUFFER.max(left_over.len())];
        buffer[..left_over.len()].copy_from_slice(left_over);
        Receiver { buffer: buffer.into(), start: 0, end: left_over.len(), lean: false }
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Gives up the first `n` bytes of what is there.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Whether only what is needed is received from now on, or all that is there.
    pub(crate) fn set_lean(&mut self, lean: bool) {
        self.lean = lean;
    }

    /// Could `n` bytes be there at once?
    pub(crate) fn fits(&self, n: usize) -> bool {
        n <= self.buffer.len()
    }

    /// Receives until `n` bytes are there; `false` if the stream ends first. `n` must fit.
    pub(crate) fn need(&mut self, n: usize, wire: &Wire, replies: &mut Sender) -> io::Result<bool> {
        while self.end - self.start < n {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            } else if self.start + n > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            replies.flush(wire)?;
            let until = if self.lean { self.start + n } else { self.buffer.len() };
            match wire.receive(&mut self.buffer[self.end..until])? {
                0 => return Ok(false),
                got => self.end += got,
            }
        }
        Ok(true)
    }

    /// Moves the next bytes into `out`, past the buffer where they are not there yet; `false` at the stream's end.
    pub(crate) fn take(&mut self, out: &mut [u8], wire: &Wire, replies: &mut Sender) -> io::Result<bool> {
        let n = out.len().min(self.end - self.start);
        out[..n].copy_from_slice(&self.bytes()[..n]);
        self.consume(n);
        let mut rest = &mut out[n..];
        while !rest.is_empty() {
            replies.flush(wire)?;
            match wire.receive(rest)? {
                0 => return Ok(false),
                got => rest = &mut rest[got..],
            }
        }
        Ok(true)
    }

    /// Throws the next `n` bytes away; `false` if the stream ends first.
    pub(crate) fn skip(&mut self, mut n: usize, wire: &Wire, replies: &mut Sender) -> io::Result<bool> {
        while n > 0 {
            if !self.need(1, wire, replies)? {
                return Ok(false);
            }
            let now = n.min(self.end - self.start);
            self.consume(now);
            n -= now;
        }
        Ok(true)
    }
}

/// Replies of the reader thread that are not sent yet.
#[derive(Debug)]
pub(crate) struct Sender {
    buffer: Box<[u8]>,
    used: usize,
    /// Since when the first of them waits.
    since: Instant,
}

impl Sender {
    pub(crate) fn new() -> Sender {
        Sender { buffer: vec![0; SEND_BUFFER].into(), used: 0, since: Instant::now() }
    }

    /// Sends what has been gathered if the first of it has waited long enough.
    pub(crate) fn flush_if_due(&mut self, wire: &Wire) -> io::Result<()> {
        if self.used > 0 && self.since.elapsed() >= GATHERED_FOR { self.flush(wire) } else { Ok(()) }
    }

    /// Sends what has been gathered.
    pub(crate) fn flush(&mut self, wire: &Wire) -> io::Result<()> {
        if self.used == 0 {
            return Ok(());
        }
        let used = std::mem::take(&mut self.used);
        wire.send(&self.buffer[..used])
    }

    /// Adds a reply without data.
    pub(crate) fn push(&mut self, head: &Head, wire: &Wire) -> io::Result<()> {
        let bytes = head.as_bytes();
        if self.used + bytes.len() > self.buffer.len() {
            self.flush(wire)?;
        }
        self.buffer[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.gathered(bytes.len());
        Ok(())
    }

    fn gathered(&mut self, bytes: usize) {
        if self.used == 0 {
            self.since = Instant::now();
        }
        self.used += bytes;
    }

    /// Adds a reply whose `len` bytes of data `fill` writes in place. If `fill` says `false`, nothing is added.
    pub(crate) fn push_data(
        &mut self,
        head: &Head,
        len: usize,
        wire: &Wire,
        fill: impl FnOnce(&mut [u8]) -> bool,
    ) -> io::Result<bool> {
        let at = head.as_bytes().len();
        if self.used + at + len > self.buffer.len() {
            self.flush(wire)?;
        }
        let room = &mut self.buffer[self.used..self.used + at + len];
        let filled = fill(&mut room[at..]);
        if filled {
            room[..at].copy_from_slice(head.as_bytes());
            self.gathered(at + len);
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::proto::reply;

    #[test]
    fn a_reply_waits_for_others_no_longer_than_it_may() {
        let (ours, mut client) = UnixStream::pair().unwrap();
        client.set_nonblocking(true).unwrap();
        let wire = Wire::new(ours.into());
        let (mut sender, mut got) = (Sender::new(), [0; 32]);
        sender.push(&reply::simple(1, 0), &wire).unwrap();
        // As if none of its time had passed, however slow this machine is.
        sender.since = Instant::now() + GATHERED_FOR * 1_000_000;
        sender.flush_if_due(&wire).unwrap();
        assert_eq!(client.read(&mut got).unwrap_err().kind(), ErrorKind::WouldBlock);
        sender.since = Instant::now().checked_sub(GATHERED_FOR).unwrap();
        // It is the first that counts.
        sender.push(&reply::simple(2, 0), &wire).unwrap();
        sender.flush_if_due(&wire).unwrap();
        assert_eq!(client.read(&mut got).unwrap(), 32);
    }
}
