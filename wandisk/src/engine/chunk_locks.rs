//! One lock a chunk: all cold work on a chunk is done under its lock, so there is one fetch a chunk however many requests
//! wait for it.
//!
//! A lock is an entry of one map for as long as somebody has it. So each first write to a chunk, which takes one that is free,
//! allocates nothing and looks at a map of what is in flight, however large the disk.
//!
//! Invariant: those who wait have the lock in the order in which they came; one that waits no more is passed over, be it when
//! the lock is on its way to him.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who waits for a chunk's lock.
type Waiting = VecDeque<oneshot::Sender<ChunkGuard>>;

/// The locks of one disk.
#[derive(Clone, Debug, Default)]
pub(super) struct ChunkLocks {
    held: Arc<Mutex<HashMap<u64, Waiting>>>,
}

/// Held while a chunk's cold work is done.
#[must_use = "the lock is given back when this is dropped"]
#[derive(Debug)]
pub(super) struct ChunkGuard {
    locks: ChunkLocks,
    chunk: u64,
}

impl ChunkLocks {
    /// Waits for its turn on a chunk. Whoever locks several takes them in ascending order.
    pub(super) async fn lock(&self, chunk: u64) -> ChunkGuard {
        loop {
            let turn = match self.held.lock().entry(chunk) {
                Entry::Vacant(free) => {
                    free.insert(Waiting::new());
                    return self.guard(chunk);
                }
                Entry::Occupied(mut held) => {
                    let (give, turn) = oneshot::channel();
                    held.get_mut().push_back(give);
                    turn
                }
            };
            if let Ok(guard) = turn.await {
                return guard;
            }
        }
    }

    /// Takes a chunk's lock if nobody has it.
    pub(super) fn try_lock(&self, chunk: u64) -> Option<ChunkGuard> {
        match self.held.lock().entry(chunk) {
            Entry::Vacant(free) => free.insert(Waiting::new()),
            Entry::Occupied(_) => return None,
        };
        Some(self.guard(chunk))
    }

    fn guard(&self, chunk: u64) -> ChunkGuard {
        ChunkGuard { locks: self.clone(), chunk }
    }

    /// The next one who still waits; the lock is nobody's where there is none.
    fn next(&self, chunk: u64) -> Option<oneshot::Sender<ChunkGuard>> {
        let mut all = self.held.lock();
        let waiting = all.get_mut(&chunk)?;
        let next = std::iter::from_fn(|| waiting.pop_front()).find(|give| !give.is_closed());
        if next.is_none() {
            all.remove(&chunk);
        }
        next
    }
}

impl Drop for ChunkGuard {
    fn drop(&mut self) {
        if let Some(give) = self.locks.next(self.chunk) {
            // Where he has gone in this moment it comes back, and goes on to the next one as it is dropped.
            drop(give.send(self.locks.guard(self.chunk)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_lock_is_had_by_one_at_a_time_in_the_order_of_coming_and_leaves_nothing_behind() {
        let locks = ChunkLocks::default();
        let first = locks.try_lock(7).unwrap();
        assert!(locks.try_lock(7).is_none() && locks.try_lock(8).is_some());
        let (mut second, mut third) = (pin!(locks.lock(7)), pin!(locks.lock(7)));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        drop(first);
        assert!(poll(third.as_mut()).is_pending(), "it is the second's");
        let Poll::Ready(guard) = poll(second.as_mut()) else { panic!("nobody has it") };
        drop(guard);
        let Poll::Ready(guard) = poll(third.as_mut()) else { panic!("nobody has it") };
        drop(guard);
        assert!(locks.held.lock().is_empty());
    }

    #[test]
    fn whoever_waits_no_more_keeps_nobody_from_the_lock() {
        let locks = ChunkLocks::default();
        let first = locks.try_lock(7).unwrap();
        let mut gone: Vec<_> = (0..100_000).map(|_| Box::pin(locks.lock(7))).collect();
        gone.iter_mut().for_each(|waits| assert!(poll(waits.as_mut()).is_pending()));
        let mut last = pin!(locks.lock(7));
        assert!(poll(last.as_mut()).is_pending());
        // One has gone when it was already his.
        drop(gone.split_off(1));
        drop(first);
        assert!(poll(last.as_mut()).is_pending());
        drop(gone);
        let Poll::Ready(guard) = poll(last.as_mut()) else { panic!("nobody has it") };
        drop(guard);
        assert!(locks.held.lock().is_empty());
    }
}
