//! A chunk in parts: each over a connection of its own, so that all of it is under way at once.
//!
//! A connection on which nothing was sent for a moment begins with ten packets, however fast the line: less than 14 KiB.
//! A chunk that is asked for in parts comes in the first flights of several. Pure.
//!
//! Invariant: the parts that are made of a chunk cover it, in order, and none is empty. Parts of a peer are foreign.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Bytes that ten packets of the internet's size carry, with what frames and SSH add.
const FIRST_FLIGHT: usize = 13 << 10;

/// Some of a chunk's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Where they begin in the chunk.
    offset: u32,
    /// How many there are.
    length: u32,
}

impl Part {
    /// So many bytes from an offset on; none of more than a chunk can have.
    #[must_use]
    pub fn of(offset: usize, length: usize) -> Option<Part> {
        Some(Part { offset: u32::try_from(offset).ok()?, length: u32::try_from(length).ok()? })
    }

    /// How many bytes it says it has.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Does its chunk begin with it?
    #[must_use]
    pub fn is_first(self) -> bool {
        self.offset == 0
    }

    /// Says it that it has none?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Where it is in a chunk of so many bytes; `None` if it is in none, or empty.
    #[must_use]
    pub fn range_in(self, chunk_size: usize) -> Option<Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(self.len())?;
        (!self.is_empty() && end <= chunk_size).then_some(start..end)
    }
}

/// A chunk of so many bytes in as many parts as there are connections, and in no more than are of use.
#[must_use]
pub fn cut(chunk_size: usize, connections: usize) -> Vec<Part> {
    let count = connections.min(chunk_size.div_ceil(FIRST_FLIGHT)).max(1);
    let length = chunk_size.div_ceil(count).max(1);
    let starts = (0..chunk_size).step_by(length);
    starts.filter_map(|start| Part::of(start, length.min(chunk_size - start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_connections_bring_a_chunk_in_their_first_flights() {
        let parts = cut(128 << 10, 10);
        assert_eq!(parts.len(), 10);
        assert!(parts.iter().all(|part| part.len() <= FIRST_FLIGHT));
    }

    #[test]
    fn what_one_flight_brings_is_not_cut() {
        assert_eq!(cut(8 << 10, 10).len(), 1);
        assert_eq!(cut(128 << 10, 1).len(), 1);
        assert_eq!(cut(128 << 10, 0).len(), 1);
    }

    proptest! {
        #[test]
        fn parts_cover_a_chunk_in_order_and_none_is_empty(blocks in 1usize..1024, connections in 0usize..40) {
            let size = blocks * 4096;
            let parts = cut(size, connections);
            prop_assert!(parts.len() <= connections.max(1));
            let mut at = 0;
            for part in parts {
                let range = part.range_in(size).unwrap();
                prop_assert_eq!(range.start, at);
                at = range.end;
            }
            prop_assert_eq!(at, size);
        }
    }

    #[test]
    fn a_part_of_a_peer_that_is_not_in_the_chunk_is_none() {
        for (offset, length) in [(0, 0), (4096, 0), (0, 4097), (4095, 2), (u32::MAX, u32::MAX)] {
            assert_eq!(Part { offset, length }.range_in(4096), None);
        }
        assert_eq!(Part { offset: 4095, length: 1 }.range_in(4096), Some(4095..4096));
    }
}
