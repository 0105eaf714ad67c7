//! Neighbours: a reader that goes here and there in one part of the disk, as one of a tree of files does, finds the rest of
//! that part on its way.
//!
//! The disk is seen as neighbourhoods of a few MiB. The first chunk that is wanted of one and is not here brings nothing: one
//! reader in a large disk must not make much of it come. Each further one brings four times as many of its nearest neighbours,
//! up to the whole. Where a neighbourhood next to it is well known already, the first one counts as a second one. A reader that
//! finds all it wants makes nothing come.
//!
//! Pure. Invariant: a chunk is told once as long as its neighbourhood is remembered; memory is bounded.

/// Bytes of a neighbourhood, and its chunks at most: as many as a word has bits.
const PART_BYTES: u64 = 8 << 20;
const PART_CHUNKS: u64 = 64;
/// Neighbourhoods remembered: 512 MiB.
const PARTS: usize = 64;
/// Chunks that the second one missing brings.
const FIRST: u64 = 8;
/// Chunks wanted until a neighbourhood is well known.
const WELL_KNOWN: u32 = 4;

#[derive(Debug)]
struct Part {
    number: u64,
    /// How many chunks of it were wanted.
    wanted: u32,
    /// A bit a chunk that was wanted or told.
    told: u64,
    used: u64,
}

/// Where readers are.
#[derive(Debug)]
pub(super) struct Near {
    parts: Vec<Part>,
    clock: u64,
    chunks_of_part: u64,
    chunks: u64,
}

impl Near {
    /// For a disk of so many chunks of so many bytes.
    pub(super) fn new(chunks: u64, chunk_size: u32) -> Near {
        let chunks_of_part = (PART_BYTES / u64::from(chunk_size.max(1))).clamp(2, PART_CHUNKS);
        Near { parts: Vec::new(), clock: 0, chunks_of_part, chunks }
    }

    /// The chunks to bring, nearest first and no more than `room`, now that `chunk` is wanted and is missing or here.
    pub(super) fn wanted(&mut self, chunk: u64, missing: bool, room: u64) -> Vec<u64> {
        let (number, start) = (chunk / self.chunks_of_part, chunk - chunk % self.chunks_of_part);
        let end = (start + self.chunks_of_part).min(self.chunks);
        let part = self.part(number);
        part.wanted = part.wanted.saturating_add(1);
        part.told |= 1 << (chunk - start);
        if !missing || part.wanted < 2 {
            return Vec::new();
        }
        let count = (FIRST << (2 * (part.wanted - 2).min(3))).min(room);
        let mut near: Vec<u64> = (start..end).filter(|at| part.told & (1 << (at - start)) == 0).collect();
        // Of two that are as near the one that comes after it: readers go on more often than back.
        near.sort_by_key(|at| (at.abs_diff(chunk), *at < chunk));
        near.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        for at in &near {
            part.told |= 1 << (at - start);
        }
        near
    }

    /// The neighbourhood, in place of the one used longest ago where it is new.
    fn part(&mut self, number: u64) -> &mut Part {
        self.clock += 1;
        let clock = self.clock;
        let at = self.parts.iter().position(|part| part.number == number).unwrap_or_else(|| {
            let next_to_it = |part: &&Part| part.number.abs_diff(number) == 1 && part.wanted >= WELL_KNOWN;
            let wanted = u32::from(self.parts.iter().any(|part| next_to_it(&part)));
            let fresh = Part { number, wanted, told: 0, used: clock };
            if self.parts.len() < PARTS {
                self.parts.push(fresh);
                return self.parts.len() - 1;
            }
            let oldest =
                self.parts.iter().enumerate().min_by_key(|(_, part)| part.used).map_or(0, |(at, _)| at);
            self.parts[oldest] = fresh;
            oldest
        });
        let part = &mut self.parts[at];
        part.used = clock;
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u32 = 128 << 10;
    const ANY: u64 = u64::MAX;

    fn near() -> Near {
        Near::new(6400, CHUNK)
    }

    #[test]
    fn one_reader_in_a_large_disk_brings_nothing() {
        let mut near = near();
        for chunk in [10, 6390, 700, 3000] {
            assert!(near.wanted(chunk, true, ANY).is_empty());
        }
    }

    #[test]
    fn readers_that_miss_again_nearby_bring_more_each_time_until_all_is_told_once() {
        let mut near = near();
        assert!(near.wanted(10, true, ANY).is_empty());
        assert_eq!(near.wanted(20, true, ANY), [21, 19, 22, 18, 23, 17, 24, 16]);
        assert_eq!(near.wanted(40, true, ANY).len(), 32);
        assert_eq!(near.wanted(0, true, ANY).len(), 64 - 4 - 8 - 32);
        assert!(near.wanted(1, true, ANY).is_empty());
    }

    #[test]
    fn readers_that_find_what_they_want_bring_nothing() {
        let mut near = near();
        for chunk in 0..64 {
            assert!(near.wanted(chunk, false, ANY).is_empty());
        }
    }

    #[test]
    fn next_to_a_known_neighbourhood_the_first_one_missing_brings_some() {
        let mut near = near();
        for chunk in [64, 80, 90, 100] {
            near.wanted(chunk, false, ANY);
        }
        assert_eq!(near.wanted(130, true, ANY).len(), 8);
        assert_eq!(near.wanted(10, true, ANY).len(), 8);
        assert!(near.wanted(200, true, ANY).is_empty());
    }

    #[test]
    fn no_more_is_told_than_there_is_room_for_and_it_is_told_later() {
        let mut near = near();
        near.wanted(10, true, 0);
        assert!(near.wanted(11, true, 0).is_empty());
        assert_eq!(near.wanted(12, true, 2), [13, 14]);
    }

    #[test]
    fn nothing_is_told_past_the_end_and_memory_is_bounded() {
        for chunk_size in [64 << 10, CHUNK, 4 << 20] {
            let mut near = Near::new(100_001, chunk_size);
            near.wanted(99_999, true, ANY);
            assert!(near.wanted(100_000, true, ANY).iter().all(|at| *at <= 100_000));
            for chunk in 0..100_000 {
                assert!(near.wanted(chunk, true, ANY).len() <= 64);
            }
            assert!(near.parts.len() <= PARTS);
        }
    }
}
