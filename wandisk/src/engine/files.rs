//! The real store: the files of a disk's folder, on the thread pool of the keeper's executor.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wandisk_store::disk_dir::KeeperLock;
use wandisk_store::moment::{Making, MomentError};
use wandisk_store::{Committer, DataFile, DiskDir, IntentMap, Opened, Store};

use super::EngineError;

/// `data.img`, `intent.map` and `table.db` of one disk's folder.
#[derive(Debug)]
pub struct Files;

impl Store for Files {
    type Image = DataFile;
    type Intents = IntentMap;
    type Table = Committer;
    type Lock = KeeperLock;

    const GRACE_SLICE: Duration = Duration::from_millis(100);

    fn blocking<T>(work: impl FnOnce() -> T) -> T {
        tokio::task::block_in_place(work)
    }

    fn brief<T>(work: impl FnOnce() -> T) -> T {
        let place = Place::take();
        if place.is_some() { work() } else { Files::blocking(work) }
    }

    async fn keep_moment(dir: &DiskDir, image: &DataFile, table: &Committer) -> Result<bool, MomentError> {
        let Some(making) = Files::blocking(|| Making::begin(dir, image))? else { return Ok(false) };
        table.copy_to(making.table()).await.map_err(MomentError::Table)?;
        Files::blocking(|| making.keep())?;
        Ok(true)
    }

    fn drop_moment(dir: &DiskDir) -> std::io::Result<()> {
        Files::blocking(|| dir.drop_moment())
    }
}

/// Threads of the executor, and how many of them may be inside a file at a time.
///
/// A thread that hands its tasks over first, as `block_in_place` does, wakes another and loses its place: more than the
/// call costs that only copies to or from the page cache. The others keep everything else going if the disk is slow.
pub(crate) const THREADS: usize = 4;
const INSIDE_MAX: usize = THREADS / 2;
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// A thread's leave to be inside a file; given back when dropped.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let more = |inside| (inside < INSIDE_MAX).then_some(inside + 1);
        INSIDE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files {
    /// Opens table, image and intent map; changes nothing in them.
    pub(super) fn open(dir: &DiskDir, lock: KeeperLock) -> Result<Opened<Files>, EngineError> {
        Files::blocking(|| {
            if dir.go_back_if_told(&lock).map_err(EngineError::Data)? {
                tracing::warn!(disk = dir.name(), "the replica went back to its last consistent moment");
            }
            let (loaded, table, image) = dir.open(&lock)?;
            if loaded.meta.kept_moment.is_none() {
                // Of a process that died between the two.
                dir.drop_moment().map_err(EngineError::Data)?;
            }
            let (intents, left) =
                IntentMap::open(&dir.intent_path(), loaded.meta.uuid).map_err(EngineError::Data)?;
            Ok(Opened { loaded, left, image, intents, table, lock })
        })
    }
}
