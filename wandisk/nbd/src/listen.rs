//! The listening socket: made, and for a socket in the filesystem replaced, guarded and removed.
//!
//! A socket's path may be longer than the 108 bytes of an address: it is then named through its folder's descriptor.
//! The file has mode 0600 before anybody can connect to it, since until `listen` the system refuses whoever tries.
//!
//! Fault model: a server that died leaves its socket file, which refuses connections; that is how it is told from a
//! live one. Two servers that start at the same moment at the same path are kept apart by the disk's own lock, not
//! here.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::address::Address;
use crate::error::NbdError;

/// Longest path that fits a socket's address, with its closing zero.
const LONGEST_PATH: usize = 107;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How long to wait when the system has no more descriptors or memory for a connection.
const NO_ROOM_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A socket that listens, and its file's end.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped before the socket, so that its name never stands for something that refuses.
    _file: Option<SocketFile>,
    fd: OwnedFd,
    address: Address,
}

impl Listener {
    pub(crate) fn bind(address: &Address) -> Result<Listener, NbdError> {
        match address {
            Address::Unix(path) => bind_unix(path),
            Address::Tcp { host, port } => {
                let failed = |source| NbdError::Listen { address: address.to_string(), source };
                let listener = TcpListener::bind((host.as_str(), *port)).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                let port = listener.local_addr().map_err(failed)?.port();
                let address = Address::Tcp { host: host.clone(), port };
                Ok(Listener { fd: listener.into(), address, _file: None })
            }
        }
    }

    /// Where it listens: an absolute path, or the real port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection; `None` once `stop` was raised.
    pub(crate) fn accept(&self, stop: &StopSignal) -> io::Result<Option<OwnedFd>> {
        loop {
            let mut fds = [stop.poll_fd(), PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            if !fds[0].revents().is_empty() {
                return Ok(None);
            }
            match rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC) {
                Ok(fd) => {
                    if matches!(self.address, Address::Tcp { .. }) {
                        sockopt::set_tcp_nodelay(&fd, true).ok();
                        sockopt::set_socket_keepalive(&fd, true).ok();
                    }
                    return Ok(Some(fd));
                }
                Err(e @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK)) => return Err(e.into()),
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "a connection could not be accepted");
                    stop.wait(NO_ROOM_PAUSE);
                }
            }
        }
    }
}

/// Raised once, to wake the thread that accepts.
#[derive(Debug)]
pub(crate) struct StopSignal(OwnedFd);

impl StopSignal {
    pub(crate) fn new() -> io::Result<StopSignal> {
        Ok(StopSignal(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    #[expect(clippy::host_endian_bytes, reason = "the kernel counts in the machine's own order")]
    pub(crate) fn raise(&self) {
        rustix::io::write(&self.0, &1u64.to_ne_bytes()).ok();
    }

    fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }

    fn wait(&self, at_most: Timespec) {
        rustix::event::poll(&mut [self.poll_fd()], Some(&at_most)).ok();
    }
}

/// A socket's file, removed when this is dropped unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    folder: OwnedFd,
    name: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(self.folder.as_fd(), &self.name).is_ok_and(|(_, now)| now == self.identity) {
            rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()).ok();
        }
    }
}

fn identity(folder: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<(FileType, (u64, u64))> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((FileType::from_raw_mode(stat.st_mode), (stat.st_dev, stat.st_ino)))
}

fn bind_unix(path: &Path) -> Result<Listener, NbdError> {
    let failed = |source: io::Error| NbdError::Listen { address: format!("unix:{}", path.display()), source };
    let path = std::path::absolute(path).map_err(failed)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let name = PathBuf::from(name);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let addressable = if path.as_os_str().as_bytes().len() <= LONGEST_PATH {
        path.clone()
    } else {
        Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(&name)
    };
    let socket_address =
        SocketAddrUnix::new(&addressable).map_err(|_| NbdError::NameTooLong { path: path.clone() })?;

    make_way(&path, folder.as_fd(), &name, &socket_address)?;
    let listen = || -> rustix::io::Result<(OwnedFd, (u64, u64))> {
        let fd = stream_socket()?;
        rustix::net::bind(&fd, &socket_address)?;
        rustix::fs::chmodat(&folder, &name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
        let (_, identity) = identity(folder.as_fd(), &name)?;
        rustix::net::listen(&fd, BACKLOG)?;
        Ok((fd, identity))
    };
    let (fd, identity) = listen().map_err(|e| failed(e.into()))?;
    let file = SocketFile { folder, name, identity };
    Ok(Listener { _file: Some(file), fd, address: Address::Unix(path) })
}

fn stream_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes what a dead server left; refuses a live one's socket, and anything that is not a socket.
fn make_way(
    path: &Path,
    folder: BorrowedFd<'_>,
    name: &Path,
    address: &SocketAddrUnix,
) -> Result<(), NbdError> {
    let failed =
        |e: Errno| NbdError::Listen { address: format!("unix:{}", path.display()), source: e.into() };
    match identity(folder, name) {
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(failed(e)),
        Ok((FileType::Socket, _)) => {}
        Ok(_) => return Err(NbdError::NotASocket { path: path.into() }),
    }
    let asking = stream_socket().map_err(failed)?;
    match rustix::net::connect(&asking, address) {
        Err(Errno::CONNREFUSED) => match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(failed(e)),
        },
        Err(Errno::NOENT) => Ok(()),
        // AGAIN: somebody listens, and has more connections waiting than it may.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(NbdError::Live { path: path.into() }),
        Err(e) => Err(failed(e)),
    }
}
