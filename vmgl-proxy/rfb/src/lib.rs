//! The RFB (VNC) protocol without I/O: bytes in, messages out, for the role of a client towards a server
//! and of a server towards a viewer. The proxy is both at once.
//!
//! [`ClientHandshake`] then [`FromServer`] read what a server sends and draw into a [`Framebuffer`];
//! [`ServerHandshake`] then [`FromViewer`] read what a viewer sends; [`Encoder`] and [`Update`] write
//! pictures for a viewer. Every reader takes what it understands off the front of a `BytesMut` and says
//! `None` when it needs more.
//!
//! Invariant: nothing here panics, waits, or writes outside the framebuffer, whatever the peer sends.
//! Invariant: memory is bounded by the bounds in [`limits`]; a reader never needs more than
//! [`limits::UNIT`] unread bytes in its input to make progress.

#![forbid(unsafe_code)]

mod cursor;
mod decode;
mod encode;
mod encoding;
mod error;
mod framebuffer;
mod handshake;
pub mod limits;
mod message;
mod pixel;
mod wire;

pub use cursor::Cursor;
pub use encode::{Encoder, Preferences, Update};
pub use encoding::{Encoding, pseudo};
pub use error::{HandshakeError, ProtocolError};
pub use framebuffer::{Framebuffer, Rect};
pub use handshake::{ClientHandshake, Security, ServerHandshake, ServerInit, Version, ViewerInit};
pub use message::{
    ClientMessage, Clipboard, CutText, Fence, FromServer, FromViewer, Screen, ServerEvent, bell, colour_map,
    cut_text, end_of_continuous_updates, fence,
};
pub use pixel::{ColourMap, PixelFormat};
