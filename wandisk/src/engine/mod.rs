//! The engine: one disk at one site, between its front-ends above and its store below.
//!
//! It decides when bytes may be read or written in place, what has to be durable before that, and what is told to
//! peers. Laws L2-L8 of the design are kept here; each rule is argued where it is applied:
//! [`begin`](self) opens chunks for writing, `marks` keeps hot extents, `flush` makes things durable in order,
//! `publish` closes versions before their bytes leave, `fetched` puts foreign bytes in place, `overlay` keeps what is
//! written of a chunk that is elsewhere, `recover` reads what
//! a dead process or machine left behind.
//!
//! A chunk is in one of these states (the hot map has the first column):
//! ```text
//! READABLE  never written │ held, closed │ fetched, row not yet durable
//! WRITABLE  held, extent durably hot, version open (no byte of it has left this site)
//! COLD      current bytes are elsewhere; `data.img` has a basis for a delta at most, and an overlay's sectors
//! ```
//!
//! Invariant: state changes of a chunk happen under its chunk lock, or withdraw a right (then the gate's grace period
//! follows). Lock order: facts (`meta_turn`), or by chunk its fetch turn and its lock → placing → cooling → flush → rows →
//! state. The state lock is never held over an await.

mod ahead;
mod begin;
mod bring;
mod cells;
mod chunk_locks;
#[cfg(test)]
mod crash;
mod evict;
mod fetched;
mod files;
mod flush;
mod front;
mod hot_extents;
mod lost;
mod marks;
mod meta;
mod moment;
mod near;
mod open;
mod overlay;
mod publish;
mod recover;
mod repair;
mod replay;
mod rows;
mod stats;
mod trace;
mod walk;
mod zero;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::watch;
use wandisk_io::{HotMap, IoError};
use wandisk_store::{
    ChunkTable, DbError, DiskDir, DiskMeta, HashRow, Intents, OpenError, SiteId, Store, Version, is_no_space,
};

use chunk_locks::ChunkLocks;
use hot_extents::HotExtents;
use marks::MarkLimits;
use stats::LaneStats;

pub use cells::{CELLS_MAX, Cells};
pub use fetched::StoreOutcome;
pub use files::Files;
pub(crate) use files::THREADS;
pub use meta::MetaError;
pub use publish::Published;
pub use rows::{RowsError, WireRow};
pub use stats::{FetchStats, IoStats};
pub use walk::Tally;

/// Lanes that ublk queues use.
pub const UBLK_LANES: std::ops::Range<usize> = 0..8;
/// Lanes that NBD connections use.
pub const NBD_LANES: std::ops::Range<usize> = 8..15;
/// Lanes in all.
const LANES: usize = 16;
/// How long a hot request may stay in flight before waiting for it is given up.
const GRACE_DEADLINE: Duration = Duration::from_secs(30);

/// What the front-ends may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads and writes: the disk is resident here.
    Open,
    /// Reads only; writes wait. A hand-over or sync takes its last consistent moment.
    Frozen,
    /// Nothing: the disk is not resident here.
    Closed,
}

/// Why the engine could not do something, with its source kept.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Files could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The table could not be written.
    #[error("the chunk table could not be written")]
    Table(#[source] Arc<DbError>),
    /// The image could not be read or written.
    #[error("the disk's image could not be read or written")]
    Data(#[source] std::io::Error),
    /// A failed fsync.
    #[error(
        "the disk's image could not be made durable; no more is written to it until the disk is attached again"
    )]
    SyncFailed(#[source] std::io::Error),
    /// A failed fsync or a bad device: nothing more is promised until the disk is attached again.
    #[error("the disk's store failed earlier; no more is written to it until the disk is attached again")]
    Poisoned,
    /// Requests in flight did not end.
    #[error("requests in flight did not end within {} s", GRACE_DEADLINE.as_secs())]
    Busy,
    /// The last consistent moment could not be kept.
    #[error(transparent)]
    Moment(#[from] wandisk_store::moment::MomentError),
    /// Bases of overlays are missing.
    #[error(
        "{chunks} chunk{} written here in part while the rest is at other sites, and that could not be fetched in time",
        if *chunks == 1 { " was" } else { "s were" }
    )]
    Overlaid {
        /// How many.
        chunks: usize,
    },
    /// Asked of a site that may not.
    #[error("the disk is not resident here")]
    NotResident,
}

impl EngineError {
    /// Did the filesystem have no room?
    pub(crate) fn wants_room(&self) -> bool {
        self.io() == IoError::NoSpace
    }

    fn io(&self) -> IoError {
        match self {
            EngineError::Table(e) if e.is_no_space() => IoError::NoSpace,
            EngineError::Data(e) if is_no_space(e) => IoError::NoSpace,
            EngineError::Open(e) if e.is_no_space() => IoError::NoSpace,
            EngineError::NotResident => IoError::NotResident,
            _ => IoError::Io,
        }
    }
}

/// A chunk's current bytes, wanted from another site.
#[derive(Clone, Debug)]
pub struct Want {
    /// The chunk.
    pub chunk: u64,
    /// The version that the table here names.
    pub version: Version,
    /// What `data.img` has in its place, if anything: a basis for a delta.
    pub basis: Option<Vec<u8>>,
    /// Somebody waits for it (not a prefetch or sync).
    pub demand: bool,
    /// Only these sites are asked, each once; else all who may have it, until the time is over.
    pub only: Option<Arc<[SiteId]>>,
}

/// What a fetch brought. The source has checked the bytes against `hash`.
#[derive(Clone, Debug)]
pub struct Got {
    /// The bytes, chunk-size long; `None`: all zero.
    pub bytes: Option<Vec<u8>>,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
}

/// Why a fetch brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No holder answered before the deadline.
    #[error("no holder of the chunk answered in time")]
    TimedOut,
    /// The table here has learnt of a newer version meanwhile: look again.
    #[error("a newer version became known")]
    Superseded,
    /// Asked of every holder there is, and none has it.
    #[error("no holder of the chunk is known")]
    NoHolder,
}

/// Where chunks that are not here come from. Implemented by the peer layer.
pub trait ChunkSource: Send + Sync {
    /// Brings a chunk's bytes; tries all holders until `timeout` has passed.
    fn fetch(&self, want: Want, timeout: Duration) -> BoxFuture<'static, Result<Got, FetchError>>;
}

/// What changes together, under one short lock.
#[derive(Debug)]
struct State {
    meta: DiskMeta,
    table: ChunkTable,
    extents: HotExtents,
    /// Fetched chunks whose row is not yet durable, with the version that is in place.
    pending: BTreeMap<u64, Version>,
    /// Chunks brought ahead of demand that nobody has wanted since.
    ahead_of_demand: std::collections::HashSet<u64>,
    /// What was written here of chunks that are not here.
    overlays: overlay::Overlays,
    /// Hashes to be stored with the next commit.
    hashes: Vec<HashRow>,
    /// Closed chunks whose closing, and whose bytes, are not known to be durable yet: no byte of them may leave.
    closing: HashMap<u64, Version>,
    /// Versions up to this counter have durable bytes and rows.
    durable_counter: u64,
}

/// One disk at one site. Shared by front-ends, peer sessions and commands.
///
/// `S` is what holds its bytes and records: the files of its folder, or a test's fake.
pub struct Engine<S: Store = Files> {
    dir: DiskDir,
    data: S::Image,
    intents: S::Intents,
    committer: S::Table,
    hot: HotMap,
    limits: MarkLimits,
    runtime: Handle,
    state: Mutex<State>,
    locks: ChunkLocks,
    /// Held while a chunk is being fetched, without its lock: writes to it go on meanwhile.
    fetch_turns: ChunkLocks,
    access: watch::Sender<Access>,
    read_only: AtomicBool,
    standby_waits: AtomicBool,
    /// Why the store was given up, once it was.
    failure: OnceLock<String>,
    fetch_timeout_ms: AtomicU64,
    /// How long a request may wait for a far chunk while the disk is quiesced.
    quiesce: watch::Sender<Option<Duration>>,
    flushing: flush::FlushTurn,
    /// Held from taking changed rows until their commit has ended: whoever has it and finds no changed row knows that all
    /// rows are durable.
    rows_turn: tokio::sync::Mutex<()>,
    /// Held while bytes and their records change together here; whoever has all of it sees one moment.
    placing: tokio::sync::RwLock<()>,
    /// Rung when a fetched chunk's row waits to be made durable.
    fetched_bell: tokio::sync::Notify,
    grace: tokio::sync::Mutex<()>,
    cooling: tokio::sync::Mutex<()>,
    /// Held by whoever commits marks, for all who want some.
    marking: tokio::sync::Mutex<()>,
    meta_turn: tokio::sync::Mutex<()>,
    /// The filesystem was found not to share blocks.
    keeps_no_moments: AtomicBool,
    source: OnceLock<Arc<dyn ChunkSource>>,
    lanes: Box<[LaneStats]>,
    fetch_stats: FetchStats,
    ahead: Arc<ahead::Ahead>,
    wanted: trace::Wanted,
    /// Last, so that it is let go of after everything else is closed.
    _lock: S::Lock,
}

impl<S: Store> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("disk", &self.dir.name()).finish_non_exhaustive()
    }
}

impl<S: Store> Engine<S> {
    /// Also after a thread panicked between two changes of the state: what is durable is still right, and every change is
    /// applied whole or not at all as far as memory goes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The disk's folder.
    #[must_use]
    pub fn dir(&self) -> &DiskDir {
        &self.dir
    }

    /// The disk's facts as of now.
    #[must_use]
    pub fn meta(&self) -> DiskMeta {
        self.state().meta.clone()
    }

    /// The image file.
    #[must_use]
    pub fn image(&self) -> &S::Image {
        &self.data
    }

    /// Says where chunks come from; once, before the first request.
    pub fn set_source(&self, source: Arc<dyn ChunkSource>) {
        self.source.set(source).ok();
    }

    /// How long a request may wait for a fetch.
    #[must_use]
    pub fn fetch_timeout(&self) -> Duration {
        Duration::from_millis(self.fetch_timeout_ms.load(Ordering::Relaxed))
    }

    /// Sets how long a request may wait for a fetch.
    pub fn set_fetch_timeout(&self, timeout: Duration) {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.fetch_timeout_ms.store(ms, Ordering::Relaxed);
    }

    /// Was the store given up after a failed fsync?
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Why the store was given up, with the causes; for people.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// The store failed to change something (law L8): no space is passed on, anything else poisons the disk.
    fn store_failed(&self, error: EngineError) -> EngineError {
        if error.io() != IoError::NoSpace {
            self.poison(&error);
        }
        error
    }

    /// A failed change of `data.img` or of the intent map.
    fn change_failed(&self, error: std::io::Error) -> EngineError {
        self.store_failed(EngineError::Data(error))
    }

    /// Notes an intent before bytes change, or before a write is acknowledged.
    fn note_intent(&self, chunk: u64, intent: wandisk_store::Intent) -> Result<(), IoError> {
        self.intents.set(chunk, intent).map_err(|e| self.change_failed(e).io())
    }

    /// Nothing is written to a poisoned store.
    fn check_not_poisoned(&self) -> Result<(), EngineError> {
        if self.is_poisoned() { Err(EngineError::Poisoned) } else { Ok(()) }
    }

    /// Stops all writing for good: what is durable can no longer be known (law L8).
    fn poison(&self, why: &EngineError) {
        let causes = std::iter::successors(Some(why as &dyn std::error::Error), |cause| cause.source());
        let told: Vec<String> = causes.map(ToString::to_string).collect();
        if self.failure.set(told.join(": ")).is_ok() {
            let error = self.failure();
            tracing::error!(disk = self.dir.name(), error, "the store failed: the disk takes no more writes");
            // The kernel may call pages clean that never reached the medium; a later process must not believe a sync
            // of them. If this cannot be written either, the medium is gone for good.
            if let Err(error) = self.intents.note_failure() {
                tracing::error!(disk = self.dir.name(), %error, "and that could not be noted");
            }
        }
        let shut = self.hot.gate().shut();
        self.hot.gate().set_shut(wandisk_io::Shut { writes: true, ..shut });
    }

    fn extent_of(&self, chunk: u64) -> u64 {
        chunk / self.extent_chunks()
    }

    fn extent_chunks(&self) -> u64 {
        self.limits.extent_chunks(self.hot.chunk_size())
    }

    /// Waits until every request that was in flight has ended.
    async fn wait_grace(&self) -> Result<(), EngineError> {
        let _turn = self.grace.lock().await;
        let deadline = std::time::Instant::now() + GRACE_DEADLINE;
        let mut grace = self.hot.gate().grace();
        if grace.ended_by(std::time::Instant::now()) {
            return Ok(());
        }
        while !S::blocking(|| grace.ended_by(std::time::Instant::now() + S::GRACE_SLICE)) {
            if std::time::Instant::now() >= deadline {
                return Err(EngineError::Busy);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
