//! The chunks of a disk in a bounded number of cells, for whoever draws or reads a map of it: a cell is some neighbours, and
//! says how many of them are in which state. A disk of any size gives a map of one size.
//!
//! Pure but for [`Engine::cells`], which walks the rows in pieces, so that the map is of no one moment.
//! Invariant: `written = held + stale + absent` in each cell; zeros count as held, wherever they were made.

use serde::Serialize;
use wandisk_store::Store;

use super::Engine;
use super::walk::Seen;

/// Most cells of a map.
pub const CELLS_MAX: u64 = 4096;

/// The map. Each list has a number a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cells {
    /// Chunks of the disk.
    pub chunks: u64,
    /// Chunks of a cell; of the last one perhaps fewer.
    pub chunks_per_cell: u64,
    /// Chunks that were ever written.
    pub written: Vec<u64>,
    /// Of these, those whose current version is here.
    pub held: Vec<u64>,
    /// Those of which an older version is here.
    pub stale: Vec<u64>,
    /// Those of which nothing is here.
    pub absent: Vec<u64>,
    /// Those that are zero.
    pub zero: Vec<u64>,
    /// Those of which no other holder is known.
    pub only_here: Vec<u64>,
    /// By number of a site: those that it is known to hold.
    #[serde(skip)]
    pub known_at: Vec<Vec<u64>>,
    /// By number of a site: those of which it is the only holder that is known.
    #[serde(skip)]
    pub only_at: Vec<Vec<u64>>,
}

impl Cells {
    /// Of a disk of so many chunks and sites, in at most so many cells.
    fn empty(chunks: u64, sites: usize, cells: u64) -> Cells {
        let per = chunks.div_ceil(cells.clamp(1, CELLS_MAX)).max(1);
        let none = || (0..chunks.div_ceil(per)).map(|_| 0).collect::<Vec<u64>>();
        Cells {
            chunks,
            chunks_per_cell: per,
            written: none(),
            held: none(),
            stale: none(),
            absent: none(),
            zero: none(),
            only_here: none(),
            known_at: (0..sites).map(|_| none()).collect(),
            only_at: (0..sites).map(|_| none()).collect(),
        }
    }

    /// Counts a chunk that has a row.
    fn count(&mut self, chunk: u64, seen: &Seen) {
        let Seen { row, held, alone, .. } = *seen;
        let Ok(cell) = usize::try_from(chunk / self.chunks_per_cell) else { return };
        let step = |list: &mut Vec<u64>, yes: bool| {
            if let Some(number) = list.get_mut(cell) {
                *number += u64::from(yes);
            }
        };
        step(&mut self.written, true);
        step(&mut self.held, held);
        step(&mut self.stale, !held && !row.held.is_none());
        step(&mut self.absent, !held && row.held.is_none());
        step(&mut self.zero, row.zero);
        step(&mut self.only_here, alone);
        for (number, list) in self.known_at.iter_mut().enumerate() {
            step(list, row.zero || row.holders & (1 << number) != 0);
        }
        for (number, list) in self.only_at.iter_mut().enumerate() {
            step(list, !row.zero && !alone && row.holders == 1 << number);
        }
    }
}

impl<S: Store> Engine<S> {
    /// The map of the disk as it is known here, in at most so many cells (1 to [`CELLS_MAX`]). Takes its thread for tens of
    /// milliseconds where there are millions of rows.
    #[must_use]
    pub fn cells(&self, cells: u64) -> Cells {
        let meta = self.meta();
        let mut map = Cells::empty(meta.chunks(), meta.sites.len(), cells);
        self.walk(|chunk, seen| map.count(chunk, seen));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wandisk_store::{Row, Version};

    fn row(held: Option<u64>, holders: u32) -> Row {
        let held = held.map_or(Version::NONE, |counter| Version::new(0, counter));
        Row { version: Version::new(0, 9), held, holders, ..Row::default() }
    }

    fn seen(row: Row, held: bool, alone: bool) -> Seen {
        Seen { row, held, alone, owned: false }
    }

    #[test]
    fn chunks_are_counted_in_the_cell_of_their_neighbours() {
        let mut map = Cells::empty(10, 2, 4);
        assert_eq!((map.chunks_per_cell, map.written.len()), (3, 4));
        map.count(0, &seen(row(Some(9), 0b01), true, true));
        map.count(2, &seen(row(Some(4), 0b10), false, false));
        map.count(3, &seen(row(None, 0b10), false, false));
        map.count(9, &seen(Row { zero: true, ..row(None, 0) }, true, false));
        assert_eq!(map.written, [2, 1, 0, 1]);
        assert_eq!(map.held, [1, 0, 0, 1]);
        assert_eq!((map.stale, map.absent), (vec![1, 0, 0, 0], vec![0, 1, 0, 0]));
        assert_eq!((map.zero, map.only_here), (vec![0, 0, 0, 1], vec![1, 0, 0, 0]));
        assert_eq!(map.known_at, [[1, 0, 0, 1], [1, 1, 0, 1]]);
        assert_eq!(map.only_at, [[0; 4], [1, 1, 0, 0]]);
    }

    #[test]
    fn a_map_is_bounded_whatever_the_disk_and_the_question() {
        for (chunks, asked) in [(1 << 39, u64::MAX), (1 << 39, 0), (1, 4096), (4097, 4096)] {
            let map = Cells::empty(chunks, 0, asked);
            let len = map.written.len() as u64;
            assert!((1..=CELLS_MAX).contains(&len), "{chunks}, {asked}: {len}");
            assert!(len * map.chunks_per_cell >= chunks && (len - 1) * map.chunks_per_cell < chunks);
        }
        // A row beyond the end, by a table that is wrong, is nobody's.
        Cells::empty(3, 0, 3).count(7, &seen(row(None, 0), false, false));
    }
}
