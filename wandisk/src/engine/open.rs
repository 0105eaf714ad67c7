//! Opening a disk: lock, table, what the last keeper left behind, hot map.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use wandisk_io::{ChunkState, HotMap, Shut};
use wandisk_store::disk_dir::KeeperLock;
use wandisk_store::{DiskDir, Intents, Opened, Store};

use super::chunk_locks::ChunkLocks;
use super::files::Files;
use super::hot_extents::HotExtents;
use super::marks::MarkLimits;
use super::recover::recover;
use super::stats::{FetchStats, LaneStats};
use super::{Access, Engine, EngineError, LANES, State};

/// Default of `--fetch-timeout` in milliseconds.
const FETCH_TIMEOUT_MS: u64 = 60_000;

impl Engine {
    /// Opens a disk whose keeper this process is, and recovers what an unclean end left.
    ///
    /// # Errors
    /// See [`EngineError`]; the disk's files are as they were, or recovered.
    pub async fn open(dir: &DiskDir, lock: KeeperLock, runtime: Handle) -> Result<Arc<Engine>, EngineError> {
        let opened = Files::open(dir, lock)?;
        Engine::start(dir, opened, MarkLimits::DISK, runtime).await
    }
}

impl<S: Store> Engine<S> {
    /// Recovers what an unclean end left in an open store, and begins.
    pub(super) async fn start(
        dir: &DiskDir,
        opened: Opened<S>,
        limits: MarkLimits,
        runtime: Handle,
    ) -> Result<Arc<Engine<S>>, EngineError> {
        let Opened { loaded, left, image: data, intents, table: committer, lock } = opened;
        let is_base = |chunk, base| {
            let row = loaded.table.get(chunk);
            loaded.meta.is_resident() && row.version == base && !row.is_held()
        };
        let overlays = super::overlay::Overlays::loaded(loaded.overlays, is_base);
        let mut state = State {
            extents: HotExtents::loaded(loaded.hot),
            meta: loaded.meta,
            table: loaded.table,
            pending: BTreeMap::new(),
            ahead_of_demand: std::collections::HashSet::new(),
            overlays,
            hashes: Vec::new(),
            closing: HashMap::new(),
            durable_counter: 0,
        };
        recover::<S>(&mut state, (&data, &intents, &committer), left, limits).await?;
        intents.clear().map_err(EngineError::Data)?;
        let newest = state.meta.counter.max(state.table.newest_counter());
        if state.meta.is_resident() {
            // The highest ever given. Elsewhere it says up to where the table is complete, which a single newer row does not
            // change: a replica that took it for a mark was told it had every row, and lacked some (found by the soak).
            state.meta.counter = newest;
        }
        state.durable_counter = newest;

        let hot = HotMap::new(state.meta.chunks(), state.meta.chunk_size, LANES);
        state.table.rows().for_each(|(chunk, _)| hot.watch(chunk));
        let missing = state.table.rows().filter(|(_, row)| !row.is_held());
        missing.for_each(|(chunk, _)| hot.set_state(chunk, ChunkState::COLD));
        let access = if state.meta.is_resident() { Access::Open } else { Access::Closed };
        hot.gate().set_shut(Shut { writes: access != Access::Open, reads: access == Access::Closed });
        let ahead = Arc::new(super::ahead::Ahead::new(state.meta.chunks(), state.meta.chunk_size));
        Ok(Arc::new(Engine {
            dir: dir.clone(),
            data,
            intents,
            committer,
            hot,
            limits,
            runtime,
            state: Mutex::new(state),
            locks: ChunkLocks::default(),
            fetch_turns: ChunkLocks::default(),
            access: watch::Sender::new(access),
            read_only: AtomicBool::new(false),
            standby_waits: AtomicBool::new(false),
            failure: OnceLock::new(),
            fetch_timeout_ms: AtomicU64::new(FETCH_TIMEOUT_MS),
            quiesce: watch::Sender::new(None),
            flushing: super::flush::FlushTurn::default(),
            rows_turn: tokio::sync::Mutex::new(()),
            placing: tokio::sync::RwLock::new(()),
            keeps_no_moments: false.into(),
            fetched_bell: tokio::sync::Notify::new(),
            grace: tokio::sync::Mutex::new(()),
            cooling: tokio::sync::Mutex::new(()),
            marking: tokio::sync::Mutex::new(()),
            meta_turn: tokio::sync::Mutex::new(()),
            source: OnceLock::new(),
            lanes: (0..LANES).map(|_| LaneStats::default()).collect(),
            fetch_stats: FetchStats::default(),
            ahead,
            wanted: super::trace::Wanted::default(),
            _lock: lock,
        }))
    }
}
