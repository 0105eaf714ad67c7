//! Hot extents: before any byte that a durable record speaks of is changed, its extent (4 MiB, so neighbours come
//! free) is durably marked hot (law L3). After a machine crash only hot extents are suspect. One commit marks all that is
//! wanted when it begins, and what [`HotExtents`] expects to be wanted next.
//!
//! Invariant: an extent in [`HotExtents`] is marked in the table, durably. A mark is dropped only after every write
//! that saw it has ended, the data is synced and the rows are durable ([`Engine::cool`]).
//!
//! Invariant: what the table may say is hot is known here, so that the bound holds but for marks that are on their way. Whoever
//! makes or drops marks may stop waiting (a request that took too long): then they are *doubtful*, neither relied on nor
//! forgotten.

use wandisk_io::{ChunkState, IoError};
use wandisk_store::{Batch, Store, Table};

use super::{Engine, EngineError};

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
                    state.extents.end_cooling(extent);
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
            let (is_cooling, full) = {
                let mut state = self.state();
                if state.extents.touch(extent) {
                    return Ok(());
                }
                let wanted = state.extents.want(extent);
                (!wanted, state.extents.len() >= self.limits.hot_max)
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
            let _turn = self.marking.lock().await;
            self.mark_wanted(extent).await?;
        }
    }

    /// Marks an extent, and what else is wanted now, in one commit. The caller has the turn.
    async fn mark_wanted(&self, extent: u64) -> Result<(), IoError> {
        let (extents, drops) = {
            let mut state = self.state();
            let on_disk = self.extents_on_disk();
            (state.extents.take_wanted(extent, on_disk, self.limits.hot_max), state.extents.drops())
        };
        if extents.is_empty() {
            return Ok(()); // it was marked by those who had the turn before, or there is no room any more
        }
        let mut marks = OnTheirWay { engine: self, extents, out: false };
        let batch = Batch { hot_add: marks.extents.clone(), ..Batch::default() };
        self.check_not_poisoned().map_err(|e| e.io())?;
        let committed = self.committer.commit(batch).await;
        committed.map_err(|e| self.store_failed(EngineError::Table(e)).io())?;
        let mut state = self.state();
        // When all marks have been dropped meanwhile, these are gone from the table as well, or not: asked for anew.
        if state.extents.drops() == drops {
            std::mem::take(&mut marks.extents).into_iter().for_each(|e| state.extents.insert(e));
        }
        Ok(())
    }

    pub(super) async fn cool_oldest(&self) -> Result<(), EngineError> {
        let _turn = self.cooling.lock().await;
        let mut marks = OnTheirWay { engine: self, extents: Vec::new(), out: true };
        let oldest = {
            let mut state = self.state();
            if state.extents.len() < self.limits.hot_max {
                return Ok(());
            }
            let (oldest, doubtful) = state.extents.begin_cooling(self.limits.cool_batch);
            marks.extents = oldest.iter().copied().chain(doubtful).collect();
            oldest
        };
        let result = self.cool(&marks.extents).await;
        let mut state = self.state();
        if result.is_ok() {
            for extent in std::mem::take(&mut marks.extents) {
                state.extents.end_cooling(extent);
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

    pub(super) fn extents_on_disk(&self) -> u64 {
        self.extent_of(self.hot.chunks().saturating_sub(1)) + 1
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
