//! A chunk whose bytes are not what its version is known to be: no longer held, so that nobody is given them.

use std::sync::Arc;

use wandisk_io::{ChunkState, IoError};
use wandisk_store::{Image, Intent, Intents, SiteId, Store, Version};

use super::{Engine, EngineError};

impl<S: Store> Engine<S> {
    /// Chunks at or after `start` that are held here and not open for writing, at most `max`: looking at them keeps no writer out.
    #[must_use]
    pub fn settled_from(&self, start: u64, max: usize) -> Vec<u64> {
        let state = self.state();
        let held =
            state.table.rows_from(start).filter(|(c, row)| row.is_held() || state.pending.contains_key(c));
        let settled = held.filter(|(c, _)| self.hot.state(*c) != ChunkState::WRITABLE);
        settled.map(|(chunk, _)| chunk).take(max).collect()
    }

    /// Looks again at a chunk that should have the hash `expected` at `version`. If it has not, its record is withdrawn
    /// durably (`true`): its bytes stay as the basis of a delta, and no read or peer is given them.
    ///
    /// # Errors
    /// If the store fails; the chunk is still not served then.
    pub async fn withdraw_damaged(
        &self,
        chunk: u64,
        version: Version,
        expected: [u8; 32],
    ) -> Result<bool, EngineError> {
        let _guard = self.locks.lock(chunk).await;
        {
            let state = self.state();
            let row = state.table.get(chunk);
            let here = row.is_held() || state.pending.get(&chunk) == Some(&row.version);
            if row.version != version || !here || row.zero {
                return Ok(false);
            }
            // Nobody in while it is judged; readers come back by the cold way, which waits for the lock.
            self.hot.set_state(chunk, ChunkState::COLD);
        }
        self.wait_grace().await?;
        let bytes = S::blocking(|| self.data.read_chunk(chunk)).map_err(EngineError::Data)?;
        if *blake3::hash(&bytes).as_bytes() == expected {
            self.hot.set_state(chunk, ChunkState::READABLE);
            return Ok(false);
        }
        // Else an intent of this boot would make a crash believe the bytes again.
        S::blocking(|| self.intents.set(chunk, Intent::Replacing)).map_err(|e| self.change_failed(e))?;
        {
            let mut state = self.state();
            let mut row = state.table.get(chunk);
            row.held = Version::NONE;
            row.holders &= !(1 << state.meta.here_number());
            state.table.set(chunk, row);
            state.pending.remove(&chunk);
        }
        self.commit_rows().await?;
        Ok(true)
    }

    /// Brings a chunk here if one of these sites has it: each is asked once, and nobody else is waited for.
    ///
    /// # Errors
    /// As for a read.
    pub async fn bring_from(self: &Arc<Self>, chunk: u64, sites: Arc<[SiteId]>) -> Result<(), IoError> {
        let engine = Arc::clone(self);
        let fetch = self.runtime.spawn(async move {
            let _turn = engine.fetch_turns.lock(chunk).await;
            let _guard = engine.bring_into_place(chunk, false, Some(sites)).await?;
            engine.open_if_here(chunk);
            Ok(())
        });
        fetch.await.unwrap_or(Err(IoError::Io))
    }
}
