//! A program's connection, read by a thread as bytes come: so it is known when a picture came that had to wait until others were
//! drawn. The program tells by it what of its pictures' time is the line's.
//!
//! Invariant: at most [`AHEAD`] pieces are read ahead; the program's system holds what is beyond them.
//! Invariant: the thread ends with the reader, or with the connection.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

/// Bytes that are read at once.
const READ: usize = 256 << 10;
/// Pieces that wait.
const AHEAD: usize = 4;

/// Bytes that came together, and when.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reader {
    program: OwnedFd,
    pieces: Receiver<Piece>,
    /// Counts pieces, and the end.
    ready: OwnedFd,
}

impl Reader {
    /// Begins to read.
    pub(crate) fn new(program: OwnedFd) -> io::Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE)?;
        let (put, pieces) = sync_channel(AHEAD);
        let (from, tell) = (program.try_clone()?, ready.try_clone()?);
        thread::Builder::new().name("vmgl-reader".to_owned()).spawn(move || read(&from, put, &tell))?;
        Ok(Self { program, pieces, ready })
    }

    /// The connection, for what is written to it.
    pub(crate) fn program(&self) -> &OwnedFd {
        &self.program
    }

    /// Readable where a piece is there, or the connection's end.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// The next piece, for which it waits; none at the end.
    pub(crate) fn piece(&self) -> io::Result<Option<Piece>> {
        let mut count = [0; 8];
        while let Err(fault) = rustix::io::read(&self.ready, &mut count) {
            if fault != Errno::INTR {
                return Err(fault.into());
            }
        }
        Ok(self.pieces.recv().ok())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // The thread may be waiting for bytes. A connection that is broken already has nothing to shut.
        let _shut = shutdown(&self.program, Shutdown::Both);
    }
}

#[allow(clippy::host_endian_bytes, reason = "an eventfd counts in the machine's own order")]
fn read(program: &OwnedFd, put: SyncSender<Piece>, tell: &OwnedFd) {
    let one = || rustix::io::write(tell, &1_u64.to_ne_bytes()).is_ok();
    let mut room = vec![0; READ];
    loop {
        match rustix::io::read(program, &mut room) {
            Ok(0) => break,
            Ok(count) => {
                let bytes = room.get(..count).unwrap_or_default().to_vec();
                if put.send(Piece { bytes, at: Instant::now() }).is_err() || !one() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            Err(fault) => {
                tracing::info!("the program's connection: {fault}");
                break;
            }
        }
    }
    drop(put);
    let _nobody_waits = one();
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn pieces_come_with_the_moment_they_came_at_though_nobody_had_time_for_them() {
        let (mut program, here) = UnixStream::pair().unwrap();
        let reader = Reader::new(here.into()).unwrap();
        program.write_all(b"first").unwrap();
        let piece = reader.piece().unwrap().unwrap();
        assert_eq!(piece.bytes, b"first");
        let before = Instant::now();
        assert!(piece.at <= before);
        program.write_all(b"second").unwrap();
        drop(program);
        let piece = reader.piece().unwrap().unwrap();
        assert!(piece.bytes == b"second" && piece.at >= before);
        assert!(reader.piece().unwrap().is_none());
    }

    #[test]
    fn a_reader_that_goes_ends_the_connection() {
        use std::io::Read;
        let (mut program, here) = UnixStream::pair().unwrap();
        drop(Reader::new(here.into()).unwrap());
        assert_eq!(program.read(&mut [0; 1]).unwrap(), 0);
    }
}
