//! The keeper: the one process that owns a disk's store at a site, and what it does for commands and peers.
//!
//! `attach` makes a keeper that stays; other commands and peers talk to it over `control.sock`, and start one that
//! ends by itself where none runs. Everything a keeper does is one of: a front-end's request (the engine), a
//! peer's [`Ask`](crate::peer::message::Ask) (`answer`), a command of this site (`commands`).

mod answer;
mod attach;
pub mod client;
pub mod commands;
pub mod control;
mod ending;
mod leave;
mod map;
mod partitions;
pub mod process;
mod publisher;
mod redial;
mod scrub;
mod status;
pub(crate) mod to_the_end;
mod trace;
mod ublk_device;
#[cfg(not(feature = "ublk"))]
mod without_ublk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use wandisk_store::{Home, SiteId};

use crate::engine::{Access, Engine, EngineError};
use crate::handover::Ahead;
use crate::handover::give::Prepared;
use crate::handover::tries::GivenUp;
use crate::peer::Peers;
use crate::peer::error::{Code, Refusal};
use crate::peer::message::Progress;
use crate::peer::source::PeerSource;

pub use attach::{AttachOptions, AttachRecord, AttachReport, FrontEnd, Standby};

/// Told how far long work is.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// A report that nobody hears.
#[must_use]
pub fn no_report() -> Report {
    Arc::new(|_| {})
}

/// One disk's keeper.
pub struct Keeper {
    /// The site's home.
    pub home: Home,
    /// The disk.
    pub engine: Arc<Engine>,
    /// The other sites.
    pub peers: Arc<Peers>,
    pub(crate) giving: Mutex<Option<Prepared>>,
    pub(crate) given_up: GivenUp,
    /// What a site has of the table since the last attempt.
    pub(crate) ahead: std::sync::Mutex<Option<Ahead>>,
    pub(crate) syncing: Mutex<()>,
    attached: Mutex<Option<attach::Attached>>,
    publisher: publisher::Publisher,
    /// How often an attached disk is looked through for damage.
    scrub_every: tokio::sync::watch::Sender<Option<Duration>>,
    last_scrub: std::sync::Mutex<scrub::LastScrub>,
    /// Brings what earlier runs wanted.
    replaying: std::sync::Mutex<Option<tokio::task::AbortHandle>>,
    /// Who holds writes for a sync. Whoever freezes or thaws does it under this lock, so that a late thaw of a sync
    /// never opens a disk that a hand-over has frozen since.
    holding: Mutex<Option<tokio::task::AbortHandle>>,
    began: Instant,
    busy: AtomicU64,
    active_ms: AtomicU64,
    quit: AtomicBool,
    /// The resident was cut off, and is dialled from time to time.
    dials_again: AtomicBool,
    /// Rung when there may be a reason to end: it was told to, or the disk is not attached any more.
    end_bell: tokio::sync::Notify,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("disk", &self.engine.dir().name()).finish_non_exhaustive()
    }
}

/// Counts work in progress; the keeper does not end while one is held.
#[derive(Debug)]
pub struct Busy(Arc<Keeper>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.note_active();
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why the disk could not be held still.
pub(crate) fn not_frozen(error: &EngineError) -> Refusal {
    let refusal = Refusal::failed(error);
    match error {
        EngineError::Overlaid { .. } => refusal.hint(
            "bring the sites that hold these chunks within reach (see `wandisk status`), and try again",
        ),
        _ => refusal,
    }
}

impl Keeper {
    /// The keeper of an opened disk.
    #[must_use]
    pub fn new(home: Home, engine: Arc<Engine>) -> Arc<Keeper> {
        let peers = Peers::new(home.clone(), &engine);
        engine.set_source(Arc::new(PeerSource::new(&engine, Arc::clone(&peers))));
        let keeper = Arc::new(Keeper {
            publisher: publisher::Publisher::start(Arc::clone(&engine)),
            home,
            engine,
            peers,
            giving: Mutex::new(None),
            given_up: GivenUp::default(),
            ahead: std::sync::Mutex::default(),
            scrub_every: tokio::sync::watch::Sender::new(None),
            last_scrub: std::sync::Mutex::default(),
            replaying: std::sync::Mutex::default(),
            syncing: Mutex::new(()),
            attached: Mutex::new(None),
            holding: Mutex::new(None),
            began: Instant::now(),
            busy: AtomicU64::new(0),
            active_ms: AtomicU64::new(0),
            quit: AtomicBool::new(false),
            dials_again: AtomicBool::new(false),
            end_bell: tokio::sync::Notify::new(),
        });
        keeper.peers.serve_with(&keeper);
        keeper
    }

    /// A site's name for people.
    #[must_use]
    pub fn site_name(&self, site: SiteId) -> String {
        if site == self.home.id() {
            return self.home.name().to_owned();
        }
        let added = self.home.site_by_id(site).map(|s| s.name.clone());
        added.unwrap_or_else(|| self.engine.meta().site_name(site))
    }

    /// Work begins; the keeper stays until the result is dropped.
    #[must_use]
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        self.note_active();
        Busy(Arc::clone(self))
    }

    fn note_active(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(ms, Ordering::SeqCst);
    }

    /// How long nothing was asked of this keeper; zero while something is being done, a site dialled, the disk attached, or its
    /// resident in reach of this site or dialled again since a cut.
    pub async fn idle_for(&self) -> Duration {
        let holds = self.busy.load(Ordering::SeqCst) > 0
            || self.peers.is_dialling()
            || self.attached.lock().await.is_some()
            || self.giving.lock().await.is_some()
            || self.dials_again.load(Ordering::SeqCst)
            || self.serves_the_resident();
        if holds {
            self.note_active();
            return Duration::ZERO;
        }
        self.began.elapsed().saturating_sub(Duration::from_millis(self.active_ms.load(Ordering::SeqCst)))
    }

    /// Whether the resident has a session with this replica: what it needs next is not to wait for a login.
    fn serves_the_resident(&self) -> bool {
        self.served_resident().is_some_and(|resident| self.peers.has_session(resident))
    }

    /// Ends the keeper as soon as what is under way is done.
    pub fn quit(&self) {
        self.quit.store(true, Ordering::SeqCst);
        self.end_bell.notify_one();
    }

    /// Was it told to end?
    #[must_use]
    pub fn is_quitting(&self) -> bool {
        self.quit.load(Ordering::SeqCst)
    }

    /// A replica whose disk grew elsewhere: its files grow, and the next keeper opens them at their new size.
    pub(crate) async fn grow_and_restart(&self, size_bytes: u64, size_counter: u64) -> Result<(), Refusal> {
        if self.attached.lock().await.is_some() {
            return Err(Refusal::new(
                Code::InUse,
                "the disk is attached here, and an attached disk cannot grow",
            )
            .hint("detach it first"));
        }
        tokio::task::block_in_place(|| {
            let meta = self.engine.meta();
            let mut data = wandisk_store::DataFile::open(
                &self.engine.dir().data_path(),
                meta.size_bytes,
                meta.chunk_size,
            )?;
            data.grow(size_bytes)
        })
        .map_err(|e| Refusal::failed(&e))?;
        let changed = self.engine.change_meta(move |meta| {
            meta.size_bytes = size_bytes;
            meta.size_counter = size_counter;
            Ok(())
        });
        changed.await.map_err(|e| Refusal::failed(&e))?;
        self.quit();
        Ok(())
    }

    /// Holds writes for a peer's sync; they go on by themselves after the lease.
    pub(crate) async fn hold_writes(self: &Arc<Self>, lease: Duration) -> Result<(), Refusal> {
        if !self.engine.meta().is_resident() {
            return Err(Refusal::new(Code::NotResident, "the disk is not resident here"));
        }
        self.engine.settle().await.map_err(|e| not_frozen(&e))?;
        let mut holding = self.holding.lock().await;
        if self.giving.try_lock().map_or(true, |g| g.is_some()) {
            return Err(Refusal::new(Code::Rules, "the disk is being handed over"));
        }
        self.engine.freeze_whole().await.map_err(|e| not_frozen(&e))?;
        let keeper = Arc::clone(self);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(lease).await;
            tracing::warn!("writes were held for a sync longer than its lease: they go on");
            keeper.let_writes_go().await;
        });
        if let Some(earlier) = holding.replace(timer.abort_handle()) {
            earlier.abort();
        }
        Ok(())
    }

    /// Ends [`Keeper::hold_writes`]; nothing happens if a hand-over has taken over meanwhile.
    pub(crate) async fn let_writes_go(&self) {
        let mut holding = self.holding.lock().await;
        if let Some(timer) = holding.take() {
            self.engine.thaw().await;
            // Last, since it may be the timer itself that runs here.
            timer.abort();
        }
    }

    /// Freezes for a hand-over: a sync that holds writes loses its hold.
    pub(crate) async fn freeze_for_hand_over(&self) -> Result<(), Refusal> {
        let mut holding = self.holding.lock().await;
        if let Some(timer) = holding.take() {
            timer.abort();
        }
        self.engine.freeze_whole().await.map_err(|e| not_frozen(&e))
    }

    /// Freezes to leave a lineage: parts that are no version are given up with it.
    pub(crate) async fn freeze_to_leave(&self) -> Result<(), Refusal> {
        let mut holding = self.holding.lock().await;
        if let Some(timer) = holding.take() {
            timer.abort();
        }
        self.engine.freeze().await.map_err(|e| not_frozen(&e))
    }

    /// Makes everything durable and clears the marks, if the disk is open: after its front-end has stopped.
    pub(crate) async fn settle(&self) -> Result<(), Refusal> {
        let _holding = self.holding.lock().await;
        if self.engine.access() != Access::Open {
            return Ok(());
        }
        self.engine.freeze().await.map_err(|e| Refusal::failed(&e))?;
        self.engine.thaw().await;
        Ok(())
    }

    /// Waits until nothing is being done for anybody; `false` if the time was over first.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.busy.load(Ordering::SeqCst) > 0 {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }
}
