//! Where a peer is: `tcp:HOST:PORT` or `unix:PATH`; connecting to it and listening there.
//!
//! Invariant: a socket file is only replaced when nobody answers at it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustix::net::sockopt;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Time before the next is accepted after one could not be.
const PAUSE: Duration = Duration::from_millis(100);
/// After that long without a word from a peer the system asks for a sign of life, [`SIGNS`] times every
/// [`BETWEEN`]: one that is gone without a word must not hold its place for ever.
const SILENCE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(15);
const SIGNS: u32 = 4;

/// Both halves of a connection, whatever it runs over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An address of a VNC server or of the proxy's own door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `HOST:PORT`.
    Tcp(String),
    /// A socket file.
    Unix(PathBuf),
}

/// What is no address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no address: tcp:HOST:PORT or unix:PATH")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let no = || NoAddress(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", rest)) => match rest.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp(rest.to_owned()))
                }
                _ => Err(no()),
            },
            _ => Err(no()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp:{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Connects; small messages are sent at once.
    ///
    /// # Errors
    /// What connecting gives.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(at) => {
                let stream = TcpStream::connect(at).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }

    /// Listens.
    ///
    /// # Errors
    /// What binding gives; a socket file at which somebody answers is in use.
    pub async fn listen(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(at) => TcpListener::bind(at).await.map(Listener::Tcp),
            Self::Unix(path) => {
                match UnixStream::connect(path).await {
                    Ok(_answers) => return Err(io::ErrorKind::AddrInUse.into()),
                    Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                        std::fs::remove_file(path)?;
                    }
                    Err(_) => {}
                }
                UnixListener::bind(path).map(Listener::Unix)
            }
        }
    }
}

/// A connection that can be handed to another process.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A socket file.
    Unix(UnixStream),
}

impl Socket {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// What reading gives, and the connection's end.
    pub async fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.read_exact(bytes).await,
            Self::Unix(stream) => stream.read_exact(bytes).await,
        }
        .map(|_| ())
    }

    /// The connection, for who only reads and writes.
    #[must_use]
    pub fn boxed(self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }

    /// The connection, for a process that waits in its reads.
    ///
    /// # Errors
    /// What the system gives.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        let fd: OwnedFd = match self {
            Self::Tcp(stream) => stream.into_std()?.into(),
            Self::Unix(stream) => stream.into_std()?.into(),
        };
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(fd)
    }
}

/// A door.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file.
    Unix(UnixListener),
}

impl Listener {
    /// The next who comes, and where from.
    ///
    /// # Errors
    /// What accepting gives.
    pub async fn accept(&self) -> io::Result<(Box<dyn Stream>, String)> {
        self.accept_socket().await.map(|(socket, from)| (socket.boxed(), from))
    }

    async fn accept_socket(&self) -> io::Result<(Socket, String)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                stream.set_nodelay(true)?;
                watch(&stream)?;
                (Socket::Tcp(stream), from.to_string())
            }
            Self::Unix(listener) => (Socket::Unix(listener.accept().await?.0), "unix".to_owned()),
        })
    }

    /// As [`Listener::next_socket`], for who only reads and writes.
    pub async fn next(&self) -> (Box<dyn Stream>, String) {
        let (socket, from) = self.next_socket().await;
        (socket.boxed(), from)
    }

    /// The next who comes. A connection that cannot be had (it is gone again, too many files are open) is not
    /// the door's end: it goes on after a pause.
    pub async fn next_socket(&self) -> (Socket, String) {
        loop {
            match self.accept_socket().await {
                Ok(who) => return who,
                Err(fault) => {
                    tracing::warn!("accepting a connection: {fault}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Where it listens, with the port that was given for port 0.
    ///
    /// # Errors
    /// What the system gives.
    pub fn address(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => format!("tcp:{}", listener.local_addr()?),
            Self::Unix(listener) => {
                let at = listener.local_addr()?;
                format!(
                    "unix:{}",
                    at.as_pathname().map(|path| path.display().to_string()).unwrap_or_default()
                )
            }
        })
    }
}

/// Has the system notice when the peer is gone.
fn watch(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, BETWEEN)?;
    // No TCP_USER_TIMEOUT: it would also end viewers that are there and do not read for a while.
    Ok(sockopt::set_tcp_keepcnt(stream, SIGNS)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_viewer_that_vanishes_is_noticed_by_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        watch(&stream).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), SILENCE);
    }

    #[test]
    fn an_address_reads_as_it_is_written_and_others_are_refused() {
        for good in ["tcp:localhost:5900", "tcp:[::1]:0", "unix:/run/vnc"] {
            assert_eq!(good.parse::<Address>().map(|at| at.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "tcp:", "tcp:host", "tcp::1", "tcp:h:65536", "unix:", "udp:h:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
