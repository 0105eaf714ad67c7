//! Messages packed together: one zstd stream each way of a connection, of those messages that nobody waits for.
//!
//! A chunk of 128 KiB alone packs worse than the same bytes after what came before them. So bulk messages that give way
//! go into one stream, in the order in which they are sent, and each is flushed: the far side can read it when it has it.
//! `effort` says how hard is tried.
//!
//! ```text
//! what is packed of a message: head length u32 │ head │ body
//! ```
//!
//! Invariant: whatever was packed is sent, and in that order; else the stream means something else at the far end.
//! Invariant: what unpacks is bounded before it grows: [`PACKED_MAX`] a message, a window of 2^[`WINDOW_LOG`] bytes.
//! Fault model: the peer's bytes are foreign; a stream that is none, or of which a message does not end where it says,
//! ends the session.

pub mod effort;

use std::io;

use bytes::Bytes;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use super::frame::Message;
use super::limits::{PACKED_MAX, WINDOW_LOG};

/// Bytes by which a buffer grows: a block of zstd's and its header.
const STEP: usize = (128 << 10) + 64;
/// The length of a head, before it.
const PREFIX: usize = 4;

/// Packs messages.
#[allow(missing_debug_implementations, reason = "zstd's context has none")]
pub struct Packer {
    encoder: Encoder<'static>,
    level: i32,
}

/// Lets zstd write until it is done.
fn drive(
    out: &mut Vec<u8>,
    mut step: impl FnMut(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<bool>,
) -> io::Result<()> {
    loop {
        out.reserve(STEP);
        let at = out.len();
        if step(&mut OutBuffer::around_pos(out, at))? {
            return Ok(());
        }
    }
}

impl Packer {
    /// A stream of a level of zstd's.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new(level: i32) -> io::Result<Packer> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        // What lies further back than a level looks: files that are alike, and copies of files.
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        Ok(Packer { encoder, level })
    }

    /// The level it packs at.
    #[must_use]
    pub fn level(&self) -> i32 {
        self.level
    }

    /// The next message's part of the stream.
    ///
    /// # Errors
    /// If zstd fails; the stream is then of no more use.
    pub fn pack(&mut self, head: &[u8], body: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(head.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut out = Vec::with_capacity(STEP);
        for part in [&length[..], head, body] {
            let mut input = InBuffer::around(part);
            while input.pos() < part.len() {
                drive(&mut out, |room| {
                    self.encoder.run(&mut input, room)?;
                    Ok(input.pos() == part.len() || room.pos() < room.capacity())
                })?;
            }
        }
        drive(&mut out, |room| Ok(self.encoder.flush(room)? == 0))?;
        Ok(out)
    }

    /// Ends what was packed so far, so that what follows needs none of it, and goes on at another level. The bytes belong
    /// before those of the next message.
    ///
    /// # Errors
    /// If zstd fails; the stream is then of no more use.
    pub fn end(&mut self, next_level: i32) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        drive(&mut out, |room| Ok(self.encoder.finish(room, true)? == 0))?;
        self.encoder.set_parameter(CParameter::CompressionLevel(next_level))?;
        self.level = next_level;
        Ok(out)
    }
}

/// What is wrong with a packed message.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// zstd has no memory for a stream.
    #[error("what the far side packed cannot be unpacked here")]
    NoMemory(#[source] io::Error),
    /// Not what zstd makes, or of a window that is too large.
    #[error("the far side sent a packed message that is none")]
    Malformed,
    /// A message without end.
    #[error("the far side packed a message that is too long")]
    TooLong,
}

/// Unpacks a peer's messages, in the order in which they came.
#[derive(Default)]
#[allow(missing_debug_implementations, reason = "zstd's context has none")]
pub struct Unpacker {
    /// Made when the first packed message comes: most sessions have none.
    decoder: Option<Decoder<'static>>,
}

impl Unpacker {
    /// A message as it was before it was packed.
    ///
    /// # Errors
    /// [`UnpackError`]: the session must end.
    pub fn unpack(&mut self, message: Message) -> Result<Message, UnpackError> {
        let packed = message.parts.1;
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(fresh().map_err(UnpackError::NoMemory)?),
        };
        let mut input = InBuffer::around(&packed);
        let mut content = Vec::with_capacity(STEP.min(PACKED_MAX));
        loop {
            let (at, read) = (content.len(), input.pos());
            content.reserve(STEP.min(PACKED_MAX + 1 - at));
            let room = &mut OutBuffer::around_pos(&mut content, at);
            decoder.run(&mut input, room).map_err(|_| UnpackError::Malformed)?;
            let (full, made) = (room.pos() == room.capacity(), room.pos() - at);
            if content.len() > PACKED_MAX {
                return Err(UnpackError::TooLong);
            }
            if input.pos() == packed.len() && !full {
                break;
            }
            if made == 0 && input.pos() == read {
                return Err(UnpackError::Malformed);
            }
        }
        let length = content.first_chunk::<PREFIX>().map(|bytes| u32::from_le_bytes(*bytes));
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or(UnpackError::Malformed)?;
        let head = content.get(PREFIX..).and_then(|rest| rest.get(..length)).ok_or(UnpackError::Malformed)?;
        let head = head.to_vec();
        let body = Bytes::from(content).slice(PREFIX + length..);
        let message = Message { packed: false, parts: (head, body), ..message };
        if message.fits() { Ok(message) } else { Err(UnpackError::TooLong) }
    }
}

fn fresh() -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
    Ok(decoder)
}

/// Can a message be packed at all?
#[must_use]
pub fn can_be_packed(message: &Message) -> bool {
    let (head, body) = &message.parts;
    message.kind.has_body() && !message.packed && PREFIX + head.len() + body.len() <= PACKED_MAX
}

#[cfg(test)]
mod tests;
