//! A look at all rows that holds nobody up: in pieces, and between them whoever waits for the state has it first.
//!
//! A disk of millions of rows is looked through in tens of milliseconds, and `status` and `map` are asked again and again.
//! Each first write to a chunk needs the state, so a walk under one lock would be a pause of the disk.
//!
//! Invariant: the state is held for a bounded number of pages at a time, and is handed over fairly: a lock that is only let go
//! of and taken again keeps others out, since they wake up too late each time.
//! What is told is of no one moment: each row as it was when the walk came by.

use wandisk_store::{Counts, Row, Store};

use super::{Engine, State};

/// Pages of rows that are looked at under one lock: some 20 us.
const PIECE_PAGES: usize = 128;

/// What `status` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chunks by state; fetched ones whose row lags count as held, and zeros wherever they were made.
    pub counts: Counts,
    /// Chunks owned here.
    pub owned_here: u64,
    /// Chunks of which no other holder is known.
    pub only_here: u64,
}

impl Tally {
    fn count(&mut self, state: &State, chunk: u64, row: &Row) {
        let here = state.meta.here_number();
        let held = state.has(chunk, row);
        let counts = &mut self.counts;
        counts.written += 1;
        counts.zero += u64::from(row.zero);
        counts.held += u64::from(held);
        counts.stale += u64::from(!held && !row.held.is_none());
        counts.absent += u64::from(!held && row.held.is_none());
        self.owned_here += u64::from(row.owner == here);
        self.only_here += u64::from(state.is_alone(row));
    }
}

impl State {
    /// Are a chunk's current bytes here, or zero? Also of one that was fetched and whose row lags.
    pub(super) fn has(&self, chunk: u64, row: &Row) -> bool {
        row.is_held() || row.zero || self.pending.contains_key(&chunk)
    }

    /// Is it here, and is no other holder known?
    pub(super) fn is_alone(&self, row: &Row) -> bool {
        row.is_held() && !row.zero && row.holders & !(1 << self.meta.here_number()) == 0
    }
}

impl<S: Store> Engine<S> {
    /// Shows every row, with the state as it is when the walk comes by.
    pub(super) async fn walk(&self, mut look: impl FnMut(&State, u64, &Row) + Send) {
        let mut next = Some(0);
        while let Some(start) = next {
            next = {
                let state = self.state();
                let next = state.table.look(start, PIECE_PAGES, |chunk, row| look(&state, chunk, row));
                parking_lot::MutexGuard::unlock_fair(state);
                next
            };
            tokio::task::yield_now().await;
        }
    }

    /// Counts all rows.
    pub async fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.walk(|state, chunk, row| tally.count(state, chunk, row)).await;
        tally.only_here += self.overlaid_chunks() as u64;
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use wandisk_store::{
        DiskDir, DiskId, DiskMeta, KnownSite, LineageId, OpenError, PAGE_CHUNKS, SiteId, Version,
    };

    use super::*;

    const CHUNK_SIZE: u32 = 4096;
    /// Three pieces and a bit.
    const CHUNKS: u64 = PAGE_CHUNKS * (3 * PIECE_PAGES as u64 + 1);

    /// Of every eight chunks one has no row, and one is elsewhere.
    async fn engine(dir: &DiskDir) -> std::sync::Arc<Engine> {
        let here = KnownSite::named(SiteId::random(), "a");
        let size = CHUNKS * u64::from(CHUNK_SIZE);
        let mut meta = DiskMeta::new(DiskId::random(), size, CHUNK_SIZE, LineageId::random(), here);
        meta.sites.push(KnownSite::named(SiteId::random(), "b"));
        meta.counter = CHUNKS;
        dir.create(&meta, |_, _, _, table| -> Result<(), OpenError> {
            for chunk in (0..CHUNKS).filter(|chunk| chunk % 8 != 7) {
                let version = Version::new(0, chunk + 1);
                let held = if chunk % 8 == 6 { Version::NONE } else { version };
                let holders = if held.is_none() { 0b10 } else { 0b01 };
                table.set(chunk, Row { version, held, holders, ..Row::default() });
            }
            Ok(())
        })
        .unwrap();
        let lock = dir.lock().unwrap();
        Engine::open(dir, lock, tokio::runtime::Handle::current()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_walk_lets_others_have_the_state_after_every_piece_and_comes_by_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DiskDir::new(folder.path().join("d"), "d");
        let engine = engine(&dir).await;

        let (mut walk, mut pieces) = (pin!(engine.tally()), 0);
        let mut context = Context::from_waker(Waker::noop());
        let tally = loop {
            match walk.as_mut().poll(&mut context) {
                Poll::Ready(tally) => break tally,
                Poll::Pending => pieces += 1,
            }
            assert!(engine.state.try_lock().is_some(), "the state is held after piece {pieces}");
        };
        assert_eq!(pieces, 4);
        let eighth = CHUNKS / 8;
        let counts = Counts { written: 7 * eighth, held: 6 * eighth, stale: 0, absent: eighth, zero: 0 };
        assert_eq!(tally, Tally { counts, owned_here: 7 * eighth, only_here: 6 * eighth });
        let map = engine.cells(3).await;
        assert_eq!(map.written.iter().sum::<u64>(), counts.written);
        assert_eq!(map.absent.iter().sum::<u64>(), counts.absent);
        assert_eq!(map.only_here.iter().sum::<u64>(), tally.only_here);
        engine.close().await.unwrap();
    }
}
