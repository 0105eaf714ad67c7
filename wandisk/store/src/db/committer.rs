//! The thread that commits, and what a batch does to the tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use futures::channel::oneshot;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Batch, DbError, HashRow, sql_int};
use crate::failpoint::pass;
use crate::ids::Version;
use crate::reserve::Reserve;
use crate::syncs::Syncs;

/// Batches that one transaction takes at most, so that its receivers do not wait for ever.
const GROUP_MAX: usize = 256;

/// How a commit ended; shared by all batches of its group.
pub type CommitResult = Result<(), Arc<DbError>>;

enum Job {
    Commit(Box<Batch>, oneshot::Sender<CommitResult>),
    Copy(PathBuf, oneshot::Sender<CommitResult>),
    Hashes(Vec<u64>, oneshot::Sender<Result<Vec<HashRow>, Arc<DbError>>>),
}

/// The thread that writes one table. Dropping it ends the thread after what was submitted.
#[derive(Debug)]
pub struct Committer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the thread tells of itself.
#[derive(Debug, Default)]
struct Shared {
    commits: AtomicU64,
    syncs: Syncs,
}

impl Committer {
    pub(super) fn start(db: Connection, reserve: Option<Reserve>) -> Committer {
        let (jobs, queue) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let telling = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("wandisk-table".to_owned())
            .spawn(move || run(db, reserve, &queue, &telling))
            .ok();
        Committer { jobs: Some(jobs), thread, shared }
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

    /// Writes a copy of the whole table, as of what was submitted before, to a file that is not there yet.
    ///
    /// # Errors
    /// As the copy ended.
    pub async fn copy_to(&self, path: PathBuf) -> CommitResult {
        let (tell, hear) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            jobs.send(Job::Copy(path, tell)).ok();
        }
        hear.await.unwrap_or_else(|_| Err(Arc::new(DbError::Stopped)))
    }

    /// How many transactions were committed since the table was opened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// How long commits took, and what else of the disk is synced and noted here.
    #[must_use]
    pub fn syncs(&self) -> &Syncs {
        &self.shared.syncs
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

fn run(mut db: Connection, mut reserve: Option<Reserve>, queue: &mpsc::Receiver<Job>, shared: &Shared) {
    while let Ok(first) = queue.recv() {
        let mut group = Vec::new();
        let mut copy = None;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(batch, tell) => group.push((batch, tell)),
                Job::Copy(path, tell) => copy = Some((path, tell)),
                Job::Hashes(chunks, tell) => {
                    tell.send(read_hashes(&db, &chunks).map_err(Arc::new)).ok();
                }
            }
            next = if group.len() < GROUP_MAX && copy.is_none() { queue.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            let batches = group.iter().map(|(batch, _)| batch.as_ref());
            let result = commit_group(&mut db, batches, &shared.syncs).map_err(Arc::new);
            if result.is_ok() {
                shared.commits.fetch_add(1, Ordering::Relaxed);
            }
            for (_, tell) in group {
                tell.send(result.clone()).ok();
            }
        }
        if let Some((path, tell)) = copy {
            // After what was submitted before it.
            tell.send(write_copy(&db, &path).map_err(Arc::new)).ok();
        }
        // After the answer: nobody waits for it.
        reserve.iter_mut().for_each(Reserve::keep);
    }
    // In this order: see `Reserve`.
    drop(db);
    reserve.into_iter().for_each(Reserve::close);
}

/// SQLite's own copy: application id, schema version and all.
fn write_copy(db: &Connection, path: &Path) -> Result<(), DbError> {
    let path = path.to_str().ok_or_else(|| DbError::Damaged { what: "its path is not UTF-8".to_owned() })?;
    db.execute("VACUUM INTO ?1", [path])?;
    Ok(())
}

fn commit_group<'a>(
    db: &mut Connection,
    group: impl Iterator<Item = &'a Batch>,
    syncs: &Syncs,
) -> Result<(), DbError> {
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    pass();
    for batch in group {
        apply(&tx, batch)?;
        pass();
    }
    syncs.timed(|| tx.commit())?;
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

pub(super) fn apply(tx: &Connection, batch: &Batch) -> Result<(), DbError> {
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
