//! What can go wrong when a server is set up. What goes wrong with one client ends in the log.

use std::io;
use std::path::PathBuf;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NbdError {
    /// Another process serves this socket.
    #[error("another server listens on {}", path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else than a socket at this path.
    #[error("{} is there already, and is not a socket", path.display())]
    NotASocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// The path's last part is too long for a socket's name.
    #[error("the name of the socket {} is too long", path.display())]
    NameTooLong {
        /// The socket.
        path: PathBuf,
    },
    /// The export's name is longer than the protocol allows.
    #[error("the export name has {0} bytes; the protocol allows 4096")]
    ExportName(usize),
    /// No lanes, or more than the disk has.
    #[error("the server was given lanes {from}..{to}, and the disk has {has}")]
    Lanes {
        /// First lane.
        from: usize,
        /// One past the last lane.
        to: usize,
        /// How many the disk has.
        has: usize,
    },
    /// Listening failed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as text.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Accepting connections failed for good.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
}
