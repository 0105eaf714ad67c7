//! The access trace: which chunks are wanted, in their order, and bringing those of earlier runs ahead of demand.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::task::JoinError;
use wandisk_io::{ChunkState, IoError};
use wandisk_store::Store;
use wandisk_store::trace::TRACE_MAX;

use super::ahead::Ahead;
use super::{Access, Engine};

/// Chunks on their way at a time: what a long fat link holds, and no more memory than that.
const IN_FLIGHT: usize = 64;

/// Chunks in the order in which requests first wanted them; of those whose bytes were here, as well as looking now and then can
/// tell. One may be named twice.
#[derive(Debug, Default)]
pub(super) struct Wanted(Mutex<Vec<u64>>);

impl Wanted {
    fn note(&self, chunk: u64) {
        let mut chunks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chunks.len() < TRACE_MAX && chunks.last() != Some(&chunk) {
            chunks.push(chunk);
        }
    }
}

/// A replay that runs. It ends with this, wherever its task does: what of it has not come is then no longer expected.
struct Running {
    ahead: Arc<Ahead>,
    number: u64,
    came: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ahead.end_replay(self.number, self.came);
    }
}

impl<S: Store> Engine<S> {
    /// A request wants bytes of a chunk that nobody has wanted yet in this keeper's life.
    pub(super) fn note_wanted(&self, chunk: u64) {
        self.wanted.note(chunk);
    }

    /// Looks which chunks that are here were wanted since the last look; were there any?
    pub fn look_what_was_wanted(&self) -> bool {
        let mut chunks = self.wanted.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = TRACE_MAX.saturating_sub(chunks.len());
        let new = self.hot.newly_read();
        let any = !new.is_empty();
        chunks.extend(new.into_iter().take(room));
        any
    }

    /// The chunks whose bytes were wanted since the keeper started, in the order in which they first were.
    #[must_use]
    pub fn wanted(&self) -> Vec<u64> {
        self.look_what_was_wanted();
        self.wanted.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins anew. A chunk that was here and wanted before is not told again.
    pub fn forget_wanted(&self) {
        self.look_what_was_wanted();
        self.wanted.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until requests are let in.
    pub async fn opened(&self) {
        // The sender is this engine's own.
        self.access.subscribe().wait_for(|now| *now == Access::Open).await.ok();
    }

    /// Brings these chunks ahead of demand, in their order and from where their reader is, while the disk is this site's; so far
    /// ahead of what is wanted as it may. Ends at the first one that cannot be had.
    pub async fn bring_before_wanted(self: &Arc<Self>, chunks: Vec<u64>) {
        tracing::debug!(chunks = chunks.len(), "what earlier runs wanted is brought");
        let number = self.ahead.begin_replay(chunks);
        let mut running = Running { ahead: Arc::clone(&self.ahead), number, came: false };
        running.came = self.bring_all_of(number).await;
        tracing::debug!(whole = running.came, "what earlier runs wanted has come");
    }

    /// Brings what a replay gives; `false` if not all of it will come.
    async fn bring_all_of(self: &Arc<Self>, replay: u64) -> bool {
        let mut coming = FuturesUnordered::new();
        while let Some(chunk) = self.ahead.next_of_replay(replay) {
            let is_of_use =
                chunk < self.hot.chunks() && self.hot.state(chunk) == ChunkState::COLD && !self.has(chunk);
            if !is_of_use {
                continue;
            }
            while coming.len() >= IN_FLIGHT {
                if !has_come(coming.next().await) {
                    return false;
                }
            }
            let Some(room) = self.wait_for_room_ahead().await else { return false };
            let engine = Arc::clone(self);
            // A task of its own: whoever stops waiting leaves no chunk half stored.
            coming.push(self.runtime.spawn(async move {
                let _room = room;
                engine.bring_ahead(chunk).await
            }));
        }
        while !coming.is_empty() {
            if !has_come(coming.next().await) {
                return false;
            }
        }
        true
    }
}

/// Has a chunk come that was waited for?
fn has_come(brought: Option<Result<Result<(), IoError>, JoinError>>) -> bool {
    let come = matches!(brought, Some(Ok(Ok(()))));
    if !come {
        tracing::debug!(?brought, "a chunk of the access trace could not be brought");
    }
    come
}
