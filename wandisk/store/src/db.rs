//! `table.db`: the chunk table on disk, and the one thread that writes it.
//!
//! All commits of a disk go through its [`Committer`]: one connection, which also checkpoints (SQLite before 3.51.3
//! could lose commits when another one did), `synchronous=FULL`, and group commit: whatever waits when
//! a commit ends goes into the next one.
//!
//! Invariant: a batch is in the database as a whole or not at all, and durable when its receiver hears `Ok`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use futures::channel::oneshot;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::digest::TableDigest;
use crate::failpoint::pass;
use crate::ids::Version;
use crate::meta::DiskMeta;
use crate::overlay::{Overlay, Sectors};
use crate::reserve::Reserve;
use crate::row::Page;
use crate::table::ChunkTable;

/// "WDSK": what `file` and other programs may know the table by.
pub const APPLICATION_ID: i32 = 0x5744_534b;
/// The schema that this program writes and reads.
pub const SCHEMA_VERSION: i32 = 2;
/// First SQLite without the WAL-reset bug.
const SQLITE_MIN: i32 = 3_051_003;
/// Batches that one transaction takes at most, so that its receivers do not wait for ever.
const GROUP_MAX: usize = 256;

const OVERLAY_TABLE: &str =
    "CREATE TABLE overlay (chunk INTEGER PRIMARY KEY, base INTEGER NOT NULL, sectors BLOB NOT NULL) STRICT;";

/// Why a table could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite's own words.
    #[error("the chunk table could not be used")]
    Sql(#[from] rusqlite::Error),
    /// The linked SQLite is too old to be trusted.
    #[error("this program runs on SQLite {found}, which can lose commits; at least 3.51.3 is needed")]
    SqliteTooOld {
        /// Version number as SQLite tells it.
        found: i32,
    },
    /// The file is not a chunk table.
    #[error("{} is not a WANDisk chunk table", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error(
        "the chunk table has schema {found}, this program knows schemas up to {SCHEMA_VERSION}; use a newer wandisk"
    )]
    NewerSchema {
        /// Its schema.
        found: i32,
    },
    /// Something in it makes no sense.
    #[error("the chunk table is damaged: {what}")]
    Damaged {
        /// What does not.
        what: String,
    },
    /// The committer has stopped.
    #[error("the chunk table's writer has stopped after an earlier error")]
    Stopped,
}

impl DbError {
    /// Did the filesystem have no room?
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, DbError::Sql(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// The BLAKE3 of a chunk at a version, kept when it was computed anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRow {
    /// The chunk.
    pub chunk: u64,
    /// The version it is of.
    pub version: Version,
    /// BLAKE3 of the zero-padded chunk.
    pub hash: [u8; 32],
}

/// What one commit changes.
#[derive(Debug, Default)]
pub struct Batch {
    /// Page images to store.
    pub pages: Vec<(u64, Vec<u8>)>,
    /// Digest of the whole table as of these pages.
    pub digest: Option<TableDigest>,
    /// The disk's facts.
    pub meta: Option<DiskMeta>,
    /// Extents to mark hot.
    pub hot_add: Vec<u64>,
    /// Extents whose mark is dropped.
    pub hot_remove: Vec<u64>,
    /// Drop every mark (with the other changes, as one).
    pub hot_clear: bool,
    /// Hashes to keep.
    pub hashes: Vec<HashRow>,
    /// Overlays to store, or (`None`) to drop.
    pub overlays: Vec<(u64, Option<Overlay>)>,
}

/// A table as loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The disk's facts.
    pub meta: DiskMeta,
    /// The rows.
    pub table: ChunkTable,
    /// Extents that are marked hot.
    pub hot: BTreeSet<u64>,
    /// What was written here of chunks whose bytes are elsewhere.
    pub overlays: BTreeMap<u64, Overlay>,
}

/// SQLite's page cache while the whole table is read once, in order: more would only stay behind in the heap.
const LOADING_CACHE_KIB: i32 = 64;
/// SQLite's page cache of a keeper at work.
const CACHE_KIB: i32 = 2048;

fn connect(path: &Path, create: bool) -> Result<Connection, DbError> {
    let found = rusqlite::version_number();
    if found < SQLITE_MIN {
        return Err(DbError::SqliteTooOld { found });
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let db = Connection::open_with_flags(path, flags)?;
    // One keeper a disk: no shared-memory file, and no second program by accident.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "cache_size", -LOADING_CACHE_KIB)?;
    Ok(db)
}

fn set_durable(db: &Connection) -> Result<(), DbError> {
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))?;
    if mode != "wal" {
        return Err(DbError::Damaged { what: format!("it stays in journal mode {mode}") });
    }
    // Not stored in the file: must be said at each open.
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(())
}

/// Creates a table that holds `meta` and `table`.
///
/// # Errors
/// If the file is there already or cannot be written.
pub fn create(path: &Path, meta: &DiskMeta, table: &mut ChunkTable) -> Result<(), DbError> {
    let mut db = connect(path, true)?;
    set_durable(&db)?;
    let tx = db.transaction()?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.execute_batch(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE page (number INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
         CREATE TABLE hot (extent INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE hash (chunk INTEGER PRIMARY KEY, version INTEGER NOT NULL, blake3 BLOB NOT NULL) STRICT;",
    )?;
    tx.execute_batch(OVERLAY_TABLE)?;
    let pages = table.take_changed();
    apply(&tx, &Batch { pages, digest: Some(table.digest()), meta: Some(meta.clone()), ..Batch::default() })?;
    tx.commit()?;
    db.close().map_err(|(_, e)| DbError::Sql(e))
}

/// Reads a table and hands its connection to a new committer.
///
/// # Errors
/// See [`DbError`]; nothing is changed in the file then.
pub fn open(path: &Path) -> Result<(Loaded, Committer), DbError> {
    let not_a_table = || DbError::NotATable { path: path.to_owned() };
    let db = connect(path, false)?;
    let id: i32 = match db.query_row("PRAGMA application_id", [], |r| r.get(0)) {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(not_a_table());
        }
        other => other?,
    };
    if id != APPLICATION_ID {
        return Err(not_a_table());
    }
    let schema: i32 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if schema > SCHEMA_VERSION {
        return Err(DbError::NewerSchema { found: schema });
    }
    set_durable(&db)?;
    if schema < SCHEMA_VERSION {
        upgrade(&db)?;
    }
    let loaded = load(&db)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // A table that can be read is of use even where no room can be kept for its growth.
    let mut reserve = Reserve::of(path).ok();
    reserve.iter_mut().for_each(Reserve::keep);
    Ok((loaded, Committer::start(db, reserve)))
}

/// Schema 2 has overlays: a program that knows only schema 1 would take their bytes for a basis, so it must refuse.
fn upgrade(db: &Connection) -> Result<(), DbError> {
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(OVERLAY_TABLE)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(tx.commit()?)
}

fn load(db: &Connection) -> Result<Loaded, DbError> {
    let damaged = |what: &str| DbError::Damaged { what: what.to_owned() };
    let meta = load_meta(db)?;
    let mut table = ChunkTable::default();
    let mut statement = db.prepare("SELECT number, rows FROM page ORDER BY number")?;
    let mut rows = statement.query([])?;
    let last_page = meta.chunks().saturating_sub(1) / crate::row::PAGE_CHUNKS;
    while let Some(row) = rows.next()? {
        let number =
            u64::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a page has a negative number"))?;
        let bytes = row.get_ref(1)?.as_blob().map_err(|_| damaged("a page is no blob"))?;
        let page = Page::decode(bytes).ok_or_else(|| damaged(&format!("page {number} makes no sense")))?;
        if number > last_page {
            return Err(damaged(&format!("page {number} is past the end of the disk")));
        }
        table.load_page(number, page);
    }
    let digest: Option<String> = get_meta(db, "digest")?;
    let digest =
        digest.and_then(|d| serde_json::from_str(&d).ok()).ok_or_else(|| damaged("it has no digest"))?;
    table.loaded(digest);
    let mut statement = db.prepare("SELECT extent FROM hot")?;
    let hot = statement.query_map([], |r| r.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    let hot = hot.into_iter().filter_map(|e| u64::try_from(e).ok()).collect();
    let overlays = load_overlays(db, &meta)?;
    Ok(Loaded { meta, table, hot, overlays })
}

fn load_overlays(db: &Connection, meta: &DiskMeta) -> Result<BTreeMap<u64, Overlay>, DbError> {
    let mut statement = db.prepare("SELECT chunk, base, sectors FROM overlay")?;
    let mut rows = statement.query([])?;
    let mut overlays = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let chunk = u64::try_from(row.get::<_, i64>(0)?).ok().filter(|chunk| *chunk < meta.chunks());
        let sectors = row.get_ref(2)?.as_blob().ok().and_then(|b| Sectors::from_bytes(b, meta.chunk_size));
        let (Some(chunk), Some(sectors)) = (chunk, sectors) else {
            return Err(DbError::Damaged { what: "an overlay makes no sense".to_owned() });
        };
        let base = Version(row.get::<_, i64>(1)?.cast_unsigned());
        overlays.insert(chunk, Overlay { base, sectors });
    }
    Ok(overlays)
}

fn load_meta(db: &Connection) -> Result<DiskMeta, DbError> {
    let mut map = serde_json::Map::new();
    let mut statement = db.prepare("SELECT key, value FROM meta")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
        let value = serde_json::from_str(&value)
            .map_err(|_| DbError::Damaged { what: format!("the value of {key:?} is not JSON") })?;
        map.insert(key, value);
    }
    let meta: DiskMeta = serde_json::from_value(serde_json::Value::Object(map))
        .map_err(|e| DbError::Damaged { what: format!("the disk's facts are incomplete ({e})") })?;
    meta.check().map_err(|what| DbError::Damaged { what })?;
    Ok(meta)
}

fn get_meta(db: &Connection, key: &str) -> Result<Option<String>, DbError> {
    Ok(db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()?)
}

fn sql_int(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_| DbError::Damaged { what: format!("{value} is too large to store") })
}

fn apply(tx: &Connection, batch: &Batch) -> Result<(), DbError> {
    let mut page = tx.prepare_cached("INSERT OR REPLACE INTO page (number, rows) VALUES (?1, ?2)")?;
    for (number, rows) in &batch.pages {
        page.execute(params![sql_int(*number)?, rows])?;
    }
    let mut set = tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
    if let Some(digest) = &batch.digest {
        set.execute(params!["digest", json(digest)?])?;
    }
    if let Some(meta) = &batch.meta {
        let value = serde_json::to_value(meta).map_err(|e| DbError::Damaged { what: e.to_string() })?;
        for (key, value) in value.as_object().into_iter().flatten() {
            set.execute(params![key, value.to_string()])?;
        }
    }
    if batch.hot_clear {
        tx.execute("DELETE FROM hot", [])?;
    }
    let mut cool = tx.prepare_cached("DELETE FROM hot WHERE extent = ?1")?;
    for extent in &batch.hot_remove {
        cool.execute([sql_int(*extent)?])?;
    }
    let mut heat = tx.prepare_cached("INSERT OR IGNORE INTO hot (extent) VALUES (?1)")?;
    for extent in &batch.hot_add {
        heat.execute([sql_int(*extent)?])?;
    }
    let mut hash =
        tx.prepare_cached("INSERT OR REPLACE INTO hash (chunk, version, blake3) VALUES (?1, ?2, ?3)")?;
    for row in &batch.hashes {
        hash.execute(params![sql_int(row.chunk)?, row.version.0.cast_signed(), row.hash])?;
    }
    let mut drop = tx.prepare_cached("DELETE FROM overlay WHERE chunk = ?1")?;
    let mut keep =
        tx.prepare_cached("INSERT OR REPLACE INTO overlay (chunk, base, sectors) VALUES (?1, ?2, ?3)")?;
    for (chunk, overlay) in &batch.overlays {
        let chunk = sql_int(*chunk)?;
        match overlay {
            Some(o) => keep.execute(params![chunk, o.base.0.cast_signed(), o.sectors.as_bytes()])?,
            None => drop.execute([chunk])?,
        };
    }
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|e| DbError::Damaged { what: e.to_string() })
}

/// How a commit ended; shared by all batches of its group.
pub type CommitResult = Result<(), Arc<DbError>>;

enum Job {
    Commit(Box<Batch>, oneshot::Sender<CommitResult>),
    Hashes(Vec<u64>, oneshot::Sender<Result<Vec<HashRow>, Arc<DbError>>>),
}

/// The thread that writes one table. Dropping it ends the thread after what was submitted.
#[derive(Debug)]
pub struct Committer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Committer {
    fn start(db: Connection, reserve: Option<Reserve>) -> Committer {
        let (jobs, queue) = mpsc::channel();
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("wandisk-table".to_owned())
            .spawn(move || run(db, reserve, &queue, &counter))
            .ok();
        Committer { jobs: Some(jobs), thread, commits }
    }

    /// Commits a batch; the receiver hears when it is durable. Batches commit in the order submitted.
    #[must_use = "a commit that nobody waits for may fail unseen"]
    pub fn submit(&self, batch: Batch) -> oneshot::Receiver<CommitResult> {
        let (tell, hear) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            // A stopped thread drops the sender, which the receiver sees as cancelled.
            jobs.send(Job::Commit(Box::new(batch), tell)).ok();
        }
        hear
    }

    /// Commits a batch and waits for it.
    ///
    /// # Errors
    /// As the commit ended.
    pub async fn commit(&self, batch: Batch) -> CommitResult {
        self.submit(batch).await.unwrap_or_else(|_| Err(Arc::new(DbError::Stopped)))
    }

    /// The stored hashes of these chunks, those that have one.
    ///
    /// # Errors
    /// As the query ended.
    pub async fn hashes(&self, chunks: Vec<u64>) -> Result<Vec<HashRow>, Arc<DbError>> {
        let (tell, hear) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            jobs.send(Job::Hashes(chunks, tell)).ok();
        }
        hear.await.unwrap_or_else(|_| Err(Arc::new(DbError::Stopped)))
    }

    /// How many transactions were committed since the table was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(mut db: Connection, mut reserve: Option<Reserve>, queue: &mpsc::Receiver<Job>, commits: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(batch, tell) => group.push((batch, tell)),
                Job::Hashes(chunks, tell) => {
                    tell.send(read_hashes(&db, &chunks).map_err(Arc::new)).ok();
                }
            }
            next = if group.len() < GROUP_MAX { queue.try_recv().ok() } else { None };
        }
        if group.is_empty() {
            continue;
        }
        let result = commit_group(&mut db, group.iter().map(|(batch, _)| batch.as_ref())).map_err(Arc::new);
        if result.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        }
        for (_, tell) in group {
            tell.send(result.clone()).ok();
        }
        // After the answer: nobody waits for it.
        reserve.iter_mut().for_each(Reserve::keep);
    }
    // In this order: see `Reserve`.
    drop(db);
    drop(reserve);
}

fn commit_group<'a>(db: &mut Connection, group: impl Iterator<Item = &'a Batch>) -> Result<(), DbError> {
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    pass();
    for batch in group {
        apply(&tx, batch)?;
        pass();
    }
    tx.commit()?;
    pass();
    Ok(())
}

fn read_hashes(db: &Connection, chunks: &[u64]) -> Result<Vec<HashRow>, DbError> {
    let mut statement = db.prepare_cached("SELECT version, blake3 FROM hash WHERE chunk = ?1")?;
    let mut found = Vec::new();
    for chunk in chunks {
        let row: Option<(i64, Vec<u8>)> =
            statement.query_row([sql_int(*chunk)?], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        let row = row.and_then(|(v, h)| Some((Version(v.cast_unsigned()), <[u8; 32]>::try_from(h).ok()?)));
        found.extend(row.map(|(version, hash)| HashRow { chunk: *chunk, version, hash }));
    }
    Ok(found)
}
