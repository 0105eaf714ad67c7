//! Local bytes that are given up because another site holds them (law L14): `evict`.

use wandisk_io::ChunkState;
use wandisk_store::{Image, Intent, Intents, Row, Store, Version};

use super::{Engine, EngineError};

impl<S: Store> Engine<S> {
    /// Gives the local bytes of these chunks up, each only if its current version is still the one that another site
    /// promised to hold; gives those that went.
    ///
    /// Order: no reader and no durable record speaks of the bytes any more, then they go.
    ///
    /// # Errors
    /// If requests in flight do not end, or the store fails; nothing that a record speaks of is gone then.
    pub async fn evict(&self, promised: &[(u64, Version)]) -> Result<Vec<u64>, EngineError> {
        let mut guards = Vec::with_capacity(promised.len());
        let mut chunks: Vec<(u64, Version)> = promised.to_vec();
        chunks.sort_unstable();
        for (chunk, _) in &chunks {
            guards.push(self.locks.lock(*chunk).await);
        }
        let _placing = self.placing.read().await;
        let going: Vec<u64> = {
            let mut state = self.state();
            let mut going = Vec::new();
            for (chunk, version) in chunks {
                let mut row = state.table.get(chunk);
                let open = row.fresh || self.hot.state(chunk) == ChunkState::WRITABLE;
                if row.version != version || !row.is_held() || row.zero || open {
                    continue;
                }
                row.held = Version::NONE;
                row.holders &= !(1 << state.meta.here_number());
                state.table.set(chunk, row);
                self.hot.set_state(chunk, ChunkState::COLD);
                going.push(chunk);
            }
            going
        };
        self.wait_grace().await?;
        self.commit_rows().await?;
        S::blocking(|| {
            going.iter().try_for_each(|chunk| {
                // An intent of an earlier write would call the hole a modification.
                self.intents.set(*chunk, Intent::Replacing)?;
                self.data.punch_chunk(*chunk)
            })
        })
        .map_err(EngineError::Data)?;
        drop(guards);
        Ok(going)
    }

    /// Notes that a site no longer holds these versions; without pairs, any. (It may hold another one by that number if
    /// it is in another lineage: then a holder is left out that would be asked in the end anyway.)
    pub fn note_dropped(&self, site: u8, pairs: Option<&[(u64, Version)]>) {
        let mut state = self.state();
        let all = || state.table.rows().map(|(chunk, row)| (chunk, row.version)).collect();
        let pairs: Vec<(u64, Version)> = pairs.map_or_else(all, <[_]>::to_vec);
        let chunks = self.hot.chunks();
        for (chunk, version) in pairs.into_iter().filter(|(chunk, _)| *chunk < chunks) {
            let row = state.table.get(chunk);
            if row.exists() && row.version == version {
                state.table.set(chunk, Row { holders: row.holders & !(1 << site), ..row });
            }
        }
    }
}
