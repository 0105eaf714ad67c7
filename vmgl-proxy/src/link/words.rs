//! What the hub and a link say to each other, and why links end.

use thiserror::Error;
use vmgl_rfb::{HandshakeError, ProtocolError};

use super::PATIENCE;
use crate::display::Display;
use crate::input::Word;
use crate::tap::Tap;

/// What the hub says to a link.
#[derive(Debug)]
pub enum Order {
    /// Fetch the whole picture and show it from then on.
    Show,
    /// Tell the server this.
    Say(Word),
}

/// What a link says to the hub.
#[derive(Debug)]
pub enum Told {
    /// It has the whole picture.
    Loaded,
    /// It is shown.
    Shown,
    /// It ended.
    Gone(LinkError),
}

/// Why a link ended.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The connection.
    #[error("the connection: {0}")]
    Io(#[from] std::io::Error),
    /// The handshake.
    #[error("the handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// What the server sent.
    #[error("the server does not keep to the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// No answer.
    #[error("no answer within {PATIENCE:?}")]
    Late,
    /// The server closed the connection.
    #[error("the server hung up")]
    HungUp,
    /// The proxy let it go.
    #[error("it was let go")]
    LetGo,
}

/// What a link needs beside its address.
#[derive(Debug, Clone)]
pub struct Means {
    /// Where to publish.
    pub display: Display,
    /// Where to tell of updates.
    pub tap: Tap,
    /// The server's password, if it wants one.
    pub password: Option<Vec<u8>>,
    /// Ask as a plain viewer does: one request at a time, and no continuous updates.
    pub pull: bool,
}
