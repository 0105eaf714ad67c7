//! FLUSH: data first, rows second (law L4), and concurrent flushes share one.

use std::sync::atomic::{AtomicU64, Ordering};

use wandisk_io::ChunkState;
use wandisk_store::{Batch, Image, Intent, Store, Syncs, Table};

use super::{Engine, EngineError};

/// Whose turn it is to flush. A caller that waited through a whole flush that began after its call is done.
#[derive(Debug, Default)]
pub(super) struct FlushTurn {
    turn: tokio::sync::Mutex<()>,
    begun: AtomicU64,
    /// The latest flush that succeeded.
    succeeded: AtomicU64,
}

/// What was taken to be committed. It goes back unless its commit was made: commits fail, and who waits for one may go away
/// (a link that is cut, a request that has waited long enough), but the next flush is acknowledged only with all of it.
pub(super) struct Taken<'a, S: Store> {
    engine: &'a Engine<S>,
    pages: Vec<u64>,
    overlays: Vec<u64>,
}

impl<S: Store> Taken<'_, S> {
    fn committed(mut self) {
        self.pages.clear();
        self.overlays.clear();
    }
}

impl<S: Store> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        if !self.pages.is_empty() || !self.overlays.is_empty() {
            let mut state = self.engine.state();
            state.table.put_back(std::mem::take(&mut self.pages));
            state.overlays.put_back(std::mem::take(&mut self.overlays));
        }
    }
}

impl<S: Store> Engine<S> {
    /// Makes everything acknowledged before this call durable.
    ///
    /// # Errors
    /// A failed fdatasync or commit poisons the disk; but one that found no space does not, and the next flush tries its
    /// rows again.
    pub async fn flush_now(&self) -> Result<(), EngineError> {
        let seen = self.flushing.begun.load(Ordering::SeqCst);
        let _turn = self.flushing.turn.lock().await;
        if self.flushing.succeeded.load(Ordering::SeqCst) > seen {
            return Ok(());
        }
        self.flush_in_turn(Batch::default()).await
    }

    /// Flushes, with `extra` in the same commit as the rows.
    pub(super) async fn flush_with(&self, extra: Batch) -> Result<(), EngineError> {
        let _turn = self.flushing.turn.lock().await;
        self.flush_in_turn(extra).await
    }

    async fn flush_in_turn(&self, mut batch: Batch) -> Result<(), EngineError> {
        self.check_not_poisoned()?;
        let number = self.flushing.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // Only what was in place before the sync is made durable by it.
        let (fetched, closed, overlays, moment, newest) = {
            let mut state = self.state();
            (
                state.pending.iter().map(|(chunk, version)| (*chunk, *version)).collect::<Vec<_>>(),
                state.closing.iter().map(|(chunk, version)| (*chunk, *version)).collect::<Vec<_>>(),
                state.overlays.take_changed(),
                state.table.moment(),
                state.table.newest_counter(),
            )
        };
        let mut taken = self.taken(Vec::new(), overlays.iter().map(|(chunk, _)| *chunk).collect());
        if let Err(e) = S::blocking(|| self.syncs().timed(|| self.data.sync())) {
            // Whatever it says, even "no space": what was written may be lost, and the next sync would not tell.
            let error = EngineError::SyncFailed(e);
            self.poison(&error);
            return Err(error);
        }
        let _rows_turn = self.rows_turn.lock().await;
        let commit = {
            let mut state = self.state();
            state.table.let_go(moment);
            for (chunk, version) in &fetched {
                let mut row = state.table.get(*chunk);
                if state.pending.get(chunk) == Some(version) && row.version == *version {
                    row.held = row.version;
                    state.table.set(*chunk, row);
                    state.pending.remove(chunk);
                }
            }
            // Rows of held chunks opened during the sync may be ahead of their data: their extents are hot, so a crash
            // finds them suspect, and what lies under the lost write is durable. Rows of fetched chunks are not in the
            // table before this point, and those of chunks that were not held are held back.
            batch.pages = state.table.take_changed();
            batch.hashes = std::mem::take(&mut state.hashes);
            batch.overlays = state.ripe_overlays(overlays);
            let is_empty = batch.pages.is_empty()
                && batch.hashes.is_empty()
                && batch.overlays.is_empty()
                && batch.hot_remove.is_empty()
                && !batch.hot_clear
                && batch.meta.is_none();
            if !batch.pages.is_empty() {
                batch.digest = Some(state.table.stored_digest());
            }
            taken.pages = batch.pages.iter().map(|(i, _)| *i).collect();
            taken.overlays = batch.overlays.iter().map(|(chunk, _)| *chunk).collect();
            if batch.hot_clear {
                // Here, not earlier: a mark made between its clearing in memory and this commit would be believed, and
                // be gone from the table. Marks on their way are asked for anew (`drops`).
                state.extents.clear();
            }
            // Submitted under the lock: page images reach the table in the order they were taken.
            (!is_empty).then(|| self.committer.submit(batch))
        };
        if let Some(receiver) = commit {
            self.finish_commit(receiver, taken).await?;
        }
        let mut state = self.state();
        state.durable_counter = state.durable_counter.max(newest);
        for (chunk, version) in fetched {
            // A guest that wrote meanwhile has its own intent there.
            // Not one that is still cold for the hot path only (brought ahead): its intent is done with, too.
            let row = state.table.get(chunk);
            let untouched =
                self.hot.state(chunk) != ChunkState::WRITABLE && row.version == version && row.is_held();
            if untouched {
                // Harmless if it stays: a later process fetches the chunk again.
                self.note_intent(chunk, Intent::Clean).ok();
            }
        }
        for (chunk, version) in closed {
            if state.closing.get(&chunk) == Some(&version) {
                state.closing.remove(&chunk);
            }
        }
        drop(state);
        self.flushing.succeeded.store(number, Ordering::SeqCst);
        Ok(())
    }

    /// Commits changed rows now, without a data sync: for records that are withdrawn before bytes change.
    ///
    /// # Errors
    /// As the commit ended; the rows go with the next one then.
    pub(super) async fn commit_rows(&self) -> Result<(), EngineError> {
        let _rows_turn = self.rows_turn.lock().await;
        self.check_not_poisoned()?;
        let (receiver, taken) = {
            let mut state = self.state();
            let pages = state.table.take_changed();
            if pages.is_empty() {
                return Ok(());
            }
            let numbers: Vec<u64> = pages.iter().map(|(i, _)| *i).collect();
            let batch = Batch { pages, digest: Some(state.table.stored_digest()), ..Batch::default() };
            (self.committer.submit(batch), self.taken(numbers, Vec::new()))
        };
        self.finish_commit(receiver, taken).await
    }

    /// For a commit that takes these pages of rows and these overlays.
    pub(super) fn taken(&self, pages: Vec<u64>, overlays: Vec<u64>) -> Taken<'_, S> {
        Taken { engine: self, pages, overlays }
    }

    pub(super) async fn finish_commit(
        &self,
        receiver: futures::channel::oneshot::Receiver<wandisk_store::db::CommitResult>,
        taken: Taken<'_, S>,
    ) -> Result<(), EngineError> {
        let stopped = || Err(std::sync::Arc::new(wandisk_store::DbError::Stopped));
        let result = receiver.await.unwrap_or_else(|_| stopped());
        result.map_err(|e| self.store_failed(EngineError::Table(e)))?;
        taken.committed();
        Ok(())
    }

    /// How many metadata transactions were committed since the keeper started.
    #[must_use]
    pub fn metadata_commits(&self) -> u64 {
        self.committer.commits()
    }

    /// How long the disk's syncs took.
    #[must_use]
    pub fn syncs(&self) -> &Syncs {
        self.committer.syncs()
    }
}
