//! One lock a chunk, made when wanted: all cold work on a chunk is done under its lock, so there is one fetch a
//! chunk however many requests wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Beyond this many entries, those that nobody holds are dropped.
const SWEEP_AT: usize = 4096;

/// The locks of one disk.
#[derive(Debug, Default)]
pub(super) struct ChunkLocks {
    locks: Mutex<HashMap<u64, Arc<AsyncMutex<()>>>>,
}

/// Held while a chunk's cold work is done.
pub(super) type ChunkGuard = OwnedMutexGuard<()>;

impl ChunkLocks {
    /// Waits for its turn on a chunk. Whoever locks several takes them in ascending order.
    pub(super) async fn lock(&self, chunk: u64) -> ChunkGuard {
        self.of(chunk).lock_owned().await
    }

    /// Takes a chunk's lock if nobody has it.
    pub(super) fn try_lock(&self, chunk: u64) -> Option<ChunkGuard> {
        self.of(chunk).try_lock_owned().ok()
    }

    fn of(&self, chunk: u64) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= SWEEP_AT {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(chunk).or_default())
    }
}
