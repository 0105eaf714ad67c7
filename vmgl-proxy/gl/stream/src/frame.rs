//! Frames: a payload with its number, kept until the other side has executed it.
//!
//! A frame is a header of [`HEADER`] bytes (stored length, plain length, number, acknowledgement, flags) and what is stored:
//! the payload as it is or as a part of the connection's zstd stream, flushed at the frame's end. Numbers go 1, 2, 3 in each
//! direction, for the life of a stream; a frame with number 0 has no payload and only acknowledges.
//!
//! Invariant: what was pushed and not acknowledged can be sent again on another connection, whose compression begins anew.

use std::collections::VecDeque;

use thiserror::Error;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use crate::wire::{put_u32, put_u64};
use crate::{Commands, DecodeError, Reader, limits};

/// Bytes before what is stored.
pub const HEADER: usize = 28;

const COMPRESSED: u32 = 1;
/// Speed is wanted; what repeats is found at any level.
const LEVEL: i32 = 1;

/// Why bytes are no frame.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    #[error("frame {is} came where {wanted} was wanted")]
    Order { is: u64, wanted: u64 },
    #[error("a frame of {0} bytes is above the limit")]
    Long(usize),
    #[error("a frame's header makes no sense")]
    Header,
    #[error("a frame does not unpack")]
    Unpack(#[source] std::io::Error),
    #[error("packing failed")]
    Pack(#[source] std::io::Error),
    #[error("a command makes no sense")]
    Command(#[from] DecodeError),
    #[error("the other side wants frame {wanted}, of those from {from} to {to}")]
    Gone { wanted: u64, from: u64, to: u64 },
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub seq: u64,
    /// Commands or events.
    pub payload: Vec<u8>,
}

/// The sending direction of a stream.
pub struct Outgoing {
    kept: VecDeque<Vec<u8>>,
    kept_bytes: usize,
    /// The number of the first that is kept, or of the next if none is.
    first: u64,
    packer: Option<Encoder<'static>>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("first", &self.first).field("kept", &self.kept.len()).finish()
    }
}

fn packer(wanted: bool) -> Result<Option<Encoder<'static>>, FrameError> {
    if !wanted {
        return Ok(None);
    }
    let mut encoder = Encoder::new(LEVEL).map_err(FrameError::Pack)?;
    encoder.set_parameter(CParameter::WindowLog(limits::WINDOW_LOG)).map_err(FrameError::Pack)?;
    Ok(Some(encoder))
}

impl Outgoing {
    /// For a new stream, packed or plain.
    ///
    /// # Errors
    /// [`FrameError::Pack`] if there is no memory for packing.
    pub fn new(packed: bool) -> Result<Self, FrameError> {
        Ok(Self { kept: VecDeque::new(), kept_bytes: 0, first: 1, packer: packer(packed)? })
    }

    /// The number of the last frame that was pushed; 0 before the first.
    pub fn last(&self) -> u64 {
        self.first + self.kept.len() as u64 - 1
    }

    /// Bytes that wait for an acknowledgement. Above [`limits::RING`] the sender should wait.
    pub fn waiting_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Puts a payload as one or more frames for the connection, with an acknowledgement of what was taken, and keeps it.
    ///
    /// # Errors
    /// [`FrameError::Command`] if the payload is no row of commands, [`FrameError::Pack`].
    pub fn push(&mut self, payload: Vec<u8>, ack: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if payload.len() <= limits::FRAME {
            return self.push_one(payload, ack, out);
        }
        let (mut commands, mut start, mut end) = (Commands::new(&payload), 0, 0);
        while let Some((_, body)) = commands.next_raw()? {
            let next = end + 4 + body.len();
            if next - start > limits::FRAME {
                self.push_one(payload[start..end].to_vec(), ack, out)?;
                start = end;
            }
            end = next;
        }
        self.push_one(payload[start..end].to_vec(), ack, out)
    }

    fn push_one(&mut self, payload: Vec<u8>, ack: u64, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let seq = self.last() + 1;
        self.put(seq, ack, &payload, out)?;
        self.kept_bytes += payload.len();
        self.kept.push_back(payload);
        Ok(())
    }

    /// Puts a frame that only acknowledges.
    pub fn acknowledge(ack: u64, out: &mut Vec<u8>) {
        put_header(out, [0, 0], 0, ack, 0);
    }

    /// The other side has executed all up to this one.
    pub fn acked(&mut self, ack: u64) {
        while self.first <= ack
            && let Some(payload) = self.kept.pop_front()
        {
            self.first += 1;
            self.kept_bytes -= payload.len();
        }
    }

    /// A new connection: puts again all from the frame that the other side wants next.
    ///
    /// # Errors
    /// [`FrameError::Gone`] if that one is not kept: the two do not speak of the same stream.
    pub fn resume(
        &mut self,
        wanted: u64,
        packed: bool,
        ack: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let last = self.last();
        if wanted < self.first || wanted > last + 1 {
            return Err(FrameError::Gone { wanted, from: self.first, to: last });
        }
        self.acked(wanted - 1);
        self.packer = packer(packed)?;
        let kept = std::mem::take(&mut self.kept);
        let put = (self.first..).zip(&kept).try_for_each(|(seq, payload)| self.put(seq, ack, payload, out));
        self.kept = kept;
        put
    }

    fn put(&mut self, seq: u64, ack: u64, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let start = out.len();
        match &mut self.packer {
            None => {
                put_header(out, [payload.len(), payload.len()], seq, ack, 0);
                out.extend_from_slice(payload);
            }
            Some(packer) => {
                put_header(out, [0, payload.len()], seq, ack, COMPRESSED);
                pack(packer, payload, out).map_err(FrameError::Pack)?;
                let stored = length(out.len() - start - HEADER).to_le_bytes();
                out[start..start + 4].copy_from_slice(&stored);
            }
        }
        Ok(())
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn put_header(out: &mut Vec<u8>, [stored, plain]: [usize; 2], seq: u64, ack: u64, flags: u32) {
    put_u32(out, length(stored));
    put_u32(out, length(plain));
    put_u64(out, seq);
    put_u64(out, ack);
    put_u32(out, flags);
}

fn pack(packer: &mut Encoder<'static>, payload: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    const STEP: usize = 16 << 10;
    let mut input = InBuffer::around(payload);
    loop {
        let filled = out.len();
        out.resize(filled + STEP + payload.len() / 2, 0);
        let mut output = OutBuffer::around_pos(out.as_mut_slice(), filled);
        let flushed = if input.pos() < payload.len() {
            packer.run(&mut input, &mut output)?;
            false
        } else {
            packer.flush(&mut output)? == 0
        };
        let filled = output.pos();
        out.truncate(filled);
        if flushed {
            return Ok(());
        }
    }
}

/// The receiving direction of a stream.
pub struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    taken: u64,
    acked: u64,
    unpacker: Decoder<'static>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("taken", &self.taken).field("bytes", &self.bytes.len()).finish()
    }
}

fn unpacker() -> Result<Decoder<'static>, FrameError> {
    let mut decoder = Decoder::new().map_err(FrameError::Unpack)?;
    decoder.set_parameter(DParameter::WindowLogMax(limits::WINDOW_LOG)).map_err(FrameError::Unpack)?;
    Ok(decoder)
}

impl Incoming {
    /// For a new stream.
    ///
    /// # Errors
    /// [`FrameError::Unpack`] if there is no memory for unpacking.
    pub fn new() -> Result<Self, FrameError> {
        Ok(Self { bytes: Vec::new(), start: 0, taken: 0, acked: 0, unpacker: unpacker()? })
    }

    /// The number of the last frame that was taken: what is acknowledged to the other side.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The newest acknowledgement that came.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// A new connection: bytes of the old one that made no whole frame are forgotten.
    ///
    /// # Errors
    /// [`FrameError::Unpack`] if there is no memory for unpacking.
    pub fn resume(&mut self) -> Result<(), FrameError> {
        self.bytes.clear();
        self.start = 0;
        self.unpacker = unpacker()?;
        Ok(())
    }

    /// Bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame with a payload; none if more must come.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is then of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let rest = self.bytes.get(self.start..).unwrap_or_default();
            let Some((header, rest)) = rest.split_at_checked(HEADER) else { break };
            let mut r = Reader::new(header);
            let (stored, plain, seq, ack, flags) = (r.u32()?, r.u32()?, r.u64()?, r.u64()?, r.u32()?);
            let [stored, plain] = [stored, plain].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            // What does not shrink grows by a few bytes a block.
            let most = if flags & COMPRESSED == 0 { plain } else { plain + plain / 64 + 1024 };
            if plain > limits::FRAME || stored > most {
                return Err(FrameError::Long(plain.max(stored)));
            }
            if flags & !COMPRESSED != 0 || (flags & COMPRESSED == 0 && stored != plain) {
                return Err(FrameError::Header);
            }
            let Some(body) = rest.get(..stored) else { break };
            if seq == 0 {
                if plain != 0 {
                    return Err(FrameError::Header);
                }
                self.acked = self.acked.max(ack);
                self.start += HEADER;
                continue;
            }
            if seq != self.taken + 1 {
                return Err(FrameError::Order { is: seq, wanted: self.taken + 1 });
            }
            let payload = if flags & COMPRESSED == 0 {
                body.to_vec()
            } else {
                unpack(&mut self.unpacker, body, plain)?
            };
            self.acked = self.acked.max(ack);
            self.taken = seq;
            self.start += HEADER + stored;
            return Ok(Some(Frame { seq, payload }));
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        Ok(None)
    }
}

fn unpack(unpacker: &mut Decoder<'static>, body: &[u8], plain: usize) -> Result<Vec<u8>, FrameError> {
    let mut payload = vec![0; plain];
    let mut input = InBuffer::around(body);
    let mut output = OutBuffer::around(payload.as_mut_slice());
    while input.pos() < body.len() || output.pos() < plain {
        let before = (input.pos(), output.pos());
        unpacker.run(&mut input, &mut output).map_err(FrameError::Unpack)?;
        if before == (input.pos(), output.pos()) {
            return Err(FrameError::Header);
        }
    }
    Ok(payload)
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
