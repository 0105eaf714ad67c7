//! Chunks whose current bytes nobody can give: after a takeover, or when old bytes are accepted in their place.

use wandisk_io::ChunkState;
use wandisk_store::{Batch, DiskMeta, Row, Store, Table, Version};

use super::{Engine, EngineError, State};

impl<S: Store> Engine<S> {
    /// Chunks that need bytes and have none here, with the version that the table names.
    #[must_use]
    pub fn absent_versions(&self) -> Vec<(u64, Version)> {
        let state = self.state();
        let absent =
            |(chunk, row): &(u64, Row)| !row.zero && !row.is_held() && !state.pending.contains_key(chunk);
        state.table.rows().filter(absent).map(|(chunk, row)| (chunk, row.version)).collect()
    }

    /// Chunks whose current bytes are here, zeros left out: any site can make those.
    #[must_use]
    pub fn held_versions(&self) -> Vec<(u64, Version)> {
        let state = self.state();
        let held = state.table.rows().filter(|(_, row)| !row.zero && row.is_held());
        held.map(|(chunk, row)| (chunk, row.version)).collect()
    }

    /// Chunks that are not here and whose every known holder was given up in a takeover.
    #[must_use]
    pub fn lost_chunks(&self) -> Vec<u64> {
        let lost = self.state().meta.lost.clone();
        if lost.is_empty() {
            return Vec::new();
        }
        let absent = self.absent_versions().into_iter().map(|(chunk, _)| chunk);
        absent.filter(|chunk| self.candidates(*chunk).iter().all(|site| lost.contains(site))).collect()
    }

    /// Was every known holder of a chunk given up in a takeover?
    pub(super) fn is_lost(&self, state: &State, chunk: u64) -> bool {
        self.candidates_in(state, chunk).iter().all(|site| state.meta.lost.contains(site))
    }

    /// Of these chunks, those of which an older version's bytes are here.
    #[must_use]
    pub fn with_older_bytes(&self, chunks: &[u64]) -> Vec<u64> {
        let state = self.state();
        let has_old = |chunk: &&u64| {
            let row = state.table.get(**chunk);
            !row.zero && !row.is_held() && !row.held.is_none()
        };
        chunks.iter().filter(has_old).copied().collect()
    }

    /// Makes the older bytes of these chunks their current ones, under new versions of this resident, durably; gives
    /// those that it did. A person has said so: the current bytes are lost.
    ///
    /// # Errors
    /// If the disk is not resident here or the store fails.
    pub async fn accept_older_bytes(&self, chunks: &[u64]) -> Result<Vec<u64>, EngineError> {
        let mut accepted = Vec::new();
        for chunk in chunks {
            let _guard = self.locks.lock(*chunk).await;
            let mut state = self.state();
            if !state.meta.is_resident() {
                return Err(EngineError::NotResident);
            }
            let row = state.table.get(*chunk);
            if row.zero || row.is_held() || row.held.is_none() || state.pending.contains_key(chunk) {
                continue;
            }
            // The durable row vouches for the bytes, so nothing has to be marked.
            let row = state.new_version(false);
            state.table.set(*chunk, row);
            self.hot.set_state(*chunk, ChunkState::READABLE);
            accepted.push(*chunk);
        }
        self.flush_now().await?;
        Ok(accepted)
    }

    /// Calls `look` with each chunk's current version.
    pub fn each_version(&self, mut look: impl FnMut(Version)) {
        self.state().table.rows().for_each(|(_, row)| look(row.version));
    }

    /// Leaves a lineage: the changed facts and, in the same commit, every row whose version the new ancestry does not
    /// name (`is_named`) or would take for another (`means_same`).
    ///
    /// Such a row stays as a stub that is not held, of the first version there ever was: its bytes may still be in the
    /// image, and a chunk without a row would read as they are. The first pull of the new table replaces or removes it.
    ///
    /// # Errors
    /// If `change` refuses (nothing is changed then), or the store fails (the keeper must end then).
    pub async fn leave_lineage<E>(
        &self,
        change: impl FnOnce(&mut DiskMeta) -> Result<(), E>,
        is_named: impl Fn(Version) -> bool,
        means_same: impl Fn(Version) -> bool,
    ) -> Result<Result<(), E>, EngineError> {
        let _turn = self.meta_turn.lock().await;
        let mut meta = self.meta();
        if let Err(refused) = change(&mut meta) {
            return Ok(Err(refused));
        }
        let _rows_turn = self.rows_turn.lock().await;
        let (receiver, taken) = {
            let mut state = self.state();
            let rows: Vec<(u64, Row)> = state.table.rows().collect();
            for (chunk, row) in rows {
                let held = if means_same(row.held) { row.held } else { Version::NONE };
                let row = if is_named(row.version) {
                    Row { held, ..row }
                } else {
                    self.hot.set_state(chunk, ChunkState::COLD);
                    Row { version: Version::new(0, 1), held, holders: 0, zero: false, fresh: false, ..row }
                };
                state.table.set(chunk, row);
            }
            state.pending.clear();
            // Parts of chunks that were never a version go with the lineage they were written in.
            let dropped = state.overlays.close_all();
            if dropped > 0 {
                tracing::warn!(
                    chunks = dropped,
                    "what was written of chunks whose rest never came is given up"
                );
            }
            let overlays = state.overlays.take_changed();
            let pages = state.table.take_changed();
            let taken = self.taken(
                pages.iter().map(|(number, _)| *number).collect(),
                overlays.iter().map(|(chunk, _)| *chunk).collect(),
            );
            let digest = Some(state.table.stored_digest());
            state.meta = meta.clone();
            (
                self.committer.submit(Batch {
                    pages,
                    digest,
                    meta: Some(meta),
                    overlays,
                    ..Batch::default()
                }),
                taken,
            )
        };
        self.finish_commit(receiver, taken).await.map(Ok)
    }
}
