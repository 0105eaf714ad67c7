//! Foreign bytes put in place: withdrawn first, then written, then synced, then their row (laws L3, L5).

use std::ops::Range;

use wandisk_store::{HashRow, Image, Intent, Intents, Store, Table, Version};

use super::{Engine, EngineError};

/// What became of fetched bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// They are in place.
    Stored,
    /// The chunk was here already, or has a newer version: nothing was touched.
    NotWanted,
}

/// What filesystems and page caches write at least.
const BLOCK: usize = 4096;

/// Runs of blocks in which two chunks differ, as ranges of bytes.
fn differing_runs(there: &[u8], new: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for (old, new) in there.chunks(BLOCK).zip(new.chunks(BLOCK)) {
        let end = at + new.len();
        if old != new {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end = end,
                _ => runs.push(at..end),
            }
        }
        at = end;
    }
    runs
}

impl<S: Store> Engine<S> {
    /// Puts the verified bytes (`None`: zeros) of a chunk's current version in place. The caller holds its lock.
    ///
    /// # Errors
    /// If the table or the image cannot be written; the chunk is then still not held.
    pub(super) async fn store_fetched(
        &self,
        chunk: u64,
        version: Version,
        bytes: Option<&[u8]>,
    ) -> Result<StoreOutcome, EngineError> {
        self.check_not_poisoned()?;
        let _placing = self.placing.read().await;
        let basis_recorded = {
            let mut state = self.state();
            let mut row = state.table.get(chunk);
            let here = row.is_held() || state.pending.get(&chunk) == Some(&row.version);
            if row.version != version || here {
                return Ok(StoreOutcome::NotWanted);
            }
            if state.overlays.is_open(chunk) {
                if state.meta.is_resident() {
                    drop(state);
                    return self.merge(chunk, version, bytes);
                }
                tracing::warn!(chunk, "what was written of it here is given up: the disk is elsewhere now");
                state.overlays.close(chunk);
            }
            let recorded = !row.held.is_none();
            if recorded {
                row.held = Version::NONE;
                state.table.set(chunk, row);
            }
            recorded
        };
        if basis_recorded {
            // A durable row says that an older version's bytes are there. It must not be believed after a crash.
            self.commit_rows().await?;
        }
        S::brief(|| {
            self.intents.set(chunk, Intent::Replacing)?;
            match bytes {
                Some(bytes) => self.write_what_differs(chunk, bytes),
                None => self.data.punch_chunk(chunk),
            }
        })
        .map_err(|e| self.change_failed(e))?;
        let mut state = self.state();
        if state.table.get(chunk).version != version {
            return Ok(StoreOutcome::NotWanted);
        }
        state.pending.insert(chunk, version);
        drop(state);
        self.fetched_bell.notify_one();
        Ok(StoreOutcome::Stored)
    }

    /// Writes the blocks of a chunk that `data.img` does not have: of a delta against what is there, a few.
    ///
    /// Judged on bytes read now (law L5). What is left alone is durable with the next sync as what is written is: bytes
    /// that were written and not synced since have an intent, and after a sync that failed they are written again.
    fn write_what_differs(&self, chunk: u64, bytes: &[u8]) -> std::io::Result<()> {
        // Where nothing is, or what is there cannot be read (writing it anew may mend that), all of it is written.
        let there = if self.data.has_blocks(chunk) { self.data.read_chunk(chunk).ok() } else { None };
        let Some(there) = there else { return self.data.write_chunk(chunk, bytes) };
        let start = chunk * u64::from(self.hot.chunk_size());
        for run in differing_runs(&there, bytes) {
            self.data.write_at(start + run.start as u64, &bytes[run])?;
        }
        Ok(())
    }

    /// Takes the records of older bytes back for many chunks at once, before a sync overwrites them.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub async fn withdraw_bases(&self, chunks: &[u64]) -> Result<(), EngineError> {
        {
            let mut state = self.state();
            for chunk in chunks {
                let mut row = state.table.get(*chunk);
                if row.exists() && !row.is_held() && !row.held.is_none() {
                    row.held = Version::NONE;
                    state.table.set(*chunk, row);
                }
            }
        }
        self.commit_rows().await
    }

    /// Puts bytes of unknown worth where a chunk is missing, to be the basis of a delta; `false` if it is not missing.
    ///
    /// # Errors
    /// If the table or the image cannot be written.
    pub async fn put_basis(&self, chunk: u64, bytes: &[u8]) -> Result<bool, EngineError> {
        let _guard = self.locks.lock(chunk).await;
        if self.has(chunk) || self.state().overlays.is_open(chunk) {
            return Ok(false);
        }
        if !self.row(chunk).held.is_none() {
            self.withdraw_bases(&[chunk]).await?;
        }
        self.check_not_poisoned()?;
        // With an intent, as all that is written: after a failed sync it is written again, else a delta that leaves a part
        // of it alone would rest on what may never have reached the medium.
        let put =
            self.intents.set(chunk, Intent::Replacing).and_then(|()| self.data.write_chunk(chunk, bytes));
        put.map_err(|e| self.change_failed(e))?;
        Ok(true)
    }

    /// Brings one chunk here if it is not; for sync and prefetch.
    ///
    /// # Errors
    /// As for a read.
    pub async fn bring(
        self: &std::sync::Arc<Self>,
        chunk: u64,
        demand: bool,
    ) -> Result<(), wandisk_io::IoError> {
        self.make_readable(chunk, demand).await
    }

    /// Sites that may have a chunk's current bytes: its owner, known holders, the resident; never this one.
    #[must_use]
    pub fn candidates(&self, chunk: u64) -> Vec<wandisk_store::SiteId> {
        self.candidates_in(&self.state(), chunk)
    }

    pub(super) fn candidates_in(&self, state: &super::State, chunk: u64) -> Vec<wandisk_store::SiteId> {
        let (meta, row) = (&state.meta, state.table.get(chunk));
        let holders = (0..32u8).filter(|n| row.holders & (1 << n) != 0);
        let numbers = std::iter::once(row.owner).chain(holders);
        let mut sites: Vec<_> = numbers.filter_map(|n| meta.site(n)).map(|s| s.id).collect();
        sites.push(meta.resident);
        let mut seen = std::collections::BTreeSet::from([meta.here]);
        sites.retain(|site| seen.insert(*site));
        sites
    }

    /// Size of a chunk in bytes.
    #[must_use]
    pub fn hot_chunk_size(&self) -> u32 {
        self.hot.chunk_size()
    }

    /// BLAKE3 of a chunk of zeros.
    #[must_use]
    pub fn hash_of_zeros(&self) -> [u8; 32] {
        super::publish::zero_hash(self.hot.chunk_size())
    }

    /// Are the chunk's current bytes here (whether or not its row is durable)?
    #[must_use]
    pub fn has(&self, chunk: u64) -> bool {
        self.is_here(chunk) || !self.row(chunk).exists()
    }

    /// Chunks at or after `start` whose current bytes are not here, at most `max`.
    #[must_use]
    pub fn missing_from(&self, start: u64, max: usize) -> Vec<u64> {
        let state = self.state();
        let missing =
            state.table.rows_from(start).filter(|(c, row)| !row.is_held() && !state.pending.contains_key(c));
        missing.map(|(chunk, _)| chunk).take(max).collect()
    }

    /// Chunks at or after `start` that are held here, at most `max`.
    #[must_use]
    pub fn held_from(&self, start: u64, max: usize) -> Vec<u64> {
        let state = self.state();
        let held =
            state.table.rows_from(start).filter(|(c, row)| row.is_held() || state.pending.contains_key(c));
        held.map(|(chunk, _)| chunk).take(max).collect()
    }

    /// The hashes that the table keeps of these chunks.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn kept_hashes(&self, chunks: &[u64]) -> Result<Vec<HashRow>, EngineError> {
        self.committer.hashes(chunks.to_vec()).await.map_err(EngineError::Table)
    }

    /// Does the table's running digest equal one computed anew?
    #[must_use]
    pub fn table_is_sound(&self) -> bool {
        let state = self.state();
        state.table.digest() == state.table.recomputed_digest()
    }

    /// How many chunks are missing here, and how many have a row.
    #[must_use]
    pub fn missing_count(&self) -> (u64, u64) {
        let state = self.state();
        let counts = state.table.counts();
        let missing = counts.written - counts.held;
        (missing.saturating_sub(state.pending.len() as u64), counts.written)
    }

    /// Keeps what a chunk's bytes are at a version; durable with the next commit.
    pub(crate) fn keep_hash(&self, chunk: u64, version: Version, hash: [u8; 32]) {
        self.state().hashes.push(HashRow { chunk, version, hash });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_differ_are_written_and_neighbours_at_once() {
        let old = vec![1u8; 8 * BLOCK];
        let mut new = old.clone();
        assert!(differing_runs(&old, &new).is_empty());
        for at in [BLOCK, 2 * BLOCK + 7, 7 * BLOCK + BLOCK - 1] {
            new[at] = 2;
        }
        assert_eq!(differing_runs(&old, &new), [BLOCK..3 * BLOCK, 7 * BLOCK..8 * BLOCK]);
    }
}
