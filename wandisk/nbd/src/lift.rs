//! The data of large writes, on its way from a client's socket to `data.img` through a pipe: the socket's pages go into
//! the pipe as they are, so the data is copied once, into the page cache, and not through memory of the server's.
//!
//! Invariant: a pipe holds data of one request only. What fails in between leaves bytes in it: then it is thrown away
//! with them.
//! Invariant: nothing here waits for room in a pipe: its only reader is the thread that fills it. A client that sends in
//! tiny pieces fills a pipe before its time, and is served through memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::limits::{LIFT_FROM, LIFT_MOST, PIPE};

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(crate) struct Lift {
    out: OwnedFd,
    inward: OwnedFd,
    held: usize,
}

/// What came of a turn of filling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// This many bytes; 0 at the end of the stream.
    Bytes(usize),
    /// None: there are none to be had without waiting.
    MustWait,
    /// None: the pipe has no room.
    Full,
}

impl Lift {
    /// Whether a write of this length is worth a pipe and sure to fit one.
    pub(crate) fn suits(len: usize) -> bool {
        (LIFT_FROM..=LIFT_MOST).contains(&len)
    }

    /// An empty pipe; `None` where the system grants none of that size.
    pub(crate) fn new() -> Option<Lift> {
        let (out, inward) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        let size = fcntl_setpipe_size(&inward, PIPE).ok()?;
        (size >= PIPE).then_some(Lift { out, inward, held: 0 })
    }

    /// How many bytes are in it.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Moves up to `most` bytes of the socket into the pipe, `patient`: waits for the first of them.
    ///
    /// # Errors
    /// Whatever the socket says, an interruption included.
    pub(crate) fn fill(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
        patient: bool,
    ) -> rustix::io::Result<Moved> {
        if patient && !self.has_room()? {
            return Ok(Moved::Full);
        }
        let flags = if patient { SpliceFlags::empty() } else { SpliceFlags::NONBLOCK };
        match splice(socket, None, &self.inward, None, most, flags) {
            Ok(n) => {
                self.held += n;
                Ok(Moved::Bytes(n))
            }
            Err(Errno::AGAIN) if !self.has_room()? => Ok(Moved::Full),
            Err(Errno::AGAIN) if !patient => Ok(Moved::MustWait),
            Err(e) => Err(e),
        }
    }

    fn has_room(&self) -> rustix::io::Result<bool> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.inward, PollFlags::OUT)], Some(&at_once))?;
        Ok(ready > 0)
    }

    /// Writes all that is in the pipe at `offset`, to the page cache.
    ///
    /// # Errors
    /// Whatever the filesystem says; the rest is still in the pipe.
    pub(crate) fn write_to(&mut self, file: BorrowedFd<'_>, mut offset: u64) -> rustix::io::Result<()> {
        while self.held > 0 {
            // Moves `offset` on.
            match splice(&self.out, None, file, Some(&mut offset), self.held, SpliceFlags::empty()) {
                Ok(0) => return Err(Errno::IO),
                Ok(n) => self.held = self.held.saturating_sub(n),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads all that is in the pipe into the start of `room`, which is long enough; how much that was.
    ///
    /// # Errors
    /// If the pipe cannot be read.
    pub(crate) fn take(&mut self, room: &mut [u8]) -> rustix::io::Result<usize> {
        let mut taken = 0;
        while self.held > 0 {
            match rustix::io::read(self.out.as_fd(), &mut room[taken..]) {
                Ok(0) => return Err(Errno::IO),
                Ok(n) => {
                    taken += n;
                    self.held = self.held.saturating_sub(n);
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn lifted(bytes: &[u8]) -> (Lift, UnixStream) {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(bytes).unwrap();
        let mut lift = Lift::new().unwrap();
        while lift.held() < bytes.len() {
            assert!(matches!(
                lift.fill(server.as_fd(), bytes.len() - lift.held(), true),
                Ok(Moved::Bytes(1..))
            ));
        }
        (lift, client)
    }

    #[test]
    fn what_comes_out_of_the_socket_is_in_the_file() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let (mut lift, _client) = lifted(&bytes);
        let mut file = tempfile::tempfile().unwrap();
        lift.write_to(file.as_fd(), 5).unwrap();
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        assert!(found[..5] == [0; 5] && found[5..] == bytes[..] && lift.held() == 0);
    }

    #[test]
    fn what_is_not_written_can_be_taken_back() {
        let (mut lift, _client) = lifted(&[7; 70_000]);
        let mut room = vec![0; 70_000];
        assert_eq!(lift.take(&mut room), Ok(70_000));
        assert!(room == [7; 70_000] && lift.held() == 0);
    }

    #[test]
    fn a_pipe_full_of_tiny_pieces_is_not_waited_for() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut lift = Lift::new().unwrap();
        assert_eq!(lift.fill(server.as_fd(), 1, false), Ok(Moved::MustWait));
        for patient in [false, true].into_iter().cycle() {
            client.write_all(b"x").unwrap();
            match lift.fill(server.as_fd(), LIFT_FROM, patient).unwrap() {
                Moved::Bytes(1) => {}
                Moved::Full => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(lift.held() < LIFT_FROM);
        assert_eq!(lift.fill(server.as_fd(), LIFT_FROM, true), Ok(Moved::Full));
        assert_eq!(lift.fill(server.as_fd(), LIFT_FROM, false), Ok(Moved::Full));
    }

    #[test]
    fn the_end_of_the_stream_is_no_bytes() {
        let (client, server) = UnixStream::pair().unwrap();
        drop(client);
        assert_eq!(Lift::new().unwrap().fill(server.as_fd(), 10, true), Ok(Moved::Bytes(0)));
    }
}
