//! The access trace: which chunks are wanted, in their order, and bringing those of earlier runs ahead of demand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use wandisk_io::ChunkState;
use wandisk_store::Store;
use wandisk_store::trace::TRACE_MAX;

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

impl<S: Store> Engine<S> {
    /// A request wants bytes of a chunk that nobody has wanted yet in this keeper's life.
    pub(super) fn note_wanted(&self, chunk: u64) {
        self.wanted.note(chunk);
    }

    /// Looks which chunks that are here were wanted since the last look.
    pub fn look_what_was_wanted(&self) {
        let mut chunks = self.wanted.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = TRACE_MAX.saturating_sub(chunks.len());
        chunks.extend(self.hot.newly_read().into_iter().take(room));
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

    /// Brings these chunks ahead of demand, in their order and inside the budget, while the disk is this site's. Ends at the
    /// first one that cannot be had.
    pub async fn bring_before_wanted(self: &Arc<Self>, chunks: Vec<u64>) {
        let ended = &AtomicBool::new(false);
        let each = futures::stream::iter(chunks).for_each_concurrent(IN_FLIGHT, |chunk| async move {
            let is_of_use =
                chunk < self.hot.chunks() && self.hot.state(chunk) == ChunkState::COLD && !self.has(chunk);
            if ended.load(Ordering::Relaxed) || !is_of_use {
                return;
            }
            if self.access() == Access::Closed || !self.spend_ahead() {
                ended.store(true, Ordering::Relaxed);
                return;
            }
            // A task of its own: whoever stops waiting leaves no chunk half stored.
            let brought = self.runtime.spawn(Arc::clone(self).bring_ahead(chunk)).await;
            if !matches!(brought, Ok(Ok(()))) {
                tracing::debug!(chunk, ?brought, "a chunk of the access trace could not be brought");
                ended.store(true, Ordering::Relaxed);
            }
        });
        each.await;
    }
}
