//! What is said in session, in both directions.

mod client;
mod clipboard;
mod cut;
mod server;
mod server_words;

pub use client::{ClientMessage, FromViewer};
pub use clipboard::Clipboard;
pub use cut::CutText;
pub use server::{FromServer, ServerEvent};
pub use server_words::{bell, colour_map, cut_text, end_of_continuous_updates, fence};

use crate::error::ProtocolError;
use crate::framebuffer::Rect;
use crate::limits;
use crate::wire::{Reader, put_u32};

/// A fence: the other side answers with the same payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// See the constants.
    pub flags: u32,
    /// At most [`limits::FENCE`] bytes; what is longer is not sent.
    pub payload: Vec<u8>,
}

impl Fence {
    /// Everything before the fence is done before the answer.
    pub const BLOCK_BEFORE: u32 = 1;
    /// Nothing after the fence is done before the answer.
    pub const BLOCK_AFTER: u32 = 2;
    /// What follows is done at once with what preceded.
    pub const SYNC_NEXT: u32 = 4;
    /// It wants an answer; an answer has it not.
    pub const REQUEST: u32 = 1 << 31;

    /// The answer to a request: of its flags those that are known, without the request.
    #[must_use]
    pub fn answer(self) -> Self {
        let known = Self::BLOCK_BEFORE | Self::BLOCK_AFTER | Self::SYNC_NEXT;
        Self { flags: self.flags & known, ..self }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let payload = &self.payload[..self.payload.len().min(limits::FENCE)];
        out.extend([248, 0, 0, 0]);
        put_u32(out, self.flags);
        out.push(u8::try_from(payload.len()).unwrap_or(0));
        out.extend_from_slice(payload);
    }

    /// Reads what follows the type.
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Option<Self>, ProtocolError> {
        let head = (|| {
            from.take(3)?;
            Some((from.u32()?, from.u8()?))
        })();
        let Some((flags, len)) = head else { return Ok(None) };
        if usize::from(len) > limits::FENCE {
            return Err(ProtocolError::Fence(len));
        }
        Ok(from.take(len.into()).map(|payload| Self { flags, payload: payload.to_vec() }))
    }
}

/// One screen of a desktop that may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Its name among the others.
    pub id: u32,
    /// Where it is in the framebuffer.
    pub rect: Rect,
    /// Kept as they are; no flag is defined.
    pub flags: u32,
}

impl Screen {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.id);
        self.rect.write(out);
        put_u32(out, self.flags);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { id: from.u32()?, rect: Rect::read(from)?, flags: from.u32()? })
    }
}
