//! A socket of either kind, and where the renderer is.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where the renderer is looked for when nobody says.
const USUAL: &str = "/run/vmgl/gl.sock";

/// Where the renderer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

impl Place {
    /// What `VMGL_GL` says: `unix:PATH` or `tcp:HOST:PORT`; the usual place if nothing. None if it makes no sense.
    pub(crate) fn of(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("") => Some(Self::Unix(USUAL.into())),
            Some(text) => match text.split_once(':')? {
                ("unix", path) if !path.is_empty() => Some(Self::Unix(path.into())),
                ("tcp", address) if address.contains(':') => Some(Self::Tcp(address.to_owned())),
                _ => None,
            },
        }
    }

    /// Whether bytes on the way are worth packing.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

#[derive(Debug)]
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    pub(super) fn connect(place: &Place, patience: Duration) -> io::Result<Self> {
        match place {
            Place::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            Place::Tcp(address) => {
                let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, patience) {
                        Ok(socket) => {
                            socket.set_nodelay(true)?;
                            return Ok(Self::Tcp(socket));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
        }
    }

    /// How long reading may take.
    pub(super) fn patience(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.set_read_timeout(patience),
            Self::Tcp(socket) => socket.set_read_timeout(patience),
        }
    }

    /// Ends the connection for all that hold it: who waits gets an error.
    pub(super) fn close(&self) {
        // It may have ended already.
        let _closed = match self {
            Self::Unix(socket) => socket.shutdown(Shutdown::Both),
            Self::Tcp(socket) => socket.shutdown(Shutdown::Both),
        };
    }
}

/// Nothing came in the time that was given.
pub(super) fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read(bytes),
            Self::Tcp(socket) => socket.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_is_a_path_or_a_host_with_a_port() {
        assert_eq!(Place::of(None), Some(Place::Unix("/run/vmgl/gl.sock".into())));
        assert_eq!(Place::of(Some("unix:/a/b")), Some(Place::Unix("/a/b".into())));
        assert_eq!(Place::of(Some("tcp:desk:5999")), Some(Place::Tcp("desk:5999".to_owned())));
        for wrong in ["tcp:desk", "unix:", "desk:5999", "x"] {
            assert_eq!(Place::of(Some(wrong)), None, "{wrong}");
        }
    }
}
