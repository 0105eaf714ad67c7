//! Which extents are hot, when each was last used, and which are likely to be wanted next.
//!
//! Pure. A durable mark costs a sync of the medium, so a commit takes more of them than are wanted:
//! - those after a writer that goes through the disk in order: twice as many as it has behind it;
//! - the whole neighbourhood of each, where several are wanted at once; sixteen times as large with each such commit.
//!
//! What was marked for nothing costs its turn in a bounded set, and a look after a machine crash: half of the room that is left
//! is never given to it, unless there is room for all of the disk, so that none has to make room for another; and when half of what is
//! dropped was never used there are no neighbourhoods until all marks go.

use std::collections::{BTreeSet, HashMap};

/// Extents marked after a writer in order, at most: 128 MiB of disk.
const REACH: u64 = 32;
/// How much larger a neighbourhood becomes at a time, and how large at most: 1 GiB of disk. Each commit on the way there is a
/// millisecond in which all such writers wait.
const GROWTH: u64 = 16;
const AROUND: u64 = 256;
/// So many are wanted at once by those who write all over the disk.
const MANY: usize = 4;
/// After so many commits with fewer they are seen to have ended. (The first of those who write at once commits alone, the others
/// together meanwhile.)
const FEW_IN_A_ROW: u32 = 8;

/// How a hot extent was used.
#[derive(Clone, Copy, Debug)]
struct Use {
    /// Last, by the clock.
    at: u64,
    /// Nobody had wanted its mark, nor has since.
    unused: bool,
}

/// The extents that are hot, and when each was last used.
#[derive(Debug)]
pub(super) struct HotExtents {
    /// Looked at by each first write to a chunk.
    hot: HashMap<u64, Use>,
    clock: u64,
    cooling: BTreeSet<u64>,
    /// The table may say that they are hot, but nobody may rely on it. Counted, and dropped with the next ones.
    doubtful: BTreeSet<u64>,
    /// How often marks were dropped: one whose commit was on its way meanwhile may be gone.
    drops: u64,
    /// To be marked by the next commit.
    wanted: BTreeSet<u64>,
    /// On their way to be marked, though nobody has wanted them yet.
    unwanted: BTreeSet<u64>,
    /// Extents of a neighbourhood, and at most.
    spread: u64,
    spread_max: u64,
    /// Commits since many were wanted.
    few: u32,
}

impl Default for HotExtents {
    fn default() -> Self {
        HotExtents::loaded([])
    }
}

impl HotExtents {
    pub(super) fn loaded(extents: impl IntoIterator<Item = u64>) -> HotExtents {
        HotExtents {
            hot: extents.into_iter().map(|e| (e, Use { at: 0, unused: false })).collect(),
            clock: 0,
            cooling: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            drops: 0,
            wanted: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            spread: 1,
            spread_max: AROUND,
            few: 0,
        }
    }

    /// Is it hot? Notes the use.
    pub(super) fn touch(&mut self, extent: u64) -> bool {
        self.clock += 1;
        match self.hot.get_mut(&extent) {
            Some(used) => {
                *used = Use { at: self.clock, unused: false };
                true
            }
            None => {
                self.unwanted.remove(&extent);
                false
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = HotExtents {
            drops: self.drops + 1,
            clock: self.clock,
            cooling: std::mem::take(&mut self.cooling),
            ..HotExtents::default()
        };
    }

    /// How many the table has at most, but for those that are on their way.
    pub(super) fn len(&self) -> usize {
        self.hot.len() + self.doubtful.len()
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.hot.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// How often marks were dropped.
    pub(super) fn drops(&self) -> u64 {
        self.drops
    }

    fn contains(&self, extent: u64) -> bool {
        self.hot.contains_key(&extent)
    }

    /// Asks for a mark; `false` for one that is being dropped, which cannot be had before that has ended.
    pub(super) fn want(&mut self, extent: u64) -> bool {
        let is_cooling = self.cooling.contains(&extent);
        if !is_cooling {
            self.wanted.insert(extent);
        }
        !is_cooling
    }

    /// What the next commit is to mark, of a disk of `on_disk` extents: what is wanted, and what is likely to be. `first` comes
    /// before all others: whoever commits has the mark that he needs, however little room there is. One who has it, or
    /// cannot have it yet, commits nothing: two who marked for each other only what the other then has to drop would never end.
    pub(super) fn take_wanted(&mut self, first: u64, on_disk: u64, hot_max: usize) -> Vec<u64> {
        if self.contains(first) || self.cooling.contains(&first) {
            return Vec::new();
        }
        let room = hot_max.saturating_sub(self.len());
        let others = std::mem::take(&mut self.wanted).into_iter().filter(|e| *e != first);
        let wanted: Vec<u64> = std::iter::once(first)
            .chain(others)
            .filter(|e| !self.contains(*e) && !self.cooling.contains(e))
            .take(room)
            .collect();
        self.few = if wanted.len() < MANY { self.few + 1 } else { 0 };
        match self.few {
            0 => self.spread = (self.spread * GROWTH).min(self.spread_max),
            1..FEW_IN_A_ROW => {}
            _ => (self.spread, self.few) = (1, 0),
        }
        let mut marks: BTreeSet<u64> = wanted.iter().copied().collect();
        let spare = room - marks.len();
        let all_fit = on_disk.saturating_sub(self.len() as u64) <= room as u64;
        let ahead = marks.len() + if all_fit { spare } else { spare / 2 };
        for extent in &wanted {
            let after = extent + 1..=extent.saturating_add(2 * self.run_before(*extent));
            let around = extent - extent % self.spread..extent - extent % self.spread + self.spread;
            for likely in after.take(usize::try_from(REACH).unwrap_or(0)).chain(around) {
                let is_new = likely < on_disk && !self.contains(likely) && !self.cooling.contains(&likely);
                if is_new && marks.len() < ahead && marks.insert(likely) {
                    self.unwanted.insert(likely);
                }
            }
        }
        marks.into_iter().collect()
    }

    /// The next extent to be marked for a writer in order that has come to this hot one, if it is time for that: when no more
    /// is marked before it than behind it.
    pub(super) fn next_in_order(&self, extent: u64, on_disk: u64) -> Option<u64> {
        let behind = self.run_before(extent).min(REACH / 2);
        let next = (extent + 1..=extent + behind).find(|e| !self.contains(*e)).filter(|e| *e < on_disk)?;
        (!self.wanted.contains(&next) && !self.cooling.contains(&next)).then_some(next)
    }

    /// Hot extents right before this one, as far as they matter.
    fn run_before(&self, extent: u64) -> u64 {
        let before = (0..extent).rev().take_while(|e| self.contains(*e));
        before.take(usize::try_from(REACH).unwrap_or(0)).count() as u64
    }

    /// Its mark is durable.
    pub(super) fn insert(&mut self, extent: u64) {
        self.clock += 1;
        let unused = self.unwanted.remove(&extent);
        self.hot.insert(extent, Use { at: self.clock, unused });
        self.doubtful.remove(&extent);
    }

    /// Its mark is durable, or not.
    pub(super) fn doubt(&mut self, extent: u64) {
        self.unwanted.remove(&extent);
        if !self.contains(extent) {
            self.doubtful.insert(extent);
        }
    }

    /// Takes out those that were used longest ago, `n` at most, and all that are in doubt. Nobody may rely on them any more;
    /// none can be marked anew before [`HotExtents::end_cooling`].
    pub(super) fn begin_cooling(&mut self, n: usize) -> (Vec<u64>, Vec<u64>) {
        let mut by_use: Vec<_> = self.hot.iter().map(|(extent, used)| (used.at, *extent)).collect();
        by_use.sort_unstable();
        let oldest: Vec<u64> = by_use.into_iter().take(n).map(|(_, extent)| extent).collect();
        let doubtful: Vec<u64> = std::mem::take(&mut self.doubtful).into_iter().collect();
        self.drops += 1;
        let gone: Vec<Use> = oldest.iter().filter_map(|e| self.hot.remove(e)).collect();
        let wasted = gone.iter().filter(|used| used.unused).count();
        if wasted * 2 > oldest.len() {
            (self.spread, self.spread_max) = (1, 1);
        }
        self.cooling.extend(oldest.iter().chain(&doubtful));
        (oldest, doubtful)
    }

    /// Its mark is dropped, or nobody waits for that any more.
    pub(super) fn end_cooling(&mut self, extent: u64) {
        self.cooling.remove(&extent);
    }
}

#[cfg(test)]
mod tests;
