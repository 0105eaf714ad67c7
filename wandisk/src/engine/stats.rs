//! What `status` tells of a running disk.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use wandisk_store::Store;

use super::Engine;
use crate::delta::Ledger;

/// Requests counted on one lane; a line of its own, so that queues do not slow each other down.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct LaneStats {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) bytes_written: AtomicU64,
    pub(super) flushes: AtomicU64,
}

/// Requests that front-ends did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct IoStats {
    /// Reads.
    pub reads: u64,
    /// Writes, trims and zeroings.
    pub writes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Transactions of the chunk table.
    pub metadata_commits: u64,
    /// Waits for the medium: for the image, and for the table's transactions.
    pub syncs: u64,
    /// Their time together, in milliseconds.
    pub syncs_ms: f64,
    /// The longest of them, in milliseconds.
    pub longest_sync_ms: f64,
}

/// Fetching, in both directions. Counters only grow while the keeper runs.
#[derive(Debug, Default)]
pub struct FetchStats {
    /// Chunks brought because a request waited.
    pub demand: AtomicU64,
    /// Chunks brought ahead of demand or by a sync.
    pub prefetched: AtomicU64,
    /// Chunks brought ahead that were wanted later.
    pub prefetch_used: AtomicU64,
    /// Chunks of these that came in parts, over several connections.
    pub in_parts: AtomicU64,
    /// Payload bytes received.
    pub bytes_in: AtomicU64,
    /// Payload bytes sent.
    pub bytes_out: AtomicU64,
    /// Answers "same as your basis".
    pub same: AtomicU64,
    /// Answers "zero", and zero rows that needed no question.
    pub zero: AtomicU64,
    /// Answers with a delta.
    pub delta: AtomicU64,
    /// Answers with the bytes themselves.
    pub literal: AtomicU64,
    /// Requests that wait for a fetch now.
    pub waiting: AtomicU64,
    /// Which ways chunks came and went, and what that saved.
    pub ledger: Ledger,
}

impl FetchStats {
    /// The counters as `status --json` has them.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        serde_json::json!({
            "demand": get(&self.demand), "prefetched": get(&self.prefetched), "prefetch_used": get(&self.prefetch_used),
            "in_parts": get(&self.in_parts),
            "bytes_in": get(&self.bytes_in), "bytes_out": get(&self.bytes_out),
            "same": get(&self.same), "zero": get(&self.zero), "delta": get(&self.delta),
            "literal": get(&self.literal), "waiting": get(&self.waiting), "ways": self.ledger.to_json(),
        })
    }
}

impl<S: Store> Engine<S> {
    /// Fetch counters.
    #[must_use]
    pub fn fetch_stats(&self) -> &FetchStats {
        &self.fetch_stats
    }

    /// Bytes of chunks that were brought ahead of demand and that nobody has wanted so far.
    #[must_use]
    pub fn prefetch_unused_bytes(&self) -> u64 {
        self.state().ahead_of_demand.len() as u64 * u64::from(self.hot.chunk_size())
    }

    /// Requests done since the keeper started.
    #[must_use]
    pub fn io_stats(&self) -> IoStats {
        let sum = |field: fn(&LaneStats) -> &AtomicU64| {
            self.lanes.iter().map(|lane| field(lane).load(Ordering::Relaxed)).sum()
        };
        let syncs = self.syncs().totals();
        IoStats {
            reads: sum(|l| &l.reads),
            writes: sum(|l| &l.writes),
            bytes_read: sum(|l| &l.bytes_read),
            bytes_written: sum(|l| &l.bytes_written),
            flushes: sum(|l| &l.flushes),
            metadata_commits: self.metadata_commits(),
            syncs: syncs.count,
            syncs_ms: syncs.time.as_secs_f64() * 1e3,
            longest_sync_ms: syncs.longest.as_secs_f64() * 1e3,
        }
    }
}
