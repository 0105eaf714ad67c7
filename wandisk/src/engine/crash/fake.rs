//! The fake store: the seam's traits over a [`Machine`], with a record of every state that a crash could find.
//!
//! Each call is an *operation* with a number. Before it takes effect (and half-way, where it changes several sectors) the state is
//! recorded if somebody wants that; it can be made to fail; and after it a front-end on another queue may put a write in.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use wandisk_store::db::CommitResult;
use wandisk_store::moment::MomentError;
use wandisk_store::{
    Batch, DbError, DiskDir, HashRow, Image, Intent, Intents, Opened, Sectors, Store, Syncs, Table,
};

use super::machine::{Machine, PER_CHUNK, SECTOR, Sector, bytes_of, first_sector, sector_values, values_of};
use super::oracle::Oracle;

/// How an operation is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No space; a failed sync is never that.
    NoSpace,
    /// The medium.
    Medium,
}

impl Fault {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(if self == Fault::NoSpace { 28 } else { 5 })
    }
}

/// A moment at which the process or the machine may die.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) machine: Machine,
    pub(super) oracle: Oracle,
    /// The operation that was about to be done, or half done.
    pub(super) before: &'static str,
}

/// A write that another queue puts in after an operation; told which.
pub(super) type Intruder = Box<dyn FnMut(&'static str) + Send>;

/// One site's store and what is known about it.
pub(super) struct Inner {
    pub(super) machine: Machine,
    pub(super) oracle: Oracle,
    /// Crash points, while they are wanted.
    pub(super) moments: Option<Vec<Moment>>,
    /// Operations so far.
    pub(super) operations: u64,
    /// From this operation on (`for ever`), or this one alone, calls fail.
    pub(super) fault: Option<(u64, Fault)>,
    /// The operation that was made to fail.
    pub(super) failed: Option<&'static str>,
    /// Space stays short until somebody makes room.
    pub(super) full: bool,
    pub(super) commits: u64,
    /// Moments that were kept, if this store can.
    pub(super) kept: Option<Vec<Machine>>,
    /// Commits that wait to be made; `None`: they are made at once.
    pub(super) waiting: Option<Vec<(Batch, oneshot::Sender<CommitResult>)>>,
}

/// Shared by the parts of a fake store and by the test.
pub(super) struct Site {
    inner: Mutex<Inner>,
    intruder: Mutex<Option<Intruder>>,
}

impl Site {
    pub(super) fn new(machine: Machine, oracle: Oracle) -> Arc<Site> {
        let inner = Inner {
            machine,
            oracle,
            moments: None,
            operations: 0,
            fault: None,
            failed: None,
            full: false,
            commits: 0,
            kept: None,
            waiting: None,
        };
        Arc::new(Site { inner: Mutex::new(inner), intruder: Mutex::new(None) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_intruder(&self, intruder: Option<Intruder>) {
        *self.intruder.lock().unwrap_or_else(PoisonError::into_inner) = intruder;
    }

    fn intrude(&self, after: &'static str) {
        let taken = self.intruder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut intruder) = taken {
            intruder(after);
            let mut slot = self.intruder.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert(intruder);
        }
    }

    /// The store as a process that starts now finds it.
    pub(super) fn open(self: &Arc<Self>) -> Opened<Fake> {
        let inner = self.lock();
        Opened {
            loaded: inner.machine.table.load(),
            left: inner.machine.intents_left(),
            image: FakeImage(Arc::clone(self)),
            intents: FakeIntents(Arc::clone(self)),
            table: FakeTable(Arc::clone(self), Syncs::default()),
            lock: (),
        }
    }

    /// Makes the commits that wait, oldest first; tells how many there were.
    pub(super) fn commit_waiting(&self) -> usize {
        let waiting = self.lock().waiting.as_mut().map(std::mem::take).unwrap_or_default();
        let n = waiting.len();
        for (batch, tell) in waiting {
            self.lock().commit(batch, tell);
            self.intrude("commit");
        }
        n
    }

    /// Makes the oldest commit that waits.
    pub(super) fn commit_one(&self) {
        let next = self.lock().waiting.as_mut().and_then(|w| (!w.is_empty()).then(|| w.remove(0)));
        if let Some((batch, tell)) = next {
            self.lock().commit(batch, tell);
            self.intrude("commit");
        }
    }

    /// A front-end moves a request's data: every sector of the range gets the value.
    pub(super) fn front_end_writes(&self, sectors: Range<usize>, value: u64) -> io::Result<()> {
        self.lock().change("front-end write", sectors.map(|s| (s, Some(value))).collect())
    }

    fn change(&self, what: &'static str, sectors: Vec<(usize, Sector)>) -> io::Result<()> {
        self.lock().change(what, sectors)?;
        self.intrude(what);
        Ok(())
    }
}

impl Inner {
    /// Records a crash point.
    pub(super) fn moment(&mut self, before: &'static str) {
        if let Some(moments) = &mut self.moments {
            moments.push(Moment { machine: self.machine.clone(), oracle: self.oracle.clone(), before });
        }
    }

    /// An operation begins; it may be one that fails.
    fn begin(&mut self, what: &'static str, needs_space: bool) -> io::Result<()> {
        self.operations += 1;
        self.moment(what);
        if self.full && needs_space {
            return Err(Fault::NoSpace.error());
        }
        match self.fault {
            Some((at, Fault::NoSpace)) if at == self.operations && needs_space => {
                (self.full, self.failed) = (true, Some(what));
                Err(Fault::NoSpace.error())
            }
            Some((at, Fault::Medium)) if at == self.operations => {
                self.failed = Some(what);
                Err(Fault::Medium.error())
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, what: &'static str, sectors: Vec<(usize, Sector)>) -> io::Result<()> {
        let grows = sectors.iter().any(|(s, to)| to.is_some() && self.machine.live[*s].is_none());
        let half = sectors.len() / 2;
        let begun = self.begin(what, grows);
        for (i, (sector, to)) in sectors.into_iter().enumerate() {
            if i == half {
                // Half of it is in the page cache, and a failing call may have got that far.
                self.moment(what);
                if let Err(e) = begun {
                    return Err(e);
                }
            }
            self.machine.write(sector, to);
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch, tell: oneshot::Sender<CommitResult>) {
        let result = match self.begin("commit", true) {
            Ok(()) => {
                self.machine.table.apply(batch);
                self.commits += 1;
                Ok(())
            }
            Err(e) => Err(Arc::new(failed_commit(&e))),
        };
        tell.send(result).ok();
    }
}

fn failed_commit(error: &io::Error) -> DbError {
    let full = error.kind() == io::ErrorKind::StorageFull;
    // SQLITE_FULL or SQLITE_IOERR, as SQLite would say it.
    let code = if full { 13 } else { 10 };
    DbError::Sql(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
}

/// The fake as the engine's store.
pub(super) struct Fake;

impl Store for Fake {
    type Image = FakeImage;
    type Intents = FakeIntents;
    type Table = FakeTable;
    type Lock = ();

    // Whoever waits for requests in flight lets other tasks of the same thread go on.
    const GRACE_SLICE: Duration = Duration::ZERO;

    fn blocking<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    async fn keep_moment(_: &DiskDir, image: &FakeImage, _: &FakeTable) -> Result<bool, MomentError> {
        let mut inner = image.0.lock();
        let now = inner.machine.clone();
        Ok(inner.kept.as_mut().map(|kept| kept.push(now)).is_some())
    }

    fn drop_moment(_: &DiskDir) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct FakeImage(Arc<Site>);

impl FakeImage {
    fn put(&self, what: &'static str, offset: u64, len: u64, to: Sector) -> io::Result<()> {
        let sector = |at: u64| usize::try_from(at).expect("a tiny disk") / SECTOR;
        self.0.change(what, (sector(offset)..sector(offset + len)).map(|s| (s, to)).collect())
    }
}

impl Image for FakeImage {
    fn size_bytes(&self) -> u64 {
        (self.0.lock().machine.live.len() * SECTOR) as u64
    }

    fn read_chunk(&self, chunk: u64) -> io::Result<Vec<u8>> {
        let mut inner = self.0.lock();
        inner.begin("read", false)?;
        Ok(bytes_of(&inner.machine.chunk(chunk)))
    }

    fn write_chunk(&self, chunk: u64, bytes: &[u8]) -> io::Result<()> {
        let values = values_of(bytes);
        let first = first_sector(chunk);
        self.0.change("write", values.iter().enumerate().map(|(i, v)| (first + i, Some(*v))).collect())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let first = usize::try_from(offset).expect("a tiny disk") / SECTOR;
        let values = sector_values(bytes);
        self.0.change("merge", values.into_iter().enumerate().map(|(i, v)| (first + i, Some(v))).collect())
    }

    fn punch_chunk(&self, chunk: u64) -> io::Result<()> {
        let first = first_sector(chunk);
        self.0.change("punch", (first..first + PER_CHUNK).map(|s| (s, None)).collect())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.put("punch", offset, len, None)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        self.put("zero", offset, len, Some(0))
    }

    fn has_blocks(&self, chunk: u64) -> bool {
        let first = first_sector(chunk);
        self.0.lock().machine.live[first..first + PER_CHUNK].iter().any(Option::is_some)
    }

    fn sync(&self) -> io::Result<()> {
        {
            let mut inner = self.0.lock();
            if let Err(e) = inner.begin("sync", false) {
                inner.machine.fail_sync();
                return Err(e);
            }
            inner.machine.sync();
        }
        self.0.intrude("sync");
        Ok(())
    }
}

pub(super) struct FakeIntents(Arc<Site>);

impl Intents for FakeIntents {
    fn set(&self, chunk: u64, intent: Intent) -> io::Result<()> {
        {
            let mut inner = self.0.lock();
            inner.begin("intent", true)?;
            let chunks = &mut inner.machine.intents.chunks;
            match intent {
                Intent::Clean => chunks.remove(&chunk),
                Intent::Modified => chunks.insert(chunk, 1),
                Intent::Replacing => chunks.insert(chunk, 2),
                Intent::Overlaid => chunks.insert(chunk, 3),
            };
        }
        self.0.intrude("intent");
        Ok(())
    }

    fn set_sectors(&self, chunk: u64, sectors: &Sectors) -> io::Result<()> {
        {
            let mut inner = self.0.lock();
            inner.begin("sectors", true)?;
            inner.machine.intents.sectors.insert(chunk, sectors.clone());
        }
        self.0.intrude("sectors");
        Ok(())
    }

    fn sectors(&self, chunk: u64, chunk_size: u32) -> io::Result<Sectors> {
        let mut inner = self.0.lock();
        inner.begin("reading sectors", false)?;
        let noted = inner.machine.intents.sectors.get(&chunk).cloned();
        Ok(noted.unwrap_or_else(|| Sectors::none(chunk_size)))
    }

    fn note_failure(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.begin("noting a failure", false)?;
        inner.machine.intents.failed = true;
        Ok(())
    }

    fn noted_failure(&self) -> bool {
        let inner = self.0.lock();
        inner.machine.intents.failed && inner.machine.intents.boot == Some(inner.machine.boot)
    }

    fn clear(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.begin("cutting the intents", false)?;
        inner.machine.intents.chunks.clear();
        let has_header = inner.machine.intents.boot.is_some();
        inner.begin("heading the intents", !has_header)?;
        inner.machine.intents.failed = false;
        inner.machine.intents.boot = Some(inner.machine.boot);
        inner.begin("cutting the sectors", false)?;
        inner.machine.intents.sectors.clear();
        Ok(())
    }
}

pub(super) struct FakeTable(Arc<Site>, Syncs);

impl Table for FakeTable {
    fn submit(&self, batch: Batch) -> oneshot::Receiver<CommitResult> {
        let (tell, hear) = oneshot::channel();
        {
            let mut inner = self.0.lock();
            if let Some(waiting) = &mut inner.waiting {
                waiting.push((batch, tell));
                return hear;
            }
            inner.commit(batch, tell);
        }
        self.0.intrude("commit");
        hear
    }

    async fn hashes(&self, chunks: Vec<u64>) -> Result<Vec<HashRow>, Arc<DbError>> {
        let inner = self.0.lock();
        Ok(chunks.iter().filter_map(|c| inner.machine.table.hashes.get(c).copied()).collect())
    }

    fn commits(&self) -> u64 {
        self.0.lock().commits
    }

    fn syncs(&self) -> &Syncs {
        &self.1
    }
}
