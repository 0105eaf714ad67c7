//! Replies as bytes. A reply is a short head and, for a read, the data behind it.
//!
//! With structured replies agreed, reads and block status are answered in one chunk that is also the last; everything
//! else stays with the simple reply, which is shorter and which the protocol allows.

use wandisk_io::Extent;

use super::Session;
use super::constants::{BASE_ALLOCATION_ID, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC, chunk, state};
use crate::limits::MAX_STATUS_EXTENTS;

/// The longest head: a chunk's header, and an error with no message or an offset.
pub(crate) const MAX_HEAD: usize = 28;

/// The fixed part of a reply; the default is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Head {
    fn of(parts: &[&[u8]]) -> Head {
        let mut head = Head { bytes: [0; MAX_HEAD], len: 0 };
        for part in parts {
            head.bytes[head.len..head.len + part.len()].copy_from_slice(part);
            head.len += part.len();
        }
        head
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The simple reply: success is error 0.
pub(crate) fn simple(cookie: u64, error: u32) -> Head {
    Head::of(&[&SIMPLE_REPLY_MAGIC.to_be_bytes(), &error.to_be_bytes(), &cookie.to_be_bytes()])
}

fn chunk_header(cookie: u64, kind: u16, len: u32) -> [u8; 20] {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&STRUCTURED_REPLY_MAGIC.to_be_bytes());
    header[4..6].copy_from_slice(&chunk::FLAG_DONE.to_be_bytes());
    header[6..8].copy_from_slice(&kind.to_be_bytes());
    header[8..16].copy_from_slice(&cookie.to_be_bytes());
    header[16..].copy_from_slice(&len.to_be_bytes());
    header
}

/// The failure of a request that a session answers in chunks (`chunked`), or of any other.
pub(crate) fn failure(cookie: u64, chunked: bool, error: u32) -> Head {
    if !chunked {
        return simple(cookie, error);
    }
    let no_message = 0u16;
    Head::of(&[&chunk_header(cookie, chunk::ERROR, 6), &error.to_be_bytes(), &no_message.to_be_bytes()])
}

/// What precedes the data of a read; an empty read has no data.
pub(crate) fn data(session: Session, cookie: u64, offset: u64, len: u32) -> Head {
    match (session.structured, len) {
        (false, _) => simple(cookie, 0),
        (true, 0) => Head::of(&[&chunk_header(cookie, chunk::NONE, 0)]),
        // Requests are bounded far below where the eight bytes of the offset could overflow the length.
        (true, _) => Head::of(&[
            &chunk_header(cookie, chunk::OFFSET_DATA, len.saturating_add(8)),
            &offset.to_be_bytes(),
        ]),
    }
}

/// Block status: the head, and the descriptors of at least one extent that is not empty.
///
/// Neighbours that are alike are joined; what is more than [`MAX_STATUS_EXTENTS`], or `only_one`, is left for the
/// client to ask again. `None` if there is no extent to tell about.
pub(crate) fn status(cookie: u64, extents: &[Extent], only_one: bool) -> Option<(Head, Vec<u8>)> {
    let most = if only_one { 1 } else { MAX_STATUS_EXTENTS };
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for extent in extents.iter().filter(|e| e.len > 0) {
        let flags = u32::from(extent.hole) * state::HOLE + u32::from(extent.zero) * state::ZERO;
        let len = u32::try_from(extent.len).unwrap_or(u32::MAX);
        let joined =
            runs.last().filter(|(_, same)| *same == flags).and_then(|(last, _)| last.checked_add(len));
        if joined.is_some() {
            runs.pop();
        } else if runs.len() == most {
            break;
        }
        runs.push((joined.unwrap_or(len), flags));
        if u64::from(len) < extent.len {
            break;
        }
    }
    if runs.is_empty() {
        return None;
    }
    let mut payload = Vec::with_capacity(runs.len() * 8);
    for (len, flags) in runs {
        payload.extend(len.to_be_bytes());
        payload.extend(flags.to_be_bytes());
    }
    let len = u32::try_from(payload.len() + 4).ok()?;
    let head =
        Head::of(&[&chunk_header(cookie, chunk::BLOCK_STATUS, len), &BASE_ALLOCATION_ID.to_be_bytes()]);
    Some((head, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(len: u64, hole: bool) -> Extent {
        Extent { len, hole, zero: hole }
    }

    fn descriptors(extents: &[Extent], only_one: bool) -> Vec<(u32, u32)> {
        let word = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
        let (_, payload) = status(1, extents, only_one).unwrap();
        payload.chunks(8).map(|d| (word(&d[..4]), word(&d[4..]))).collect()
    }

    #[test]
    fn neighbours_that_are_alike_are_told_as_one() {
        let extents = [extent(1, true), extent(2, true), extent(0, false), extent(3, false)];
        assert_eq!(descriptors(&extents, false), [(3, 3), (3, 0)]);
        assert_eq!(descriptors(&extents, true), [(3, 3)]);
        assert_eq!(status(1, &[], false), None);
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_next_question() {
        let many: Vec<Extent> = (0..10_000).map(|i| extent(1, i % 2 == 0)).collect();
        assert_eq!(descriptors(&many, false).len(), MAX_STATUS_EXTENTS);
        let huge = [extent(1 << 33, false), extent(1, true)];
        assert_eq!(descriptors(&huge, false), [(u32::MAX, 0)]);
    }

    #[test]
    fn a_reply_says_how_long_it_is() {
        let structured = Session { structured: true, allocation: false };
        let head = data(structured, 9, 77, 512);
        assert_eq!(head.as_bytes().len(), 28);
        assert_eq!(head.as_bytes()[16..20], 520u32.to_be_bytes());
        assert_eq!(data(Session::default(), 9, 77, 512).as_bytes().len(), 16);
        assert_eq!(failure(1, true, 5).as_bytes().len(), 26);
    }
}
