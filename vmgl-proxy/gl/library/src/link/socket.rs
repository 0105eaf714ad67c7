//! A socket of either kind, and where the renderer is.
//!
//! A program may draw nothing for hours, and whoever carries its connection may die and be replaced meanwhile: nobody would notice until
//! the next picture, and at the desk the last one is taken away. So where nothing is on its way the system asks for a sign of life; the
//! next carrier says that it knows of no such connection. Silence is a line that is away, and ends nothing here ([`SIGNS`]).

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where the renderer is looked for when nobody says.
const USUAL: &str = "/run/vmgl/gl.sock";
/// After so many seconds of silence a sign of life is asked for, and as often again.
const QUIET: libc::c_int = 5;
/// How many of them may be without an answer: the most that the system takes, ten minutes.
const SIGNS: libc::c_int = 127;

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
                            watch(&socket)?;
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

/// Has the system notice that a connection is known no more.
fn watch(socket: &TcpStream) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, QUIET)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, QUIET)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, SIGNS)
}

fn set(socket: &TcpStream, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is the socket's, which lives; the value is as long as is said, and is only read.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use super::{Place, QUIET, SIGNS, Socket};

    /// What the system has for an option of this socket's.
    fn option(socket: &TcpStream, level: libc::c_int, name: libc::c_int) -> libc::c_int {
        let (mut value, mut length) = (0, libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap());
        // SAFETY: the descriptor is the socket's, which lives; the value is as long as is said.
        let done = unsafe {
            libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
        };
        assert_eq!(done, 0);
        value
    }

    #[test]
    fn the_system_notices_that_a_connection_is_known_no_more_though_nothing_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap().to_string());
        let Socket::Tcp(socket) = Socket::connect(&place, Duration::from_secs(60)).unwrap() else {
            panic!("it is TCP")
        };
        assert_ne!(option(&socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
        let tcp = |name| option(&socket, libc::IPPROTO_TCP, name);
        let all = [libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_KEEPCNT].map(tcp);
        assert_eq!(all, [QUIET, QUIET, SIGNS]);
    }

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
