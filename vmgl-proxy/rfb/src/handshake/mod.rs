//! From the first byte to the session, as a client and as a server.

mod auth;
mod client;
mod server;

pub use client::ClientHandshake;
pub use server::{Security, ServerHandshake, ViewerInit};

use crate::error::HandshakeError;
use crate::framebuffer::check_size;
use crate::limits;
use crate::pixel::PixelFormat;
use crate::wire::{Reader, put_len, put_u16};

const NONE: u8 = 1;
const VNC_AUTH: u8 = 2;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.3: the server decides about security.
    V3_3,
    /// 3.7: the viewer chooses.
    V3_7,
    /// 3.8: refusals have reasons.
    V3_8,
}

impl Version {
    const LEN: usize = 12;

    fn line(self) -> &'static [u8; 12] {
        match self {
            Self::V3_3 => b"RFB 003.003\n",
            Self::V3_7 => b"RFB 003.007\n",
            Self::V3_8 => b"RFB 003.008\n",
        }
    }

    /// What a peer's line means: later versions than 3.8 can speak it; odd ones before 3.7 mean 3.3.
    fn parse(line: &[u8]) -> Result<Self, HandshakeError> {
        let bad = || HandshakeError::NotRfb(String::from_utf8_lossy(line).into_owned());
        let number = |from: usize| -> Option<u16> {
            let digits = line.get(from..from + 3)?;
            digits.iter().try_fold(0, |n: u16, d| d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')))
        };
        if !line.starts_with(b"RFB ") || line.get(7) != Some(&b'.') || line.get(11) != Some(&b'\n') {
            return Err(bad());
        }
        match (number(4).ok_or_else(bad)?, number(8).ok_or_else(bad)?) {
            (0..3, _) => Err(bad()),
            (3, 0..7) => Ok(Self::V3_3),
            (3, 7) => Ok(Self::V3_7),
            _ => Ok(Self::V3_8),
        }
    }
}

/// What a server says of itself at the end of the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInit {
    /// Width of the framebuffer in pixels.
    pub width: u16,
    /// Height of the framebuffer in pixels.
    pub height: u16,
    /// Its natural pixel format.
    pub format: PixelFormat,
    /// The desktop's name; what is no UTF-8 of it is replaced.
    pub name: String,
}

impl ServerInit {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_u16(out, self.width);
        put_u16(out, self.height);
        self.format.write(out);
        let end = self.name.floor_char_boundary(limits::NAME);
        put_len(out, end);
        out.extend_from_slice(&self.name.as_bytes()[..end]);
    }

    /// Reads the message, and how long it is.
    fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let mut from = Reader::new(bytes);
        let head = (|| Some((from.u16()?, from.u16()?, PixelFormat::read(&mut from)?, from.u32()?)))();
        let Some((width, height, format, name)) = head else { return Ok(None) };
        check_size(width, height)?;
        format.check()?;
        let Some(len) = usize::try_from(name).ok().filter(|len| *len <= limits::NAME) else {
            return Err(HandshakeError::LongName(name));
        };
        let Some(name) = from.take(len) else { return Ok(None) };
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Some((Self { width, height, format, name }, from.at())))
    }
}
