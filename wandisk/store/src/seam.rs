//! The seam under the engine: what it asks of `data.img`, the intent map and the chunk table.
//!
//! The engine is generic over a [`Store`]. The real one is the files of a
//! disk's folder; the crash explorer's is a fake that can lose, tear
//! and reorder what was not made durable, and fail at any operation. Calls are resolved at compile time: nothing here
//! costs the hot path anything (and front-ends move data on the file descriptor of `data.img`, past this seam).
//!
//! Invariant: everything that the engine does to the store of an open disk goes through these traits.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::channel::oneshot;

use crate::data::DataFile;
use crate::db::{Batch, CommitResult, Committer, DbError, HashRow, Loaded};
use crate::disk_dir::DiskDir;
use crate::intent::{Intent, IntentMap, Left};
use crate::moment::MomentError;
use crate::overlay::Sectors;
use crate::syncs::Syncs;

/// What holds one disk's bytes and records at one site.
pub trait Store: Sized + Send + Sync + 'static {
    /// The image.
    type Image: Image;
    /// The intent map.
    type Intents: Intents;
    /// The chunk table's writer.
    type Table: Table;
    /// What makes this process the disk's keeper; let go of after everything else.
    type Lock: Send + Sync;

    /// How long a wait for requests in flight may hold its thread before other tasks get a turn.
    const GRACE_SLICE: Duration;

    /// Runs work that blocks its thread on storage.
    fn blocking<T>(work: impl FnOnce() -> T) -> T;

    /// Runs work that only copies to or from the page cache, unless storage is slow.
    fn brief<T>(work: impl FnOnce() -> T) -> T {
        Self::blocking(work)
    }

    /// Keeps image and table as they are now beside the disk, in place of what was kept before; `false` where that cannot be
    /// done without copying the bytes. See [`Making`](crate::moment::Making).
    fn keep_moment(
        dir: &DiskDir,
        image: &Self::Image,
        table: &Self::Table,
    ) -> impl Future<Output = Result<bool, MomentError>> + Send;

    /// Lets go of what was kept, if anything was.
    ///
    /// # Errors
    /// The filesystem's.
    fn drop_moment(dir: &DiskDir) -> io::Result<()>;
}

/// A store whose parts are open, with what its table and its intent map said.
#[expect(missing_debug_implementations, reason = "the parts of a fake store need not have one")]
pub struct Opened<S: Store> {
    /// The table as loaded.
    pub loaded: Loaded,
    /// What a dead process of this boot left; `None` if there is none, or the machine went down.
    pub left: Option<Left>,
    /// The image.
    pub image: S::Image,
    /// The intent map, not yet cleared.
    pub intents: S::Intents,
    /// The table's writer.
    pub table: S::Table,
    /// The keeper's lock.
    pub lock: S::Lock,
}

/// `data.img`: see [`DataFile`] for each call's meaning and errors.
#[expect(clippy::missing_errors_doc, reason = "each call's errors are told at DataFile's method of its name")]
pub trait Image: Send + Sync + 'static {
    /// Size of the disk in bytes.
    fn size_bytes(&self) -> u64;
    /// Reads a chunk, zero-padded to the full chunk size.
    fn read_chunk(&self, chunk: u64) -> io::Result<Vec<u8>>;
    /// Writes a whole chunk.
    fn write_chunk(&self, chunk: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes whole sectors.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes a chunk a hole.
    fn punch_chunk(&self, chunk: u64) -> io::Result<()>;
    /// Makes a range read as zeros and gives its space back.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Makes a range read as zeros with its space allocated.
    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Does the chunk have blocks (or may it)?
    fn has_blocks(&self, chunk: u64) -> bool;
    /// Makes all data written so far durable.
    fn sync(&self) -> io::Result<()>;
}

/// The intent map: see [`IntentMap`].
#[expect(
    clippy::missing_errors_doc,
    reason = "each call's errors are told at IntentMap's method of its name"
)]
pub trait Intents: Send + Sync + 'static {
    /// Notes an intent, before the bytes change.
    fn set(&self, chunk: u64, intent: Intent) -> io::Result<()>;
    /// Notes which sectors of an overlaid chunk were written here, before that is acknowledged.
    fn set_sectors(&self, chunk: u64, sectors: &Sectors) -> io::Result<()>;
    /// The sectors noted for an overlaid chunk.
    fn sectors(&self, chunk: u64, chunk_size: u32) -> io::Result<Sectors>;
    /// Notes that the store failed: what was written may be called durable by mistake.
    fn note_failure(&self) -> io::Result<()>;
    /// Did the process whose map was opened note a failure?
    fn noted_failure(&self) -> bool;
    /// Forgets everything, since the table knows all.
    fn clear(&self) -> io::Result<()>;
}

/// The chunk table's writer: see [`Committer`].
pub trait Table: Send + Sync + 'static {
    /// Commits a batch; the receiver hears when it is durable. Batches commit in the order submitted.
    #[must_use = "a commit that nobody waits for may fail unseen"]
    fn submit(&self, batch: Batch) -> oneshot::Receiver<CommitResult>;

    /// The stored hashes of these chunks, those that have one.
    fn hashes(
        &self,
        chunks: Vec<u64>,
    ) -> impl Future<Output = Result<Vec<HashRow>, std::sync::Arc<DbError>>> + Send;

    /// How many transactions were committed since the table was opened.
    fn commits(&self) -> u64;

    /// How long the disk's syncs take. Commits are noted here; whoever syncs its image notes that, too.
    fn syncs(&self) -> &Syncs;

    /// Commits a batch and waits for it.
    fn commit(&self, batch: Batch) -> impl Future<Output = CommitResult> + Send {
        let heard = self.submit(batch);
        async move { heard.await.unwrap_or_else(|_| Err(std::sync::Arc::new(DbError::Stopped))) }
    }
}

impl Image for DataFile {
    fn size_bytes(&self) -> u64 {
        DataFile::size_bytes(self)
    }
    fn read_chunk(&self, chunk: u64) -> io::Result<Vec<u8>> {
        DataFile::read_chunk(self, chunk)
    }
    fn write_chunk(&self, chunk: u64, bytes: &[u8]) -> io::Result<()> {
        DataFile::write_chunk(self, chunk, bytes)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        DataFile::write_at(self, offset, bytes)
    }
    fn punch_chunk(&self, chunk: u64) -> io::Result<()> {
        DataFile::punch_chunk(self, chunk)
    }
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        DataFile::punch(self, offset, len)
    }
    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        DataFile::write_zeros(self, offset, len)
    }
    fn has_blocks(&self, chunk: u64) -> bool {
        DataFile::has_blocks(self, chunk)
    }
    fn sync(&self) -> io::Result<()> {
        DataFile::sync(self)
    }
}

impl Intents for IntentMap {
    fn set(&self, chunk: u64, intent: Intent) -> io::Result<()> {
        IntentMap::set(self, chunk, intent)
    }
    fn set_sectors(&self, chunk: u64, sectors: &Sectors) -> io::Result<()> {
        IntentMap::set_sectors(self, chunk, sectors)
    }
    fn sectors(&self, chunk: u64, chunk_size: u32) -> io::Result<Sectors> {
        IntentMap::sectors(self, chunk, chunk_size)
    }
    fn note_failure(&self) -> io::Result<()> {
        IntentMap::note_failure(self)
    }
    fn noted_failure(&self) -> bool {
        IntentMap::noted_failure(self)
    }
    fn clear(&self) -> io::Result<()> {
        IntentMap::clear(self)
    }
}

impl Table for Committer {
    fn submit(&self, batch: Batch) -> oneshot::Receiver<CommitResult> {
        Committer::submit(self, batch)
    }
    async fn hashes(&self, chunks: Vec<u64>) -> Result<Vec<HashRow>, std::sync::Arc<DbError>> {
        Committer::hashes(self, chunks).await
    }
    fn commits(&self) -> u64 {
        Committer::commits(self)
    }
    fn syncs(&self) -> &Syncs {
        Committer::syncs(self)
    }
}
