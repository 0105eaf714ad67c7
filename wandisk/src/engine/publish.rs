//! Bytes that leave this site: their version is closed first (law L2).
//!
//! Order: writers out (a grace period) → bytes read → their row says "no longer fresh" → data synced, rows durable →
//! only then the bytes are given to the caller. The next write makes a new version.

use bytes::Bytes;
use wandisk_io::ChunkState;
use wandisk_store::{HashRow, Image, Row, Store};

use super::{Engine, EngineError};

/// A chunk at a version that will never change.
#[derive(Clone, Debug)]
pub struct Published {
    /// The chunk.
    pub chunk: u64,
    /// Its row.
    pub row: Row,
    /// Its bytes, chunk-size long; `None`: zeros.
    pub bytes: Option<Bytes>,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
}

/// BLAKE3 of a chunk of zeros.
#[must_use]
pub(super) fn zero_hash(chunk_size: u32) -> [u8; 32] {
    let zeros = [0u8; 4096];
    let mut hasher = blake3::Hasher::new();
    for _ in 0..chunk_size / 4096 {
        hasher.update(&zeros);
    }
    *hasher.finalize().as_bytes()
}

impl<S: Store> Engine<S> {
    /// The current bytes of those of the chunks that are held here; the others are left out.
    ///
    /// # Errors
    /// If the store fails; then no byte may leave.
    pub async fn publish(&self, wanted: &[u64]) -> Result<Vec<Published>, EngineError> {
        let mut chunks: Vec<u64> = wanted.iter().copied().filter(|c| self.is_here(*c)).collect();
        chunks.sort_unstable();
        chunks.dedup();
        let mut guards = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            guards.push(self.locks.lock(*chunk).await);
        }
        {
            let _state = self.state();
            for chunk in chunks.iter().filter(|c| self.hot.state(**c) == ChunkState::WRITABLE) {
                self.hot.set_state(*chunk, ChunkState::READABLE);
            }
        }
        // Always: a chunk closed by somebody else a moment ago may still have a write in flight.
        self.wait_grace().await?;
        let (published, must_flush) = S::blocking(|| self.read_closed(&chunks))?;
        drop(guards);
        if must_flush {
            self.flush_now().await?;
        }
        Ok(published)
    }

    pub(super) fn is_here(&self, chunk: u64) -> bool {
        let state = self.state();
        let row = state.table.get(chunk);
        row.is_held() || (row.exists() && state.pending.get(&chunk) == Some(&row.version))
    }

    fn read_closed(&self, chunks: &[u64]) -> Result<(Vec<Published>, bool), EngineError> {
        let mut published = Vec::with_capacity(chunks.len());
        let mut must_flush = false;
        for chunk in chunks.iter().copied().filter(|c| self.is_here(*c)) {
            let row = self.state().table.get(chunk);
            let bytes = if row.zero {
                None
            } else {
                Some(Bytes::from(self.data.read_chunk(chunk).map_err(EngineError::Data)?))
            };
            let hash = bytes
                .as_ref()
                .map_or_else(|| zero_hash(self.hot.chunk_size()), |b| *blake3::hash(b).as_bytes());
            let mut state = self.state();
            if row.fresh {
                let closed = Row { fresh: false, ..row };
                state.table.set(chunk, closed);
                state.closing.insert(chunk, row.version);
                state.hashes.push(HashRow { chunk, version: row.version, hash });
            }
            // Closed by somebody else a moment ago, whose flush has not ended (or failed), is not durably closed.
            must_flush |= state.closing.contains_key(&chunk)
                || state.table.is_held_back(chunk)
                || row.version.counter() > state.durable_counter
                || state.pending.contains_key(&chunk);
            published.push(Published { chunk, row, bytes, hash });
        }
        Ok((published, must_flush))
    }
}
