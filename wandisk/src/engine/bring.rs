//! Bringing a chunk's bytes here, wanted or ahead of it, and letting the hot path at them.

use std::sync::Arc;

use wandisk_io::{ChunkState, IoError};
use wandisk_store::{Image, SiteId, Store};

use super::chunk_locks::ChunkGuard;
use super::fetched::StoreOutcome;
use super::{Engine, FetchError, Want};

impl<S: Store> Engine<S> {
    /// Brings a chunk here if its current bytes are not. There is one fetch however many wait for it.
    pub(super) async fn make_readable(self: &Arc<Self>, chunk: u64, demand: bool) -> Result<(), IoError> {
        if self.hot.state(chunk) != ChunkState::COLD {
            return Ok(());
        }
        // A task of its own: a request that stops waiting must not leave a chunk half stored.
        let engine = Arc::clone(self);
        let fetch = self.runtime.spawn(async move { engine.bring_and_open(chunk, demand).await });
        fetch.await.unwrap_or(Err(IoError::Io))
    }

    async fn bring_and_open(self: Arc<Self>, chunk: u64, demand: bool) -> Result<(), IoError> {
        let _turn = self.fetch_turns.lock(chunk).await;
        let _guard = self.bring_into_place(chunk, demand, None).await?;
        self.open_if_here(chunk);
        Ok(())
    }

    /// Brings a chunk ahead of demand; it stays cold for the hot path until it is first wanted.
    pub(super) async fn bring_ahead(self: Arc<Self>, chunk: u64) -> Result<(), IoError> {
        let _turn = self.fetch_turns.lock(chunk).await;
        if self.is_here(chunk) {
            return Ok(());
        }
        let _guard = self.bring_into_place(chunk, false, None).await?;
        let mut state = self.state();
        // A zero came with the table: nothing was fetched that could be of use. What a write has opened is in use.
        if !state.table.get(chunk).zero && self.hot.state(chunk) == ChunkState::COLD {
            state.ahead_of_demand.insert(chunk);
        }
        drop(state);
        Ok(())
    }

    /// Lets the hot path at a chunk whose bytes are here. `true` if they are.
    pub(super) fn open_if_here(&self, chunk: u64) -> bool {
        let state = self.state();
        let row = state.table.get(chunk);
        let here = !row.exists() || row.is_held() || state.pending.get(&chunk) == Some(&row.version);
        if here && self.hot.state(chunk) == ChunkState::COLD {
            if state.ahead_of_demand.contains(&chunk) {
                self.fetch_stats.prefetch_used.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            self.hot.set_state(chunk, ChunkState::READABLE);
        }
        drop(state);
        if here && self.state().ahead_of_demand.remove(&chunk) {
            self.ahead.was_wanted();
        }
        here
    }

    /// The caller has the chunk's fetch turn, and gets its lock. While the bytes travel nobody has that.
    pub(super) async fn bring_into_place(
        &self,
        chunk: u64,
        demand: bool,
        only: Option<Arc<[SiteId]>>,
    ) -> Result<ChunkGuard, IoError> {
        loop {
            let guard = self.locks.lock(chunk).await;
            let row = self.state().table.get(chunk);
            if !row.exists() || self.is_here(chunk) {
                return Ok(guard);
            }
            let stored = if row.zero {
                self.store_fetched(chunk, row.version, None).await
            } else {
                let source = self.source.get().ok_or(IoError::Io)?;
                let basis = self.basis_of(chunk).map_err(|_| IoError::Io)?;
                drop(guard);
                let want = Want { chunk, version: row.version, basis, demand, only: only.clone() };
                let got = match source.fetch(want, self.fetch_timeout()).await {
                    Ok(got) => got,
                    Err(FetchError::Superseded) => continue,
                    Err(FetchError::TimedOut) => return Err(IoError::TimedOut),
                    Err(FetchError::NoHolder) => return Err(IoError::Io),
                };
                let _guard = self.locks.lock(chunk).await;
                let stored = self.store_fetched(chunk, row.version, got.bytes.as_deref()).await;
                if matches!(stored, Ok(StoreOutcome::Stored)) && self.row(chunk).version == row.version {
                    self.keep_hash(chunk, row.version, got.hash);
                }
                stored
            };
            if let Err(e) = stored {
                tracing::warn!(chunk, error = %e, "a fetched chunk could not be stored");
                return Err(e.io());
            }
        }
    }

    /// Bytes that `data.img` has in a chunk's place, to be the basis of a delta.
    pub(super) fn basis_of(&self, chunk: u64) -> std::io::Result<Option<Vec<u8>>> {
        if !self.data.has_blocks(chunk) {
            return Ok(None);
        }
        self.data.read_chunk(chunk).map(Some)
    }
}
