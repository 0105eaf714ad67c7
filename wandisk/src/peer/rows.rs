//! Rows on the wire: zstd of 24 bytes a row.
//!
//! `chunk u64 │ version u64 │ holders u32 │ owner u8 │ flags u8 (1: zero) │ zero u16`, little-endian. Owner and holders
//! are numbers of the sender's list of sites.

use wandisk_store::{Row, Version};

use crate::engine::WireRow;

use super::limits::RANGES_MAX;

pub use super::limits::ROWS_MAX;

/// Bytes of a row.
pub(crate) const ROW_LEN: usize = 24;

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

/// Unpacks ranges of a peer's chunks, of which the disk has `chunks`. `None` if they are not ranges, reach past its end,
/// or are not in order and apart.
#[must_use]
pub fn unpack_ranges(body: &[u8], chunks: u64) -> Option<Vec<std::ops::Range<u64>>> {
    let bytes = zstd::bulk::decompress(body, RANGES_MAX * 16).ok()?;
    if !bytes.len().is_multiple_of(16) {
        return None;
    }
    let range = |pair: &[u8]| {
        let first = u64::from_le_bytes(pair[..8].try_into().ok()?);
        let count = u64::from_le_bytes(pair[8..].try_into().ok()?);
        Some(first..first.checked_add(count)?)
    };
    let ranges: Vec<_> = bytes.chunks_exact(16).map(range).collect::<Option<_>>()?;
    let ordered = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let inside = ranges.iter().all(|range| !range.is_empty() && range.end <= chunks);
    (ordered && inside).then_some(ranges)
}

/// Those of `ours` that lie in `theirs`, which [`unpack_ranges`] gave: as many as there are here at most, however many a
/// peer names.
pub fn common<'a>(
    ours: &'a [std::ops::Range<u64>],
    theirs: &'a [std::ops::Range<u64>],
) -> impl Iterator<Item = u64> + 'a {
    let named = |chunk: &u64| {
        let after = theirs.partition_point(|range| range.end <= *chunk);
        theirs.get(after).is_some_and(|range| range.contains(chunk))
    };
    ours.iter().cloned().flatten().filter(named)
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
    fn ranges_of_a_peer_are_in_order_apart_and_inside_the_disk() {
        let unpacked = |pairs: &[(u64, u64)]| {
            let bytes: Vec<u8> =
                pairs.iter().flat_map(|(a, b)| [a.to_le_bytes(), b.to_le_bytes()].concat()).collect();
            unpack_ranges(&zstd::bulk::compress(&bytes, 1).unwrap(), 100)
        };
        assert_eq!(unpacked(&[(0, 2), (2, 3), (99, 1)]), Some(vec![0..2, 2..5, 99..100]));
        for pairs in
            [[(0, 2), (1, 1)], [(5, 1), (0, 1)], [(0, 0), (1, 1)], [(0, 1), (99, 2)], [(1, u64::MAX), (0, 1)]]
        {
            assert_eq!(unpacked(&pairs), None, "{pairs:?}");
        }
    }

    /// A peer that names every chunk of a huge disk once made this site keep a list of them all.
    #[test]
    fn what_a_peer_names_is_no_more_than_what_is_here() {
        let ours = [3..5, 1 << 40..(1 << 40) + 2];
        let theirs = [0..4, (1 << 40) + 1..1 << 48];
        assert_eq!(common(&ours, &theirs).collect::<Vec<_>>(), [3, (1 << 40) + 1]);
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
