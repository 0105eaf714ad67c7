//! Hello and frames as bytes.
//!
//! ```text
//! hello: "WANDISK\n" (8) │ version u16 │ oldest version understood u16 │ length u32 │ JSON
//! frame: length u32 │ kind u8 │ flags u8 (1: more follows, 2: packed) │ zero u16 │ id u64 │ head length u32 │ head │ piece
//! ```
//! Little-endian; a frame's length counts what follows its first 16 bytes. Version 1 had no pieces, version 2 no
//! deltas of blocks, version 3 neither messages packed together nor parts of chunks.
//!
//! Invariant: no memory is taken for a length before it is checked, and never more than a frame's.

use std::io;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::tame;
use super::limits::{BODY_MAX, BYE_MAX, FRAME_MAX, HEAD_MAX, HELLO_MAX, PROGRESS_MAX, REFUSAL_MAX};
use super::message::HelloFields;

const MAGIC: &[u8; 8] = b"WANDISK\n";
/// Version of the protocol that this program speaks, and the oldest it understands.
pub const VERSION: u16 = 4;
const OLDEST: u16 = 4;
/// Everything before the head.
const HEADER_LEN: usize = 20;
/// What of the header its length does not count.
const UNCOUNTED: usize = 16;
const MORE: u8 = 1;
const PACKED: u8 = 2;

/// A request's or reply's head and body.
pub type Parts = (Vec<u8>, Bytes);

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks.
    Request = 1,
    /// Answers, finally.
    Reply = 2,
    /// Refuses, finally.
    Error = 3,
    /// News of a request.
    Progress = 4,
    /// The asker no longer waits.
    Cancel = 5,
    /// Are you there?
    Ping = 6,
    /// Yes.
    Pong = 7,
    /// The end, with the reason as text.
    Bye = 8,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{Bye, Cancel, Error, Ping, Pong, Progress, Reply, Request};
        [Request, Reply, Error, Progress, Cancel, Ping, Pong, Bye].into_iter().find(|k| *k as u8 == byte)
    }

    /// May it have a body?
    #[must_use]
    pub fn has_body(self) -> bool {
        self.shape().1
    }

    /// Longest head, and whether there may be a body.
    fn shape(self) -> (usize, bool) {
        match self {
            Kind::Request | Kind::Reply => (HEAD_MAX, true),
            Kind::Error => (REFUSAL_MAX, false),
            Kind::Progress => (PROGRESS_MAX, false),
            Kind::Bye => (BYE_MAX, false),
            Kind::Cancel | Kind::Ping | Kind::Pong => (0, false),
        }
    }
}

/// What one end tells the other: one frame, or several if it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The request it belongs to.
    pub id: u64,
    /// The body is this message's part of the connection's packed stream, and the head is in it.
    pub packed: bool,
    /// Head and body.
    pub parts: Parts,
}

impl Message {
    /// A message with content.
    #[must_use]
    pub fn new(kind: Kind, id: u64, parts: Parts) -> Message {
        Message { kind, id, packed: false, parts }
    }

    /// A message without.
    #[must_use]
    pub fn bare(kind: Kind, id: u64) -> Message {
        Message { kind, id, packed: false, parts: (Vec::new(), Bytes::new()) }
    }

    /// Is it none too long to be sent?
    #[must_use]
    pub fn fits(&self) -> bool {
        let (head_max, body) = self.kind.shape();
        let (head, rest) = &self.parts;
        let (head_max, body) = if self.packed { (0, body) } else { (head_max, body) };
        head.len() <= head_max && rest.len() <= if body { BODY_MAX } else { 0 }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The request it belongs to.
    pub id: u64,
    /// Another piece of the same message follows.
    pub more: bool,
    /// A piece of a packed message.
    pub packed: bool,
    /// Head of the message; empty in later pieces.
    pub head: Vec<u8>,
    /// This piece of its body.
    pub piece: Bytes,
}

/// A frame's first bytes, checked: what follows is `head_len` and then `piece_len` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    kind: Kind,
    more: bool,
    packed: bool,
    id: u64,
    head_len: usize,
    piece_len: usize,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, &'static str> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = Kind::of(bytes[4]).ok_or("the far side sent a frame of no known kind")?;
        let contradiction = "the far side sent a frame whose fields contradict each other";
        if bytes[5] & !(MORE | PACKED) != 0 || bytes[6..8] != [0, 0] {
            return Err("the far side sent a frame that cannot be");
        }
        let content = word(0).checked_sub(4).ok_or(contradiction)? as usize;
        if content > FRAME_MAX {
            return Err("the far side sent a frame that is too long");
        }
        let (more, packed) = (bytes[5] & MORE != 0, bytes[5] & PACKED != 0);
        let head_len = word(16) as usize;
        let (head_max, has_body) = kind.shape();
        let piece_len = content.checked_sub(head_len).ok_or(contradiction)?;
        // Only what has a body can go on or be packed, a frame that goes on brings something, and a packed one has its head
        // in the stream.
        if head_len > head_max
            || (!has_body && (more || packed || piece_len > 0))
            || (more && content == 0)
            || (packed && head_len > 0)
        {
            return Err(contradiction);
        }
        let id = u64::from(word(8)) | u64::from(word(12)) << 32;
        Ok(Header { kind, more, packed, id, head_len, piece_len })
    }
}

fn bad(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

/// Foreign bytes for people: printable, short.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(160).flat_map(|b| b.escape_ascii()).map(char::from).collect()
}

/// Sends a hello.
///
/// # Errors
/// The stream's.
pub async fn send_hello(stream: &mut (impl AsyncWrite + Unpin), fields: &HelloFields) -> io::Result<()> {
    let json = serde_json::to_vec(fields).map_err(io::Error::other)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&OLDEST.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(json.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend_from_slice(&json);
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads a hello. The caller limits the time.
///
/// # Errors
/// `InvalidData` with a sentence if the far side is no wandisk or of another version; the stream's else.
pub async fn read_hello(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<HelloFields> {
    read_hello_raw(stream).await.map(|(fields, _)| fields)
}

/// Reads a hello and gives its bytes too, for `serve` to pass them on.
///
/// # Errors
/// As [`read_hello`].
pub async fn read_hello_raw(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(HelloFields, Vec<u8>)> {
    let mut raw = vec![0u8; MAGIC.len()];
    for at in 0..raw.len() {
        // Byte by byte, so that a short greeting of something else is shown and not waited for.
        if stream.read_exact(&mut raw[at..=at]).await.is_err() {
            let said = printable(&raw[..at]);
            return Err(bad(format!("the far side is not a wandisk: it ended after saying \"{said}\"")));
        }
        if raw[at] != MAGIC[at] {
            let mut more = vec![0u8; 64];
            let wait = std::time::Duration::from_millis(200);
            let n = tokio::time::timeout(wait, stream.read(&mut more)).await.map_or(0, |r| r.unwrap_or(0));
            raw.truncate(at + 1);
            raw.extend_from_slice(&more[..n]);
            return Err(bad(format!("the far side is not a wandisk: it said \"{}\"", printable(&raw))));
        }
    }
    let mut rest = [0u8; 8];
    stream.read_exact(&mut rest).await?;
    let version = u16::from_le_bytes([rest[0], rest[1]]);
    let oldest = u16::from_le_bytes([rest[2], rest[3]]);
    if oldest > version {
        return Err(bad("the far side's hello contradicts itself: it understands less than it speaks"));
    }
    if oldest > VERSION || version < OLDEST {
        return Err(bad(format!(
            "the far side speaks protocol version {version} (and understands {oldest} or later), this program {VERSION}: \
             use the same release of wandisk at both sites"
        )));
    }
    let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]);
    if length > HELLO_MAX {
        return Err(bad("the far side's hello is too long"));
    }
    let mut json = vec![0u8; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut json).await?;
    let fields: HelloFields = serde_json::from_slice(&json)
        .map_err(|e| bad(format!("the far side's hello makes no sense: {}", tame(&e.to_string()))))?;
    fields.check().map_err(bad)?;
    raw.extend_from_slice(&rest);
    raw.extend_from_slice(&json);
    Ok((fields, raw))
}

/// Sends a frame; the caller flushes. Gives its length in bytes.
///
/// # Errors
/// The stream's; `InvalidData` if the frame is too large to be one.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<usize> {
    let content = frame.head.len() + frame.piece.len();
    if content > FRAME_MAX || frame.head.len() > HEAD_MAX {
        return Err(bad("a message of this program is too large to be sent"));
    }
    let length = u32::try_from(4 + content).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + frame.head.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    let flags = if frame.more { MORE } else { 0 } | if frame.packed { PACKED } else { 0 };
    bytes.extend_from_slice(&[frame.kind as u8, flags, 0, 0]);
    bytes.extend_from_slice(&frame.id.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(frame.head.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend_from_slice(&frame.head);
    // Together, where the stream takes that: each call wakes whoever carries the bytes on.
    stream.write_all_buf(&mut Bytes::from(bytes).chain(frame.piece.clone())).await?;
    Ok(UNCOUNTED + 4 + content)
}

/// Reads a frame. The caller limits the time.
///
/// # Errors
/// `InvalidData` with what is wrong with it; the stream's else.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut header = [0u8; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let Header { kind, more, packed, id, head_len, piece_len } = Header::parse(&header).map_err(bad)?;
    let mut head = vec![0u8; head_len];
    stream.read_exact(&mut head).await?;
    let mut piece = vec![0u8; piece_len];
    stream.read_exact(&mut piece).await?;
    Ok(Frame { kind, id, more, packed, head, piece: Bytes::from(piece) })
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
