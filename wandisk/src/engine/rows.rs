//! Rows that come from the resident's table.

use std::collections::BTreeSet;

use wandisk_io::ChunkState;
use wandisk_store::{Image, LineageId, Residency, Row, Store, TableDigest, Version};

use super::{Engine, EngineError};

/// Chunks that are forgotten together, at three commits or syncs.
const FORGET_BATCH: usize = 1024;

/// A row as a peer tells it, its site numbers already translated to this disk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireRow {
    /// The chunk.
    pub chunk: u64,
    /// Its current version.
    pub version: Version,
    /// Who made it.
    pub owner: u8,
    /// Who is known to hold it.
    pub holders: u32,
    /// It is all zeros.
    pub zero: bool,
}

/// Why rows of a peer were not taken.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A row that cannot be.
    #[error("the far side sent a row that makes no sense (chunk {chunk}, version {version})")]
    Senseless {
        /// Its chunk.
        chunk: u64,
        /// Its version.
        version: Version,
    },
    /// The table here is not a replica's: it is the disk's, or one that waits for a grant.
    #[error("the table here takes no rows: a hand-over or takeover came between")]
    NotReplica,
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl<S: Store> Engine<S> {
    /// Takes rows of the resident's table in as they are, durably. (A whole table may put older ones back.)
    ///
    /// # Errors
    /// [`RowsError`]; rows before a senseless one may have been taken.
    pub async fn adopt_rows(&self, rows: &[WireRow]) -> Result<(), RowsError> {
        let lineage = self.meta().lineage();
        self.adopt_if(lineage, rows, |_, _| true).await
    }

    /// As [`Engine::adopt_rows`], of a table that is said to be of this lineage: ours may have been left meanwhile.
    ///
    /// # Errors
    /// As there.
    pub async fn adopt_rows_of(&self, lineage: LineageId, rows: &[WireRow]) -> Result<(), RowsError> {
        self.adopt_if(lineage, rows, |_, _| true).await
    }

    /// As [`Engine::adopt_rows_of`], for rows that were asked for some time ago: one that is older than ours is left out.
    ///
    /// # Errors
    /// As there.
    pub async fn adopt_newer_rows(&self, lineage: LineageId, rows: &[WireRow]) -> Result<(), RowsError> {
        self.adopt_if(lineage, rows, |ours, theirs| theirs.version >= ours.version).await
    }

    async fn adopt_if(
        &self,
        lineage: LineageId,
        rows: &[WireRow],
        wanted: impl Fn(&Row, &WireRow) -> bool,
    ) -> Result<(), RowsError> {
        // No change of standing in between: rows that came late would change a table that was prepared or granted.
        let _turn = self.meta_turn.lock().await;
        let changes = {
            let state = self.state();
            if state.meta.residency != Residency::Replica || state.meta.lineage() != lineage {
                return Err(RowsError::NotReplica);
            }
            let lineages = state.meta.lineages.len();
            // All are looked at before the first is taken: a message that makes no sense changes nothing.
            for row in rows {
                let known = usize::from(row.version.lineage()) < lineages;
                if row.chunk >= self.hot.chunks() || row.version.counter() == 0 || !known {
                    return Err(RowsError::Senseless { chunk: row.chunk, version: row.version });
                }
            }
            let is_new = |row: &WireRow| {
                let ours = state.table.get(row.chunk);
                ours.version != row.version && wanted(&ours, row)
            };
            rows.iter().any(is_new)
        };
        if changes {
            self.begin_mixing().await?;
        }
        {
            let mut state = self.state();
            for row in rows {
                if wanted(&state.table.get(row.chunk), row) {
                    self.adopt(&mut state, row);
                }
            }
        }
        Ok(self.commit_rows().await?)
    }

    fn adopt(&self, state: &mut super::State, theirs: &WireRow) {
        let ours = state.table.get(theirs.chunk);
        let here = 1u32 << state.meta.here_number();
        if ours.version == theirs.version {
            let holders = ours.holders | theirs.holders;
            state.table.set(theirs.chunk, Row { holders, ..ours });
            return;
        }
        // Bytes put in place for an older version whose row never became durable are nobody's now.
        state.pending.remove(&theirs.chunk);
        state.overlays.close(theirs.chunk);
        let row = Row {
            version: theirs.version,
            held: ours.held,
            holders: theirs.holders & !here,
            owner: theirs.owner,
            zero: theirs.zero,
            fresh: false,
        };
        state.table.set(theirs.chunk, row);
        let readable = row.is_held();
        self.hot.set_state(theirs.chunk, if readable { ChunkState::READABLE } else { ChunkState::COLD });
    }

    /// Forgets rows that the resident's whole table does not have, and empties their place.
    ///
    /// Three steps, each durable before the next: their bytes count as nothing, their bytes are gone, their rows are gone.
    /// A row that went first would let old bytes be read as never written.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn forget_rows_except(&self, keep: &BTreeSet<u64>) -> Result<(), RowsError> {
        let _turn = self.meta_turn.lock().await;
        if self.state().meta.residency != Residency::Replica {
            return Err(RowsError::NotReplica);
        }
        let gone: Vec<u64> =
            self.state().table.rows().map(|(chunk, _)| chunk).filter(|c| !keep.contains(c)).collect();
        if !gone.is_empty() {
            self.begin_mixing().await?;
        }
        for batch in gone.chunks(FORGET_BATCH) {
            self.forget_rows(batch).await?;
        }
        Ok(())
    }

    async fn forget_rows(&self, gone: &[u64]) -> Result<(), EngineError> {
        // A fetch under way must not put its bytes where a row is gone: it has the chunk's lock.
        let mut guards = Vec::with_capacity(gone.len());
        for chunk in gone {
            guards.push(self.locks.lock(*chunk).await);
        }
        let _placing = self.placing.read().await;
        {
            let mut state = self.state();
            for chunk in gone {
                let row = state.table.get(*chunk);
                state.pending.remove(chunk);
                state.table.set(*chunk, Row { held: Version::NONE, ..row });
                self.hot.set_state(*chunk, ChunkState::COLD);
            }
        }
        self.commit_rows().await?;
        S::blocking(|| {
            gone.iter().try_for_each(|chunk| self.data.punch_chunk(*chunk)).and_then(|()| self.data.sync())
        })
        .map_err(|e| self.change_failed(e))?;
        {
            let mut state = self.state();
            gone.iter().for_each(|chunk| state.table.set(*chunk, Row::default()));
        }
        self.commit_rows().await?;
        // Served as never written only now that they are that durably.
        let state = self.state();
        for chunk in gone.iter().filter(|c| !state.table.get(**c).exists()) {
            self.hot.set_state(*chunk, ChunkState::READABLE);
        }
        Ok(())
    }

    /// Rows whose version was made after `counter`, from chunk `start` on, at most `max`.
    #[must_use]
    pub fn rows_since(&self, counter: u64, start: u64, max: usize) -> Vec<(u64, Row)> {
        self.state().table.rows_since(counter, start).take(max).collect()
    }

    /// Runs of chunks that have rows.
    #[must_use]
    pub fn ranges_with_rows(&self) -> Vec<std::ops::Range<u64>> {
        let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
        for (chunk, _) in self.state().table.rows() {
            match ranges.last_mut() {
                Some(last) if last.end == chunk => last.end += 1,
                _ => ranges.push(chunk..chunk + 1),
            }
        }
        ranges
    }

    /// Rows of versions up to this counter are durable.
    #[must_use]
    pub fn durable_mark(&self) -> u64 {
        self.state().durable_counter
    }

    /// A chunk's row.
    #[must_use]
    pub fn row(&self, chunk: u64) -> Row {
        self.state().table.get(chunk)
    }

    /// The table's digest and the highest counter in it.
    #[must_use]
    pub fn table_mark(&self) -> (TableDigest, u64) {
        let state = self.state();
        (state.table.digest(), state.table.newest_counter())
    }

    /// Is there an open version, a part that is no version yet, or a row that is not yet durable? If not, nothing changes while
    /// nothing is written.
    #[must_use]
    pub fn has_unsettled_rows(&self) -> bool {
        let state = self.state();
        state.table.newest_counter() > state.durable_counter
            || !state.extents.all().is_empty()
            || state.overlays.len() > 0
    }

    /// Notes that a site holds every version up to `counter` (it ended a sync).
    pub fn note_holder(&self, site: u8, counter: u64) {
        let mut state = self.state();
        let rows: Vec<(u64, Row)> =
            state.table.rows().filter(|(_, r)| r.version.counter() <= counter).collect();
        for (chunk, row) in rows {
            state.table.set(chunk, Row { holders: row.holders | 1 << site, ..row });
        }
    }
}
