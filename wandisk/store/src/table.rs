//! The chunk table in memory: pages of rows, their counts and their digest, kept in step at each change.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::TableDigest;
use crate::ids::Version;
use crate::row::{PAGE_CHUNKS, Page, Row};

/// How many chunks are in which state. `written = held + stale + absent`; zero rows count as held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Chunks that have a row.
    pub written: u64,
    /// Current version's bytes are here (or it is zero).
    pub held: u64,
    /// An older version's bytes are here: a basis.
    pub stale: u64,
    /// Nothing of it is known to be here.
    pub absent: u64,
    /// Current version is zero.
    pub zero: u64,
}

impl Counts {
    fn of(row: &Row) -> Counts {
        if !row.exists() {
            return Counts::default();
        }
        let held = u64::from(row.is_held());
        let stale = u64::from(!row.is_held() && !row.held.is_none());
        Counts { written: 1, held, stale, absent: 1 - held - stale, zero: u64::from(row.zero) }
    }

    fn change(&mut self, old: Counts, new: Counts) {
        let step = |at: &mut u64, minus: u64, plus: u64| *at = *at + plus - minus;
        step(&mut self.written, old.written, new.written);
        step(&mut self.held, old.held, new.held);
        step(&mut self.stale, old.stale, new.stale);
        step(&mut self.absent, old.absent, new.absent);
        step(&mut self.zero, old.zero, new.zero);
    }
}

/// All rows of a disk.
///
/// A row may be *held back*: its chunk's bytes are not durable yet, and the older row, by which the chunk's last durable
/// bytes can be found elsewhere, is what is stored until they are.
///
/// Invariant: counts and digest are those of the rows; `changed` names every page that differs from what
/// [`ChunkTable::take_changed`] last gave out, but for rows held back.
#[derive(Debug, Default)]
pub struct ChunkTable {
    pages: BTreeMap<u64, Box<Page>>,
    changed: BTreeSet<u64>,
    /// Chunks whose row is held back: what is stored instead, and when that began.
    held_back: BTreeMap<u64, (Row, u64)>,
    clock: u64,
    counts: Counts,
    digest: TableDigest,
    newest: u64,
}

fn place(chunk: u64) -> (u64, usize) {
    let slot = (chunk % PAGE_CHUNKS) as usize;
    (chunk / PAGE_CHUNKS, slot)
}

impl ChunkTable {
    /// Takes a stored page in while loading. `digest` is given once, by [`ChunkTable::loaded`].
    pub fn load_page(&mut self, index: u64, page: Page) {
        for slot in 0..PAGE_CHUNKS {
            let row = page.get(place(slot).1);
            self.counts.change(Counts::default(), Counts::of(&row));
        }
        self.newest = self.newest.max(page.newest_counter());
        self.pages.insert(index, Box::new(page));
    }

    /// Ends loading: the digest stored with the pages.
    pub fn loaded(&mut self, digest: TableDigest) {
        self.digest = digest;
    }

    /// A chunk's row; the default (no row) if it was never written.
    #[must_use]
    pub fn get(&self, chunk: u64) -> Row {
        let (page, slot) = place(chunk);
        self.pages.get(&page).map_or_else(Row::default, |p| p.get(slot))
    }

    /// Replaces a chunk's row.
    pub fn set(&mut self, chunk: u64, row: Row) {
        let (index, slot) = place(chunk);
        let page = self.pages.entry(index).or_default();
        let old = page.get(slot);
        if old == row {
            return;
        }
        page.set(slot, row);
        self.counts.change(Counts::of(&old), Counts::of(&row));
        self.digest.replace(chunk, &old, &row);
        self.newest = self.newest.max(row.version.counter());
        self.changed.insert(index);
    }

    /// Counts by state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Digest over all rows.
    #[must_use]
    pub fn digest(&self) -> TableDigest {
        self.digest
    }

    /// The digest computed anew from the rows, for checks.
    #[must_use]
    pub fn recomputed_digest(&self) -> TableDigest {
        let mut digest = TableDigest::default();
        self.rows().for_each(|(chunk, row)| digest.replace(chunk, &Row::default(), &row));
        digest
    }

    /// Highest counter of any version.
    #[must_use]
    pub fn newest_counter(&self) -> u64 {
        self.newest
    }

    /// All rows in chunk order.
    pub fn rows(&self) -> impl Iterator<Item = (u64, Row)> + '_ {
        self.rows_from(0)
    }

    /// All rows from chunk `start` on.
    pub fn rows_from(&self, start: u64) -> impl Iterator<Item = (u64, Row)> + '_ {
        self.pages.range(start / PAGE_CHUNKS..).flat_map(move |(index, page)| rows_of(*index, page, start))
    }

    /// Copies the next `pages` pages from chunk `start` on over what `into` had; gives the chunk to go on from, `None` when there
    /// are no more. What lies between two copies may have changed.
    pub fn copy(&self, start: u64, pages: usize, into: &mut CopiedRows) -> Option<u64> {
        let mut there = self.pages.range(start / PAGE_CHUNKS..);
        into.start = start;
        into.pages.clear();
        into.pages.extend(there.by_ref().take(pages).map(|(index, page)| (*index, Page::clone(page))));
        there.next().map(|(index, _)| index * PAGE_CHUNKS)
    }

    /// Rows whose version was made after `counter`, in chunk order from `start` on.
    pub fn rows_since(&self, counter: u64, start: u64) -> impl Iterator<Item = (u64, Row)> + '_ {
        self.pages
            .range(start / PAGE_CHUNKS..)
            .filter(move |(_, page)| page.newest_counter() > counter)
            .flat_map(move |(index, page)| rows_of(*index, page, start))
            .filter(move |(_, row)| row.version.counter() > counter)
    }

    /// Are there changes that [`ChunkTable::take_changed`] has not given out?
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Images of all pages changed since the last call, to be committed with [`ChunkTable::stored_digest`].
    pub fn take_changed(&mut self) -> Vec<(u64, Vec<u8>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|i| self.pages.get(&i).map(|p| (i, self.stored_page(i, p)))).collect()
    }

    fn stored_page(&self, index: u64, page: &Page) -> Vec<u8> {
        let mut late = self.held_back.range(index * PAGE_CHUNKS..(index + 1) * PAGE_CHUNKS).peekable();
        if late.peek().is_none() {
            return page.encode();
        }
        let mut stored = page.clone();
        late.for_each(|(chunk, (row, _))| stored.set(place(*chunk).1, *row));
        stored.encode()
    }

    /// Stores `stored` instead of a chunk's row, which speaks of bytes that are not durable, until
    /// [`ChunkTable::let_go`]. A row that is held back already stays so, with what was stored first.
    pub fn hold_back(&mut self, chunk: u64, stored: Row) {
        self.clock += 1;
        self.held_back.entry(chunk).or_insert((stored, self.clock));
    }

    /// Is a chunk's row held back?
    #[must_use]
    pub fn is_held_back(&self, chunk: u64) -> bool {
        self.held_back.contains_key(&chunk)
    }

    /// A moment, for [`ChunkTable::let_go`]: a data sync that begins now covers what is held back so far.
    #[must_use]
    pub fn moment(&self) -> u64 {
        self.clock
    }

    /// Rows held back up to this moment have durable bytes now: they are stored with the next commit.
    pub fn let_go(&mut self, moment: u64) {
        let changed = &mut self.changed;
        self.held_back.retain(|chunk, (_, since)| {
            let stays = *since > moment;
            if !stays {
                changed.insert(place(*chunk).0);
            }
            stays
        });
    }

    /// Digest over the rows as [`ChunkTable::take_changed`] gives them out.
    #[must_use]
    pub fn stored_digest(&self) -> TableDigest {
        let mut digest = self.digest;
        self.held_back.iter().for_each(|(chunk, (row, _))| digest.replace(*chunk, &self.get(*chunk), row));
        digest
    }

    /// Gives pages back whose commit failed.
    pub fn put_back(&mut self, pages: impl IntoIterator<Item = u64>) {
        self.changed.extend(pages);
    }
}

/// Rows of some pages as they were when [`ChunkTable::copy`] came by.
#[derive(Debug, Default)]
pub struct CopiedRows {
    pages: Vec<(u64, Page)>,
    start: u64,
}

impl CopiedRows {
    /// The rows, in chunk order.
    pub fn rows(&self) -> impl Iterator<Item = (u64, Row)> + '_ {
        self.pages.iter().flat_map(|(index, page)| rows_of(*index, page, self.start))
    }

    /// The chunks from the first place that was copied to the last, whether or not they have rows.
    #[must_use]
    pub fn chunks(&self) -> std::ops::Range<u64> {
        let end = self.pages.last().map_or(self.start, |(index, _)| (index + 1) * PAGE_CHUNKS);
        self.start..end
    }
}

fn rows_of(index: u64, page: &Page, start: u64) -> impl Iterator<Item = (u64, Row)> + '_ {
    (0..PAGE_CHUNKS)
        .map(move |slot| (index * PAGE_CHUNKS + slot, page.get(place(slot).1)))
        .filter(move |(chunk, row)| *chunk >= start && row.exists())
}

/// The next version after everything this table has seen, in lineage number `lineage`.
#[must_use]
pub fn version_after(newest: u64, lineage: u8) -> Version {
    Version::new(lineage, newest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_row() -> impl Strategy<Value = Row> {
        (1u64..50, 0u64..50, any::<bool>()).prop_map(|(version, held, zero)| Row {
            version: Version::new(0, version),
            held: if held == 0 { Version::NONE } else { Version::new(0, held) },
            holders: 1,
            owner: 0,
            zero,
            fresh: false,
        })
    }

    fn stored(table: &mut ChunkTable, into: &mut ChunkTable) {
        for (index, bytes) in table.take_changed() {
            into.load_page(index, Page::decode(&bytes).unwrap());
        }
        into.loaded(table.stored_digest());
    }

    #[test]
    fn a_row_held_back_is_stored_when_its_bytes_are_durable() {
        let row = |counter: u64| Row {
            version: Version::new(0, counter),
            held: Version::new(0, counter),
            holders: 1,
            ..Row::default()
        };
        let (old, new) = (Row { held: Version::NONE, ..row(3) }, row(7));
        let (mut table, mut disk) = (ChunkTable::default(), ChunkTable::default());
        table.set(5, old);
        table.set(6, row(4));
        table.set(5, new);
        table.hold_back(5, old);
        stored(&mut table, &mut disk);
        assert_eq!((disk.get(5), disk.get(6), table.get(5)), (old, row(4), new));
        assert_eq!(disk.digest(), disk.recomputed_digest());

        let moment = table.moment();
        table.set(40, row(8));
        table.hold_back(40, old);
        table.let_go(moment);
        let mut disk = ChunkTable::default();
        stored(&mut table, &mut disk);
        assert_eq!((disk.get(5), disk.get(40)), (new, old));
        assert!(!table.is_held_back(5) && table.is_held_back(40));
    }

    proptest! {
        #[test]
        fn counts_digest_and_changes_follow_every_set(sets in prop::collection::vec((0u64..200, any_row()), 0..100)) {
            let mut table = ChunkTable::default();
            let mut model = BTreeMap::new();
            for (chunk, row) in sets {
                table.set(chunk, row);
                model.insert(chunk, row);
            }
            prop_assert_eq!(table.digest(), table.recomputed_digest());
            let counts = table.counts();
            prop_assert_eq!(counts.written, model.len() as u64);
            prop_assert_eq!(counts.held, model.values().filter(|r| r.is_held()).count() as u64);
            prop_assert_eq!(counts.written, counts.held + counts.stale + counts.absent);
            let since: Vec<_> = table.rows_since(25, 40).collect();
            let expected: Vec<_> =
                model.iter().filter(|(c, r)| **c >= 40 && r.version.counter() > 25).map(|(c, r)| (*c, *r)).collect();
            prop_assert_eq!(since, expected);
            let (mut looked, mut next, mut piece) = (Vec::new(), Some(0), CopiedRows::default());
            while let Some(start) = next {
                let before = looked.len();
                next = table.copy(start, 2, &mut piece);
                looked.extend(piece.rows());
                prop_assert!(looked.len() - before <= 64);
                prop_assert!(looked[before..].iter().all(|(chunk, _)| piece.chunks().contains(chunk)));
            }
            prop_assert_eq!(looked, table.rows().collect::<Vec<_>>());

            let mut reloaded = ChunkTable::default();
            for (index, bytes) in table.take_changed() {
                reloaded.load_page(index, Page::decode(&bytes).unwrap());
            }
            reloaded.loaded(table.digest());
            prop_assert_eq!(reloaded.rows().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(reloaded.counts(), counts);
            prop_assert!(!table.has_changes());
        }
    }
}
