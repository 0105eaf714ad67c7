//! Deltas of blocks that stay where they are: what filesystems do to a disk.
//!
//! The asker tells a short hash of each block of its basis, in order. The holder answers with the blocks that differ:
//!
//! ```text
//! bitmap (a bit a block, the lowest first: it differs) │ the blocks that differ, as they are or as one zstd frame
//! ```
//! They are packed only where that makes them shorter: the reader tells which by the length.
//!
//! Pure. Invariant: a hash here saves bytes and proves nothing. Two blocks may share one; whoever applies a delta
//! compares the whole result's BLAKE3, and asks without a basis when it differs.

use super::{DeltaError, pack};

/// What filesystems write at least.
pub(super) const BLOCK_LEN: usize = 4096;
/// Bytes of hash a block: one changed block in 2^32 is taken for unchanged, which costs its chunk a second fetch.
const HASH_LEN: usize = 4;

/// Blocks of so many bytes; the last one may be short.
fn count(len: usize) -> usize {
    len.div_ceil(BLOCK_LEN)
}

fn hash(block: &[u8]) -> [u8; HASH_LEN] {
    let mut short = [0; HASH_LEN];
    short.copy_from_slice(&blake3::hash(block).as_bytes()[..HASH_LEN]);
    short
}

/// Length of the hashes of so many bytes.
pub(super) fn hashes_len(len: usize) -> usize {
    count(len) * HASH_LEN
}

/// Appends the hashes of a basis.
pub(super) fn describe(basis: &[u8], out: &mut Vec<u8>) {
    for block in basis.chunks(BLOCK_LEN) {
        out.extend_from_slice(&hash(block));
    }
}

/// The blocks that a basis with these hashes has not, as a bitmap and their bytes; `None` if they are not its hashes.
pub(super) fn differing(bytes: &[u8], hashes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    if hashes.len() != hashes_len(bytes.len()) {
        return None;
    }
    let mut bitmap = vec![0; count(bytes.len()).div_ceil(8)];
    let mut changed = Vec::new();
    for (at, (block, there)) in bytes.chunks(BLOCK_LEN).zip(hashes.chunks(HASH_LEN)).enumerate() {
        if hash(block) != there {
            bitmap[at / 8] |= 1 << (at % 8);
            changed.extend_from_slice(block);
        }
    }
    Some((bitmap, changed))
}

/// The delta's bytes: the bitmap, then the blocks, at the given level of zstd where that makes them shorter.
pub(super) fn join(mut bitmap: Vec<u8>, changed: Vec<u8>, level: Option<i32>) -> Result<Vec<u8>, DeltaError> {
    let packed = level.map_or(Ok(None), |level| pack(&changed, level))?;
    bitmap.extend(packed.unwrap_or(changed));
    Ok(bitmap)
}

/// The basis with a delta's blocks in their places; `None` for anything that is no delta of it.
pub(super) fn apply(delta: &[u8], basis: &[u8]) -> Option<Vec<u8>> {
    let (bitmap, rest) = delta.split_at_checked(count(basis.len()).div_ceil(8))?;
    let differs = |at: usize| bitmap[at / 8] & (1 << (at % 8)) != 0;
    let len: usize =
        (basis.chunks(BLOCK_LEN).enumerate()).map(|(at, b)| if differs(at) { b.len() } else { 0 }).sum();
    let unpacked;
    let mut changed = if rest.len() == len {
        rest
    } else {
        unpacked = zstd::bulk::decompress(rest, len).ok().filter(|u| u.len() == len)?;
        &unpacked
    };
    let mut bytes = basis.to_vec();
    for (at, block) in bytes.chunks_mut(BLOCK_LEN).enumerate() {
        if differs(at) {
            let (new, others) = changed.split_at_checked(block.len())?;
            block.copy_from_slice(new);
            changed = others;
        }
    }
    Some(bytes)
}
