//! Read-ahead: a reader that goes through the disk in order finds the next chunks already on their way.
//!
//! A chunk brought ahead stays cold for the hot path until it is first read: that first read passes here, so that
//! streams are recognised without a hook on the hot path, and `prefetch_used` counts what was really of use. (`trace` brings
//! what earlier runs wanted, from the same budget.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use wandisk_io::ChunkState;
use wandisk_store::Store;

use super::Engine;

/// Readers recognised at a time.
const STREAMS: usize = 8;
/// Chunks ahead of a reader: at first, and at most.
const WINDOW_FIRST: u64 = 2;
const WINDOW_MAX: u64 = 32;

#[derive(Clone, Copy, Debug)]
struct Stream {
    last: u64,
    upto: u64,
    window: u64,
    used: u64,
}

/// Where readers are, and how much may still be fetched ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    streams: Mutex<(Vec<Stream>, u64)>,
    budget_bytes: AtomicU64,
}

impl Ahead {
    /// The chunks to bring, now that `chunk` is wanted.
    fn wanted(&self, chunk: u64, chunks: u64) -> std::ops::Range<u64> {
        let mut guard = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let (streams, clock) = &mut *guard;
        *clock += 1;
        let in_order = streams.iter_mut().find(|s| chunk > s.last && chunk <= s.upto + 1);
        let Some(stream) = in_order else {
            let fresh = Stream { last: chunk, upto: chunk, window: WINDOW_FIRST, used: *clock };
            match streams.iter().position(|s| s.last == chunk) {
                Some(_) => {}
                None if streams.len() < STREAMS => streams.push(fresh),
                None => {
                    if let Some(oldest) = streams.iter_mut().min_by_key(|s| s.used) {
                        *oldest = fresh;
                    }
                }
            }
            return 0..0;
        };
        stream.used = *clock;
        stream.last = chunk;
        stream.window = (stream.window * 2).min(WINDOW_MAX);
        let from = stream.upto.max(chunk) + 1;
        let to = (chunk + stream.window + 1).min(chunks);
        stream.upto = stream.upto.max(to.saturating_sub(1));
        from..to.max(from)
    }

    /// Takes one chunk from the budget; `false` when it is spent.
    fn spend(&self, bytes: u64) -> bool {
        let spent =
            self.budget_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |b| b.checked_sub(bytes));
        spent.is_ok()
    }
}

impl<S: Store> Engine<S> {
    /// Bytes that may be fetched ahead of demand from now on; 0 is the pure on-demand mode.
    pub fn set_prefetch_budget(&self, bytes: u64) {
        self.ahead.budget_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes one chunk from the budget; `false` when it is spent.
    pub(super) fn spend_ahead(&self) -> bool {
        self.ahead.spend(u64::from(self.hot.chunk_size()))
    }

    /// A request wants a cold chunk: brings those that its reader will want next.
    pub(super) fn read_ahead(self: &Arc<Self>, chunk: u64) {
        if self.ahead.budget_bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        for next in self.ahead.wanted(chunk, self.hot.chunks()) {
            if self.hot.state(next) != ChunkState::COLD || self.is_here(next) {
                continue;
            }
            if !self.spend_ahead() {
                return;
            }
            let engine = Arc::clone(self);
            self.runtime.spawn(async move {
                if let Err(e) = engine.bring_ahead(next).await {
                    tracing::debug!(chunk = next, error = %e, "a chunk could not be brought ahead");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_order_gets_a_growing_window() {
        let ahead = Ahead::default();
        assert!(ahead.wanted(10, 1000).is_empty());
        assert_eq!(ahead.wanted(11, 1000), 12..16);
        assert_eq!(ahead.wanted(12, 1000), 16..21);
        assert_eq!(ahead.wanted(13, 1000), 21..30);
    }

    #[test]
    fn readers_out_of_order_get_nothing_and_none_reads_past_the_end() {
        let ahead = Ahead::default();
        for chunk in [5, 900, 37, 400] {
            assert!(ahead.wanted(chunk, 1000).is_empty());
        }
        ahead.wanted(998, 1000);
        assert!(ahead.wanted(999, 1000).is_empty());
    }
}
