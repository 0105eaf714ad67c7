//! How long a disk's syncs take: whoever waits for a hand-over or a flush can be told how much of it was the medium's time.
//!
//! Totals since the disk was opened, and the last few one by one. A sync here is one wait for the medium: an fdatasync of
//! `data.img`, or the commit of a transaction of `table.db`, in which SQLite syncs.
//!
//! Invariant: bounded memory, however many there are; what was forgotten is in the totals still.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Syncs that are remembered one by one.
pub const SYNCS_KEPT: usize = 64;

/// All syncs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncTotals {
    /// How many.
    pub count: u64,
    /// Their time together.
    pub time: Duration,
    /// The longest.
    pub longest: Duration,
}

#[derive(Debug, Default)]
struct Noted {
    totals: SyncTotals,
    /// When each began, and how long it took; the oldest first by their ends.
    last: VecDeque<(Instant, Duration)>,
}

/// The syncs of one open disk, shared by all who sync.
#[derive(Debug, Default)]
pub struct Syncs(Mutex<Noted>);

impl Syncs {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs, and notes how long that took, also if it failed.
    pub fn timed<T>(&self, sync: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let ended = sync();
        self.note(began, began.elapsed());
        ended
    }

    fn note(&self, began: Instant, took: Duration) {
        let Noted { totals, last } = &mut *self.noted();
        totals.count += 1;
        totals.time += took;
        totals.longest = totals.longest.max(took);
        if last.len() == SYNCS_KEPT {
            last.pop_front();
        }
        last.push_back((began, took));
    }

    /// All so far.
    #[must_use]
    pub fn totals(&self) -> SyncTotals {
        self.noted().totals
    }

    /// How long each took that began at this moment or later, of the last [`SYNCS_KEPT`].
    #[must_use]
    pub fn since(&self, moment: Instant) -> Vec<Duration> {
        let noted = self.noted();
        noted.last.iter().filter(|(began, _)| *began >= moment).map(|(_, took)| *took).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn those_since_a_moment_are_told_one_by_one_and_all_of_them_together() {
        let (syncs, began) = (Syncs::default(), Instant::now());
        for n in 1..=4 {
            syncs.note(began + n * 10 * MS, n * MS);
        }
        assert_eq!(syncs.since(began + 30 * MS), [3 * MS, 4 * MS]);
        assert_eq!(syncs.since(began).len(), 4);
        assert_eq!(syncs.totals(), SyncTotals { count: 4, time: 10 * MS, longest: 4 * MS });
    }

    #[test]
    fn what_is_forgotten_stays_in_the_totals() {
        let (syncs, began) = (Syncs::default(), Instant::now());
        syncs.note(began, 9 * MS);
        (0..SYNCS_KEPT).for_each(|_| syncs.note(began, MS));
        assert_eq!(syncs.since(began), [MS; SYNCS_KEPT]);
        assert_eq!((syncs.totals().count, syncs.totals().longest), (SYNCS_KEPT as u64 + 1, 9 * MS));
    }

    #[test]
    fn a_sync_that_fails_has_taken_its_time_too() {
        let syncs = Syncs::default();
        assert_eq!(syncs.timed(|| Err::<(), _>("no")), Err("no"));
        assert_eq!(syncs.totals().count, 1);
    }
}
