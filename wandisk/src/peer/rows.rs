//! Rows on the wire: zstd of 24 bytes a row.
//!
//! `chunk u64 │ version u64 │ holders u32 │ owner u8 │ flags u8 (1: zero) │ zero u16`, little-endian. Owner and holders
//! are numbers of the sender's list of sites.

use wandisk_store::{Row, Version};

use crate::engine::WireRow;

const ROW_LEN: usize = 24;
/// Rows in one message at most.
pub const ROWS_MAX: usize = 32 << 10;

/// Packs rows.
///
/// # Errors
/// If zstd fails.
pub fn pack(rows: &[(u64, Row)]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(rows.len() * ROW_LEN);
    for (chunk, row) in rows {
        bytes.extend_from_slice(&chunk.to_le_bytes());
        bytes.extend_from_slice(&row.version.0.to_le_bytes());
        bytes.extend_from_slice(&row.holders.to_le_bytes());
        bytes.extend_from_slice(&[row.owner, u8::from(row.zero), 0, 0]);
    }
    zstd::bulk::compress(&bytes, 1)
}

/// Unpacks rows of a peer, translating its site numbers with `numbers` (theirs → ours). `None` if they are not rows.
#[must_use]
pub fn unpack(body: &[u8], numbers: &[u8]) -> Option<Vec<WireRow>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let bytes = zstd::bulk::decompress(body, ROWS_MAX * ROW_LEN).ok()?;
    if !bytes.len().is_multiple_of(ROW_LEN) {
        return None;
    }
    bytes.chunks_exact(ROW_LEN).map(|row| read_row(row, numbers)).collect()
}

/// Ranges in one message at most.
const RANGES_MAX: usize = 1 << 20;

/// Packs ranges of chunks: zstd of (first u64, count u64) pairs, little-endian.
///
/// # Errors
/// If zstd fails.
pub fn pack_ranges(ranges: &[std::ops::Range<u64>]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(ranges.len() * 16);
    for range in ranges {
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&(range.end - range.start).to_le_bytes());
    }
    zstd::bulk::compress(&bytes, 1)
}

/// Unpacks ranges of a peer. `None` if they are not ranges.
#[must_use]
pub fn unpack_ranges(body: &[u8]) -> Option<Vec<std::ops::Range<u64>>> {
    let bytes = zstd::bulk::decompress(body, RANGES_MAX * 16).ok()?;
    if !bytes.len().is_multiple_of(16) {
        return None;
    }
    let range = |pair: &[u8]| {
        let first = u64::from_le_bytes(pair[..8].try_into().ok()?);
        let count = u64::from_le_bytes(pair[8..].try_into().ok()?);
        Some(first..first.checked_add(count)?)
    };
    bytes.chunks_exact(16).map(range).collect()
}

/// Packs pairs of chunk and version: zstd of (chunk u64, version u64), little-endian; at most [`ROWS_MAX`].
///
/// # Errors
/// If zstd fails.
pub fn pack_versions(pairs: &[(u64, Version)]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(pairs.len() * 16);
    for (chunk, version) in pairs {
        bytes.extend_from_slice(&chunk.to_le_bytes());
        bytes.extend_from_slice(&version.0.to_le_bytes());
    }
    zstd::bulk::compress(&bytes, 1)
}

/// Unpacks pairs of a peer. `None` if they are not pairs.
#[must_use]
pub fn unpack_versions(body: &[u8]) -> Option<Vec<(u64, Version)>> {
    let bytes = zstd::bulk::decompress(body, ROWS_MAX * 16).ok()?;
    if !bytes.len().is_multiple_of(16) {
        return None;
    }
    let word = |at: &[u8]| at.try_into().ok().map(u64::from_le_bytes);
    bytes.chunks_exact(16).map(|pair| Some((word(&pair[..8])?, Version(word(&pair[8..])?)))).collect()
}

fn read_row(bytes: &[u8], numbers: &[u8]) -> Option<WireRow> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let holders = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
    let (owner, flags) = (bytes[20], bytes[21]);
    if flags > 1 || bytes[22..24] != [0, 0] {
        return None;
    }
    let translate = |number: u8| numbers.get(usize::from(number)).copied();
    let mut ours = 0u32;
    for number in (0..32u8).filter(|n| holders & (1 << n) != 0) {
        ours |= 1 << translate(number)?;
    }
    Some(WireRow {
        chunk: word(0)?,
        version: Version(word(8)?),
        owner: translate(owner)?,
        holders: ours,
        zero: flags == 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(owner: u8, holders: u32) -> Row {
        Row { version: Version::new(0, 9), held: Version::NONE, holders, owner, zero: true, fresh: true }
    }

    #[test]
    fn rows_travel_with_their_sites_renumbered() {
        let body = pack(&[(7, row(1, 0b11))]).unwrap();
        let rows = unpack(&body, &[2, 0]).unwrap();
        let expected =
            WireRow { chunk: 7, version: Version::new(0, 9), owner: 0, holders: 0b101, zero: true };
        assert_eq!(rows, [expected]);
    }

    #[test]
    fn rows_that_name_unknown_sites_or_are_cut_are_refused() {
        let body = pack(&[(7, row(1, 0b11))]).unwrap();
        assert_eq!(unpack(&body, &[2]), None);
        assert_eq!(unpack(&body[..body.len() - 1], &[2, 0]), None);
        let cut = zstd::bulk::compress(&[0; 23], 1).unwrap();
        assert_eq!(unpack(&cut, &[0]), None);
    }

    #[test]
    fn versions_travel_and_what_is_none_is_refused() {
        let pairs = [(0, Version::new(0, 1)), (u64::MAX, Version::new(254, 9))];
        let body = pack_versions(&pairs).unwrap();
        assert_eq!(unpack_versions(&body), Some(pairs.to_vec()));
        assert_eq!(unpack_versions(&body[..body.len() - 1]), None);
        assert_eq!(unpack_versions(&zstd::bulk::compress(&[0; 17], 1).unwrap()), None);
        let too_many = zstd::bulk::compress(&vec![0; (ROWS_MAX + 1) * 16], 1).unwrap();
        assert_eq!(unpack_versions(&too_many), None, "no more than were ever asked for");
    }

    #[test]
    fn ten_thousand_changed_rows_fit_in_16_bytes_each() {
        let rows: Vec<_> = (0..10_000u64)
            .map(|i| (i * 839 % 8_000_000, Row { version: Version::new(0, 1_000_000 + i), ..row(0, 1) }))
            .collect();
        assert!(pack(&rows).unwrap().len() <= 16 * rows.len());
    }
}
