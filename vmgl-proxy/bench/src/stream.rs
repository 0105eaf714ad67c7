//! A blocking connection to `tcp:HOST:PORT` or `unix:PATH`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use vmgl_proxy::Address;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// TCP, whose small messages go at once.
    Tcp(TcpStream),
    /// A socket file.
    Unix(UnixStream),
}

impl Stream {
    /// Connects.
    ///
    /// # Errors
    /// What connecting gives.
    pub fn connect(to: &Address) -> io::Result<Self> {
        match to {
            Address::Tcp(at) => Self::tcp(TcpStream::connect(at)?),
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// A second handle of the same connection.
    ///
    /// # Errors
    /// What the system gives.
    pub fn second(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    /// Reading waits no longer than this.
    ///
    /// # Errors
    /// What the system gives.
    pub fn patience(&self, most: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(most)),
            Self::Unix(stream) => stream.set_read_timeout(Some(most)),
        }
    }

    /// Ends it for all its handles.
    pub fn end(&self) {
        // Ended already is as good.
        let _ended = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Stream {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(piece),
            Self::Unix(stream) => stream.read(piece),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A door.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file.
    Unix(UnixListener),
}

impl Door {
    /// Listens; a socket file that is there is replaced.
    ///
    /// # Errors
    /// What listening gives.
    pub fn open(at: &Address) -> io::Result<Self> {
        match at {
            Address::Tcp(at) => TcpListener::bind(at).map(Self::Tcp),
            Address::Unix(path) => {
                if path.exists() {
                    std::fs::remove_file(path)?;
                }
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    /// The next who comes.
    ///
    /// # Errors
    /// What accepting gives.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Stream::tcp(listener.accept()?.0),
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }
}
