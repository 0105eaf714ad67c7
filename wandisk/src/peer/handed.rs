//! A dialler's pipes, handed to the disk's keeper: it reads and writes them itself.
//!
//! `serve` would else carry each byte once more, from a pipe to a socket, which takes as much of a processor as encrypting it.
//! It sends the two descriptors with its first line (`SCM_RIGHTS`, unix(7)) and then only waits: the socket's end tells the
//! keeper that `serve` is gone, and `serve` that the keeper has said its last. What is no pipe is carried ([`super::carry`]).
//!
//! Invariant: descriptors are taken from a connection to the control socket only, which is its user's alone; what is neither
//! end of a pipe is refused, and what comes beyond two is closed.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::fs::FileType;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::unix::pipe;

/// Descriptors of a connection: what a dialler says, and what it hears.
const DESCRIPTORS: usize = 2;

/// Can both be handed over?
#[must_use]
pub fn are_pipes(input: &File, output: &File) -> bool {
    let is_pipe = |file: &File| {
        let stat = rustix::fs::fstat(file);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    };
    is_pipe(input) && is_pipe(output)
}

/// Hands both to the keeper, with what it hears before anything else, and waits until it has said its last.
///
/// # Errors
/// The socket's.
pub fn hand(mut keeper: UnixStream, first: &[u8], input: &File, output: &File) -> io::Result<()> {
    keeper.set_nonblocking(false)?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut with = SendAncillaryBuffer::new(&mut room);
    let pipes = [input.as_fd(), output.as_fd()];
    if !with.push(SendAncillaryMessage::ScmRights(&pipes)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = rustix::io::retry_on_intr(|| {
        sendmsg(&keeper, &[IoSlice::new(first)], &mut with, SendFlags::NOSIGNAL)
    })?;
    keeper.write_all(&first[sent..])?;
    let mut nothing = [0; 64];
    loop {
        match keeper.read(&mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The pipes that came with a connection's bytes so far.
#[derive(Clone, Debug, Default)]
pub struct Pipes(Arc<Mutex<Vec<OwnedFd>>>);

impl Pipes {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the dialler says, and where it hears.
    ///
    /// # Errors
    /// `InvalidData` unless two ends of pipes came.
    pub fn take(&self) -> io::Result<(pipe::Receiver, pipe::Sender)> {
        let mut all = std::mem::take(&mut *self.all()).into_iter();
        match (all.next(), all.next()) {
            (Some(input), Some(output)) => {
                Ok((pipe::Receiver::from_owned_fd(input)?, pipe::Sender::from_owned_fd(output)?))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no pipes came with a session")),
        }
    }
}

/// The reading half of a connection, which keeps the descriptors that come with its bytes.
#[derive(Debug)]
pub struct Reading {
    inner: OwnedReadHalf,
    pipes: Pipes,
}

impl Reading {
    /// Reads, and where the descriptors will be.
    #[must_use]
    pub fn of(inner: OwnedReadHalf) -> (Reading, Pipes) {
        let pipes = Pipes::default();
        (Reading { inner, pipes: pipes.clone() }, pipes)
    }

    fn receive(&self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut with = RecvAncillaryBuffer::new(&mut room);
        let bytes = &mut [IoSliceMut::new(buf.initialize_unfilled())];
        let came = recvmsg(self.inner.as_ref(), bytes, &mut with, RecvFlags::CMSG_CLOEXEC)?;
        let rights = with.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut kept = self.pipes.all();
        for descriptor in rights.flatten() {
            if kept.len() < DESCRIPTORS {
                kept.push(descriptor);
            }
        }
        buf.advance(came.bytes);
        Ok(())
    }
}

impl AsyncRead for Reading {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.inner.as_ref();
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_io(Interest::READABLE, || self.receive(buf)) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn reading(stream: UnixStream) -> (Reading, Pipes) {
        stream.set_nonblocking(true).unwrap();
        let (read, write) = tokio::net::UnixStream::from_std(stream).unwrap().into_split();
        write.forget();
        Reading::of(read)
    }

    fn pipe() -> (File, File) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (read.into(), write.into())
    }

    #[tokio::test]
    async fn a_keeper_reads_and_writes_what_was_handed_to_it_and_the_end_is_heard_by_both() {
        let ((input, mut dialler), (mut said, output)) = (pipe(), pipe());
        assert!(are_pipes(&input, &output));
        let (ours, keepers) = UnixStream::pair().unwrap();
        let first = vec![7u8; 300_000];
        let handing = std::thread::spawn(move || hand(ours, &first, &input, &output));
        let (mut reading, pipes) = reading(keepers);
        let mut heard = vec![0; 300_000];
        reading.read_exact(&mut heard).await.unwrap();
        assert!(heard.iter().all(|byte| *byte == 7), "what is said first comes as bytes");
        let (mut input, mut output) = pipes.take().unwrap();
        dialler.write_all(b"hello").unwrap();
        let mut hello = [0; 5];
        input.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        output.write_all(b"and you?").await.unwrap();
        let mut answer = [0; 8];
        said.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"and you?");
        drop(dialler);
        assert_eq!(input.read(&mut hello).await.unwrap(), 0, "the dialler's end");
        drop((reading, output));
        handing.join().unwrap().unwrap();
        assert_eq!(said.read(&mut answer).unwrap(), 0, "the keeper's");
    }

    #[tokio::test]
    async fn what_is_no_pipe_is_not_taken() {
        let (read, write) = pipe();
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        assert!(!are_pipes(&read, &file) && !are_pipes(&file, &write));
        let (ours, keepers) = UnixStream::pair().unwrap();
        let handing = std::thread::spawn(move || hand(ours, b"x", &read, &file));
        let (mut reading, pipes) = reading(keepers);
        let mut byte = [0];
        reading.read_exact(&mut byte).await.unwrap();
        assert!(pipes.take().is_err());
        assert!(pipes.take().is_err(), "without any");
        drop(reading);
        handing.join().unwrap().unwrap();
    }
}
