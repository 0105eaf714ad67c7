//! Hot extents: before any byte that a durable record speaks of is changed, its extent (4 MiB, so neighbours come
//! free) is durably marked hot (law L3). After a machine crash only hot extents are suspect.
//!
//! Invariant: an extent in [`HotExtents`] is marked in the table, durably. A mark is dropped only after every write
//! that saw it has ended, the data is synced and the rows are durable ([`Engine::cool`]).
//!
//! Invariant: what the table may say is hot is known here, so that the bound holds but for marks that are on their way. Whoever
//! makes or drops marks may stop waiting (a request that took too long): then they are *doubtful*, neither relied on nor
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};

use wandisk_io::{ChunkState, IoError};
use wandisk_store::{Batch, Store, Table};

use super::{Engine, EngineError};

/// Extents marked ahead of a writer that goes through the disk in order.
const MARK_AHEAD: u64 = 8;

/// How marks are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkLimits {
    /// Bytes of disk that a hot extent covers at least.
    pub(super) extent_bytes: u64,
    /// Marks at most; recovery after a machine crash looks at this many extents.
    pub(super) hot_max: usize,
    /// Marks dropped at a time, so that dropping is rare.
    pub(super) cool_batch: usize,
}

impl MarkLimits {
    /// What every disk has; only tests take smaller ones.
    pub(super) const DISK: MarkLimits = MarkLimits { extent_bytes: 4 << 20, hot_max: 1024, cool_batch: 256 };

    /// Chunks of an extent.
    pub(super) fn extent_chunks(&self, chunk_size: u32) -> u64 {
        (self.extent_bytes / u64::from(chunk_size)).max(1)
    }
}

/// The extents that are hot, and when each was last used.
#[derive(Debug, Default)]
pub(super) struct HotExtents {
    last_used: BTreeMap<u64, u64>,
    clock: u64,
    cooling: BTreeSet<u64>,
    /// The table may say that they are hot, but nobody may rely on it. Counted, and dropped with the next ones.
    doubtful: BTreeSet<u64>,
    /// How often marks were dropped: one whose commit was on its way meanwhile may be gone.
    drops: u64,
}

impl HotExtents {
    pub(super) fn loaded(extents: impl IntoIterator<Item = u64>) -> HotExtents {
        HotExtents { last_used: extents.into_iter().map(|e| (e, 0)).collect(), ..HotExtents::default() }
    }

    /// Is it hot? Notes the use.
    pub(super) fn touch(&mut self, extent: u64) -> bool {
        self.clock += 1;
        let clock = self.clock;
        self.last_used.get_mut(&extent).map(|used| *used = clock).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.drops += 1;
        self.last_used.clear();
        self.doubtful.clear();
    }

    /// How many the table has at most, but for those that are on their way.
    fn len(&self) -> usize {
        self.last_used.len() + self.doubtful.len()
    }

    pub(super) fn all(&self) -> Vec<u64> {
        self.last_used.keys().copied().collect()
    }

    fn contains(&self, extent: u64) -> bool {
        self.last_used.contains_key(&extent)
    }

    fn insert(&mut self, extent: u64) {
        self.clock += 1;
        self.last_used.insert(extent, self.clock);
        self.doubtful.remove(&extent);
    }

    fn doubt(&mut self, extent: u64) {
        if !self.contains(extent) {
            self.doubtful.insert(extent);
        }
    }

    fn oldest(&self, n: usize) -> Vec<u64> {
        let mut by_use: Vec<_> = self.last_used.iter().map(|(extent, used)| (*used, *extent)).collect();
        by_use.sort_unstable();
        by_use.into_iter().take(n).map(|(_, extent)| extent).collect()
    }
}

/// Marks that are on their way to the table, or out of it. Whatever is left in it when it goes may be there or not.
struct OnTheirWay<'a, S: Store> {
    engine: &'a Engine<S>,
    extents: Vec<u64>,
    out: bool,
}

impl<S: Store> Drop for OnTheirWay<'_, S> {
    fn drop(&mut self) {
        if !self.extents.is_empty() {
            let mut state = self.engine.state();
            for extent in self.extents.drain(..) {
                if self.out {
                    // Commits are made in the order they were submitted in: a mark that is made from now on comes after.
                    state.extents.cooling.remove(&extent);
                }
                state.extents.doubt(extent);
            }
        }
    }
}

impl<S: Store> Engine<S> {
    /// Makes an extent durably hot.
    pub(super) async fn mark(&self, extent: u64) -> Result<(), IoError> {
        loop {
            let (is_cooling, full, drops) = {
                let mut state = self.state();
                if state.extents.touch(extent) {
                    return Ok(());
                }
                let extents = &state.extents;
                (extents.cooling.contains(&extent), extents.len() >= self.limits.hot_max, extents.drops)
            };
            if is_cooling {
                // Its mark is being dropped; a new one must come after that in the table.
                drop(self.cooling.lock().await);
                continue;
            }
            if full {
                self.cool_oldest().await.map_err(|e| e.io())?;
                continue;
            }
            let extents = self.with_those_ahead(extent);
            let mut marks = OnTheirWay { engine: self, extents, out: false };
            let batch = Batch { hot_add: marks.extents.clone(), ..Batch::default() };
            self.check_not_poisoned().map_err(|e| e.io())?;
            let committed = self.committer.commit(batch).await;
            committed.map_err(|e| self.store_failed(EngineError::Table(e)).io())?;
            let mut state = self.state();
            // Two may mark one extent at once. When the first mark has been taken up, used and dropped again before the
            // second one hears of its commit, that mark is gone from the table as well.
            if state.extents.drops == drops {
                std::mem::take(&mut marks.extents).into_iter().for_each(|e| state.extents.insert(e));
                return Ok(());
            }
        }
    }

    /// The extent, and those after it if it is met in order.
    fn with_those_ahead(&self, extent: u64) -> Vec<u64> {
        let last = self.extent_of(self.hot.chunks().saturating_sub(1));
        let state = self.state();
        let in_order = extent > 0 && state.extents.contains(extent - 1);
        let room = self.limits.hot_max.saturating_sub(state.extents.len());
        let ahead = if in_order && room as u64 >= MARK_AHEAD { MARK_AHEAD } else { 1 };
        (extent..=last)
            .take(usize::try_from(ahead).unwrap_or(1))
            .filter(|e| !state.extents.contains(*e) && !state.extents.cooling.contains(e))
            .collect()
    }

    pub(super) async fn cool_oldest(&self) -> Result<(), EngineError> {
        let _turn = self.cooling.lock().await;
        let mut marks = OnTheirWay { engine: self, extents: Vec::new(), out: true };
        let oldest = {
            let mut state = self.state();
            if state.extents.len() < self.limits.hot_max {
                return Ok(());
            }
            let oldest = state.extents.oldest(self.limits.cool_batch);
            state.extents.drops += 1;
            for extent in &oldest {
                state.extents.last_used.remove(extent);
            }
            let doubtful = std::mem::take(&mut state.extents.doubtful);
            marks.extents = oldest.iter().copied().chain(doubtful).collect();
            state.extents.cooling.extend(&marks.extents);
            oldest
        };
        let result = self.cool(&marks.extents).await;
        let mut state = self.state();
        if result.is_ok() {
            for extent in std::mem::take(&mut marks.extents) {
                state.extents.cooling.remove(&extent);
            }
        } else {
            // Still marked in the table.
            oldest.into_iter().for_each(|extent| state.extents.insert(extent));
        }
        result
    }

    /// Drops marks that are no longer in [`HotExtents`]: writers out, data synced, rows and removal in one commit.
    async fn cool(&self, extents: &[u64]) -> Result<(), EngineError> {
        let chunks = extents.iter().flat_map(|e| self.chunks_of_extent(*e));
        self.close_chunks(chunks).await?;
        self.flush_with(Batch { hot_remove: extents.to_vec(), ..Batch::default() }).await
    }

    pub(super) fn chunks_of_extent(&self, extent: u64) -> std::ops::Range<u64> {
        let n = self.extent_chunks();
        extent * n..((extent + 1) * n).min(self.hot.chunks())
    }

    /// Takes the right to write in place away from open chunks, and waits for the writes that had it.
    pub(super) async fn close_chunks(&self, chunks: impl Iterator<Item = u64>) -> Result<(), EngineError> {
        let mut any = false;
        {
            // Under the state lock, since that is where chunks are opened.
            let _state = self.state();
            for chunk in chunks {
                if self.hot.state(chunk) == ChunkState::WRITABLE {
                    self.hot.set_state(chunk, ChunkState::READABLE);
                    any = true;
                }
            }
        }
        if any { self.wait_grace().await } else { Ok(()) }
    }

    /// Closes every open chunk; all of them are in hot extents.
    pub(super) async fn close_all_chunks(&self) -> Result<(), EngineError> {
        let extents = self.state().extents.all();
        self.close_chunks(extents.into_iter().flat_map(|e| self.chunks_of_extent(e))).await
    }
}
