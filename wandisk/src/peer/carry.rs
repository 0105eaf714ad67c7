//! A dialler's stream carried to the disk's keeper and back, byte by byte.
//!
//! Two threads and no executor, for there is nothing else to do: each waits in the calls that move its bytes.
//!
//! Not by [`io::copy`], which would use splice(2): while that waits for a socket's next bytes it holds the pipe that the
//! last ones are in, so that nobody can read them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::limits::LAST_WORDS;

/// Bytes that are carried at a time, and room in a pipe.
const CARRIED: usize = 256 << 10;

/// Which way has ended, and how.
enum Ended {
    There(io::Result<()>),
    Back(io::Result<()>),
}

/// Our own descriptor of standard input or output, whose calls wait.
///
/// # Errors
/// None is left.
pub fn own(stream: impl AsFd) -> io::Result<File> {
    let stream = File::from(stream.as_fd().try_clone_to_owned()?);
    let flags = fcntl_getfl(&stream)?;
    if flags.contains(OFlags::NONBLOCK) {
        fcntl_setfl(&stream, flags - OFlags::NONBLOCK)?;
    }
    // Where it is a pipe, and the user's pipes have room left: fewer wakeups.
    rustix::pipe::fcntl_setpipe_size(&stream, CARRIED).ok();
    Ok(stream)
}

/// Carries until `from` ends.
fn carry(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CARRIED];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Joins a dialler to the disk's keeper, which hears `first` before anything else, until the keeper has said its last.
/// Threads may still wait in a call then: the process is to end.
///
/// # Errors
/// The streams'.
pub fn join(keeper: UnixStream, first: Vec<u8>, input: File, mut output: File) -> io::Result<()> {
    keeper.set_nonblocking(false)?;
    let (tell, ended) = mpsc::channel();
    let mut to_keeper = keeper.try_clone()?;
    let told = tell.clone();
    std::thread::Builder::new().name("there".to_owned()).spawn(move || {
        let carried = to_keeper
            .write_all(&first)
            .and_then(|()| carry(input, &mut to_keeper))
            .and_then(|()| to_keeper.shutdown(Shutdown::Write));
        told.send(Ended::There(carried)).ok();
    })?;
    std::thread::Builder::new().name("back".to_owned()).spawn(move || {
        let carried = carry(keeper, &mut output);
        tell.send(Ended::Back(carried)).ok();
    })?;
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    match ended.recv().map_err(|_| gone())? {
        Ended::Back(said) => said,
        Ended::There(Ok(())) => match ended.recv() {
            Ok(Ended::Back(said)) => said,
            _ => Err(gone()),
        },
        // A keeper that hears no more may have said why.
        Ended::There(Err(e)) => match ended.recv_timeout(LAST_WORDS) {
            Ok(Ended::Back(said)) => said,
            _ => Err(e),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Pipes as sshd gives them, and a keeper's socket.
    struct Joined {
        dialler: Option<File>,
        said: File,
        keeper: UnixStream,
        joined: std::thread::JoinHandle<io::Result<()>>,
    }

    fn joined() -> Joined {
        let ((input, dialler), (said, output)) =
            (rustix::pipe::pipe().unwrap(), rustix::pipe::pipe().unwrap());
        let (ours, keeper) = UnixStream::pair().unwrap();
        let (input, output) = (own(&input).unwrap(), own(&output).unwrap());
        let joined = std::thread::spawn(move || join(ours, b"hello ".to_vec(), input, output));
        Joined { dialler: Some(dialler.into()), said: said.into(), keeper, joined }
    }

    /// More than any buffer on the way.
    fn much() -> Vec<u8> {
        (0..3_000_000u32).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn all_bytes_come_there_in_order_and_so_does_the_end() {
        let mut link = joined();
        let mut dialler = link.dialler.take().unwrap();
        let writing = std::thread::spawn(move || dialler.write_all(&much()).unwrap());
        let mut heard = Vec::new();
        link.keeper.read_to_end(&mut heard).unwrap();
        writing.join().unwrap();
        assert!(heard == [b"hello ".as_slice(), &much()].concat());
        // The dialler's end is not the keeper's.
        link.keeper.write_all(b"and you?").unwrap();
        drop(link.keeper);
        link.joined.join().unwrap().unwrap();
        let mut said = [0; 8];
        link.said.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"and you?");
    }

    #[test]
    fn what_a_keeper_says_is_heard_before_it_says_more() {
        let mut link = joined();
        for n in 0..100u8 {
            link.keeper.write_all(&[n]).unwrap();
            let mut said = [0];
            link.said.read_exact(&mut said).unwrap();
            assert_eq!(said, [n]);
        }
    }

    #[test]
    fn what_a_keeper_says_last_is_carried_though_it_hears_no_more() {
        let mut link = joined();
        link.keeper.shutdown(Shutdown::Read).unwrap();
        link.keeper.write_all(b"no room").unwrap();
        drop(link.keeper);
        link.joined.join().unwrap().ok();
        let mut said = String::new();
        link.said.read_to_string(&mut said).unwrap();
        assert_eq!(said, "no room");
    }

    #[test]
    fn a_dialler_that_is_gone_ends_it() {
        let link = joined();
        drop((link.dialler, link.said));
        let mut keeper = link.keeper;
        keeper.write_all(&[0; 4096]).ok();
        assert!(link.joined.join().unwrap().is_err());
    }
}
