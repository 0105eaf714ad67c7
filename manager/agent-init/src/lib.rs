//! What the agent of the tests writes and shows, so that others can judge it: numbered blocks, a picture ([`glass`]); and what agents
//! of benches compute and show.
//!
//! Block `n` lies at slot `n mod` [`SLOTS`] and is the same wherever it is made from its number: a block that is torn, old, or
//! of another number is seen at once. Number 0 is none.

#![forbid(unsafe_code)]

pub mod field;
pub mod glass;
pub mod look;
pub mod surface;

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Blocks on the disk, each in a chunk of its own (so that a move has much to fetch).
pub const SLOTS: u64 = 48;
/// From one slot to the next.
pub const STRIDE: u64 = 128 << 10;

/// Two blocks that nobody reads until it is told to, and what they hold: so far from all that is read, and from each other, that
/// neither is brought as a neighbour of anything.
pub const FAR: [(u64, u64); 2] = [(17 << 20, 1001), (33 << 20, 1002)];

/// Where a block lies whose number is what came of its computing: behind the slots.
pub const RESULT: u64 = SLOTS * STRIDE;

/// Where block `n` lies.
#[must_use]
pub fn place(n: u64) -> u64 {
    n % SLOTS * STRIDE
}

/// The bytes of block `n`.
#[must_use]
pub fn block(n: u64) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    let mut word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < BLOCK {
        // Xorshift: no two words alike, nothing to compress.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// The number of a block; `None` if it is not what its number says. A slot that was never written is 0.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    let n = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let right = if n == 0 { bytes.iter().all(|byte| *byte == 0) } else { bytes == block(n) };
    right.then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_number_and_a_torn_one_is_seen() {
        let mut bytes = block(77);
        assert_eq!((bytes.len(), number(&bytes)), (BLOCK, Some(77)));
        bytes[2048..].copy_from_slice(&block(77 + SLOTS)[2048..]);
        assert_eq!(number(&bytes), None);
        assert_eq!(number(&vec![0; BLOCK]), Some(0));
    }
}
