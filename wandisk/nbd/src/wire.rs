//! One client's socket: blocking, shared by the thread that receives and the threads that send.
//!
//! Invariant: a reply is sent whole under the sending lock, so replies of several threads never mix.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::lift::{Lift, Moved};

/// How much of a reply went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was not sent must be, by somebody"]
pub(crate) enum Sent {
    /// All of it.
    All,
    /// Some; the wire has kept the rest, for whoever sends next.
    Part,
    /// Nothing.
    Nothing,
}

/// A connected stream socket.
#[derive(Debug)]
pub(crate) struct Wire {
    fd: OwnedFd,
    /// Held while sending; what is left of a reply whose first part was sent.
    sending: Mutex<Vec<u8>>,
    /// What the client sends from now on is not taken.
    deaf: AtomicBool,
    /// The system goes on taking in what a client sends after its direction was shut down, as it does for TCP.
    keeps_coming: bool,
}

impl Wire {
    pub(crate) fn new(fd: OwnedFd) -> Wire {
        let keeps_coming = sockopt::socket_domain(&fd) != Ok(AddressFamily::UNIX);
        Wire { fd, sending: Mutex::default(), deaf: AtomicBool::new(false), keeps_coming }
    }

    /// From now on no receive or send goes on past `deadline`; `None` lifts that.
    ///
    /// # Errors
    /// `TimedOut` if it has passed.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sockopt::set_socket_timeout(&self.fd, Timeout::Recv, left)?;
        sockopt::set_socket_timeout(&self.fd, Timeout::Send, left)?;
        Ok(())
    }

    /// Receives what is there, at least one byte; 0 at the end of the stream.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.deaf.load(Ordering::Acquire) {
                return Ok(0);
            }
            match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((n, _)) => return Ok(n),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Moves up to `most` bytes of what the client sends into a pipe, `patient`: waits for the first of them.
    pub(crate) fn lift(&self, lift: &mut Lift, most: usize, patient: bool) -> io::Result<Moved> {
        loop {
            if self.deaf.load(Ordering::Acquire) {
                return Ok(Moved::Bytes(0));
            }
            match lift.fill(self.fd.as_fd(), most, patient) {
                Err(Errno::INTR) => {}
                moved => return Ok(moved?),
            }
        }
    }

    /// Sends all of it.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.send_rest(&mut rest)?;
        self.send_all(bytes)
    }

    /// Sends all of all of them, in order and with nothing between; at most 1024 at once.
    pub(crate) fn send_parts(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.send_rest(&mut rest)?;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.send_some(parts, SendFlags::empty()) {
                Ok(n) => IoSlice::advance_slices(&mut parts, n),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Sends what can be sent without waiting for the client, or for another sender. Where that is a part, the rest
    /// is kept, and is the first thing that the next sender sends.
    pub(crate) fn try_send(&self, parts: &mut [IoSlice<'_>]) -> io::Result<Sent> {
        let mut rest = match self.sending.try_lock() {
            Ok(rest) => rest,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Sent::Nothing),
        };
        if !rest.is_empty() {
            return Ok(Sent::Nothing);
        }
        let sent = match self.send_some(parts, SendFlags::DONTWAIT) {
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Sent::Nothing),
            Err(e) => return Err(e.into()),
        };
        let mut left = parts;
        IoSlice::advance_slices(&mut left, sent);
        left.iter().for_each(|part| rest.extend_from_slice(part));
        Ok(if rest.is_empty() { Sent::All } else { Sent::Part })
    }

    fn send_rest(&self, rest: &mut Vec<u8>) -> io::Result<()> {
        if rest.is_empty() { Ok(()) } else { self.send_all(&std::mem::take(rest)) }
    }

    fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn send_some(&self, parts: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
        let mut nothing = SendAncillaryBuffer::default();
        rustix::net::sendmsg(&self.fd, parts, &mut nothing, flags | SendFlags::NOSIGNAL)
    }

    /// The client's bytes end here; replies can still be sent. What has arrived already can be received, unless the
    /// system would never come to an end of it.
    pub(crate) fn end_requests(&self) {
        self.deaf.store(self.keeps_coming, Ordering::Release);
        rustix::net::shutdown(&self.fd, Shutdown::Read).ok();
    }

    /// Ends both directions; whoever receives or sends comes back at once.
    pub(crate) fn cut(&self) {
        rustix::net::shutdown(&self.fd, Shutdown::Both).ok();
    }
}
