//! Hello and frames as bytes.
//!
//! ```text
//! hello: "WANDISK\n" (8) │ version u16 │ oldest version understood u16 │ length u32 │ JSON
//! frame: length u32 │ kind u8 │ zero u8×3 │ id u64 │ head length u32 │ head (JSON) │ body
//! ```
//! Little-endian; a frame's length counts what follows its 16-byte header.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::message::HelloFields;
use super::session::Parts;

const MAGIC: &[u8; 8] = b"WANDISK\n";
/// Version of the protocol that this program speaks, and the oldest it understands.
pub const VERSION: u16 = 1;
const OLDEST: u16 = 1;
const HELLO_MAX: u32 = 16 << 10;
const HEADER_LEN: usize = 16;
/// Longest head and body in bytes. A body holds a chunk (4 MiB at most) or a part of a table.
const HEAD_MAX: usize = 64 << 10;
const BODY_MAX: usize = (4 << 20) + (64 << 10);

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
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The request it belongs to.
    pub id: u64,
    /// Head and body.
    pub parts: Parts,
}

impl Frame {
    /// A frame with content.
    #[must_use]
    pub fn new(kind: Kind, id: u64, parts: Parts) -> Frame {
        Frame { kind, id, parts }
    }

    /// A frame without.
    #[must_use]
    pub fn bare(kind: Kind, id: u64) -> Frame {
        Frame { kind, id, parts: (Vec::new(), Bytes::new()) }
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

/// Reads a hello.
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
    let fields = serde_json::from_slice(&json)
        .map_err(|e| bad(format!("the far side's hello makes no sense: {e}")))?;
    raw.extend_from_slice(&rest);
    raw.extend_from_slice(&json);
    Ok((fields, raw))
}

/// Sends a frame; the caller flushes.
///
/// # Errors
/// The stream's; `InvalidData` if the frame is too large to be one.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let (head, body) = &frame.parts;
    if head.len() > HEAD_MAX || body.len() > BODY_MAX {
        return Err(bad("a message of this program is too large to be sent"));
    }
    let length = u32::try_from(4 + head.len() + body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + 4 + head.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[frame.kind as u8, 0, 0, 0]);
    bytes.extend_from_slice(&frame.id.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(head.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend_from_slice(head);
    stream.write_all(&bytes).await?;
    stream.write_all(body).await
}

/// Reads a frame.
///
/// # Errors
/// `InvalidData` with what is wrong with it; the stream's else.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut header = [0u8; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let kind = Kind::of(header[4]).ok_or_else(|| bad("the far side sent a frame of no known kind"))?;
    let length = usize::try_from(word(0)).map_err(io::Error::other)?;
    if header[5..8] != [0, 0, 0] || !(4..=4 + HEAD_MAX + BODY_MAX).contains(&length) {
        return Err(bad("the far side sent a frame that cannot be"));
    }
    let id = u64::from(word(8)) | u64::from(word(12)) << 32;
    let mut head_len = [0u8; 4];
    stream.read_exact(&mut head_len).await?;
    let head_len = usize::try_from(u32::from_le_bytes(head_len)).map_err(io::Error::other)?;
    if head_len > HEAD_MAX || head_len > length - 4 || length - 4 - head_len > BODY_MAX {
        return Err(bad("the far side sent a frame whose lengths contradict each other"));
    }
    let mut head = vec![0u8; head_len];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0u8; length - 4 - head_len];
    stream.read_exact(&mut body).await?;
    Ok(Frame { kind, id, parts: (head, Bytes::from(body)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn decode(bytes: &[u8]) -> io::Result<Frame> {
        runtime().block_on(read(&mut &bytes[..]))
    }

    fn encode(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        runtime().block_on(send(&mut bytes, frame)).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn a_frame_survives_the_wire(kind in 1u8..=8, id: u64, head: Vec<u8>, body: Vec<u8>) {
            let frame = Frame::new(Kind::of(kind).unwrap(), id, (head, Bytes::from(body)));
            prop_assert_eq!(decode(&encode(&frame)).unwrap(), frame);
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(frame) = decode(&bytes) {
                let again = encode(&frame);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }

        #[test]
        fn a_cut_frame_is_an_error_at_every_byte(body in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..80) {
            let bytes = encode(&Frame::new(Kind::Reply, 7, (b"{}".to_vec(), Bytes::from(body))));
            if cut < bytes.len() {
                prop_assert!(decode(&bytes[..cut]).is_err());
            }
        }
    }

    fn hello(bytes: &[u8]) -> String {
        runtime().block_on(read_hello(&mut &bytes[..])).unwrap_err().to_string()
    }

    #[test]
    fn something_else_at_the_far_end_is_shown() {
        assert!(hello(b"Welcome to Debian\n").contains("it said \"Welcome to Debian\\n\""));
        assert!(hello(b"WAN").contains("ended after saying \"WAN\""));
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[9, 0, 7, 0, 2, 0, 0, 0]);
        bytes.extend_from_slice(b"{}");
        let said = hello(&bytes);
        assert!(said.contains("version 9") && said.contains("understands 7"), "{said}");
    }

    #[test]
    fn a_length_from_the_wire_is_checked_before_memory_is_taken() {
        let mut bytes = encode(&Frame::bare(Kind::Ping, 1));
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode(&bytes).unwrap_err().to_string().contains("cannot be"));
    }
}
