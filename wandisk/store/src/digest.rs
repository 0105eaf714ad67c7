//! A digest of a whole table that follows each change of a row at the cost of that row.
//!
//! The sum, in four lanes of 64 bits, of the BLAKE3 of every row's (chunk, version, zero). Two tables with equal
//! rows have equal digests in whatever order the rows came; a wrong or missing row shows with all but
//! certainty. It guards against loss and mistakes, not against a peer that forges its own table.

use serde::{Deserialize, Serialize};

use crate::row::Row;

/// Sum over all rows; the empty table's is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableDigest(pub [u64; 4]);

fn lanes(chunk: u64, row: &Row) -> [u64; 4] {
    if !row.exists() {
        return [0; 4];
    }
    let mut bytes = [0u8; 17];
    bytes[..8].copy_from_slice(&chunk.to_le_bytes());
    bytes[8..16].copy_from_slice(&row.version.0.to_le_bytes());
    bytes[16] = u8::from(row.zero);
    let hash = blake3::hash(&bytes);
    let mut out = [0u64; 4];
    for (lane, part) in out.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
        let mut word = [0u8; 8];
        word.copy_from_slice(part);
        *lane = u64::from_le_bytes(word);
    }
    out
}

impl TableDigest {
    /// Follows one row's change.
    pub fn replace(&mut self, chunk: u64, old: &Row, new: &Row) {
        if (old.version, old.zero) == (new.version, new.zero) {
            return;
        }
        let (minus, plus) = (lanes(chunk, old), lanes(chunk, new));
        for i in 0..4 {
            self.0[i] = self.0[i].wrapping_sub(minus[i]).wrapping_add(plus[i]);
        }
    }

    /// Short form for messages to people.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{:016x}", self.0[0])
    }
}
