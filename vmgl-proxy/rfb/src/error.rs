//! What can be wrong with a peer, each with what it said.

use thiserror::Error;

use crate::framebuffer::Rect;

/// Why a handshake ended without a session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first twelve bytes are no RFB version.
    #[error("not an RFB peer: it began with {0:?}")]
    NotRfb(String),
    /// The server refused the connection before or after authentication.
    #[error("the server refused: {0}")]
    Refused(String),
    /// None of the offered security types is one we know.
    #[error("no security type in common; the server offers {0:?}")]
    NoCommonSecurity(Vec<u8>),
    /// The server wants a password and none was given.
    #[error("the server wants a password and there is none")]
    PasswordWanted,
    /// The viewer's answer to the challenge is wrong.
    #[error("the viewer's password is wrong")]
    WrongPassword,
    /// The viewer chose a security type that was not offered.
    #[error("the viewer chose security type {0}, which was not offered")]
    NotOffered(u8),
    /// A field with a value the protocol does not know.
    #[error("bad security result {0}")]
    BadResult(u32),
    /// The desktop's name is longer than [`crate::limits::NAME`].
    #[error("a desktop name of {0} bytes")]
    LongName(u32),
    /// The step was called after the handshake had ended.
    #[error("the handshake has ended")]
    Ended,
    /// The server's size or pixel format.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Why a connection in session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A size that is larger than the bounds.
    #[error("a framebuffer of {width} x {height} pixels is beyond the bounds")]
    Size {
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
    },
    /// A pixel format that contradicts itself.
    #[error("bad pixel format: {0}")]
    PixelFormat(&'static str),
    /// A message type that is unknown, or that was never asked for.
    #[error("unknown message type {0}")]
    Message(u8),
    /// A QEMU message of an unknown kind.
    #[error("unknown QEMU message {0}")]
    QemuMessage(u8),
    /// An encoding that is unknown, or that was never asked for.
    #[error("unknown encoding {0}")]
    Encoding(i32),
    /// A rectangle that is not inside the framebuffer.
    #[error("rectangle {0:?} is outside the framebuffer")]
    Outside(Rect),
    /// A cursor larger than the bounds.
    #[error("a cursor of {0:?} is beyond the bounds")]
    Cursor(Rect),
    /// A fence longer than the protocol allows.
    #[error("a fence of {0} bytes")]
    Fence(u8),
    /// An extended clipboard message that cannot be read.
    #[error("bad clipboard message: {0}")]
    Clipboard(&'static str),
    /// An update, a length or a count that is longer than what it describes can need.
    #[error("{what} of {bytes} bytes for {rect:?}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// What it says.
        bytes: usize,
        /// Where.
        rect: Rect,
    },
    /// Compressed data that is no zlib stream.
    #[error("broken zlib stream for {0:?}")]
    Zlib(Rect),
    /// The stream ended before the rectangle was full, or went on after it.
    #[error("compressed data of {0:?} does not fill it exactly")]
    Fill(Rect),
    /// A JPEG that cannot be read or has another size than its rectangle.
    #[error("bad JPEG for {rect:?}: {why}")]
    Jpeg {
        /// Where.
        rect: Rect,
        /// What is wrong.
        why: String,
    },
    /// A sub-encoding, filter, or palette that does not exist.
    #[error("bad {what} {value} in {rect:?}")]
    Sub {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u32,
        /// Where.
        rect: Rect,
    },
}
