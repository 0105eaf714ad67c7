//! `table.db`: the chunk table on disk, and the one thread that writes it.
//!
//! All commits of a disk go through its [`Committer`]: one connection, which also checkpoints (SQLite before 3.51.3
//! could lose commits when another one did), `synchronous=FULL`, and group commit: whatever waits when
//! a commit ends goes into the next one.
//!
//! Invariant: a batch is in the database as a whole or not at all, and durable when its receiver hears `Ok`.

mod committer;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::digest::TableDigest;
use crate::ids::Version;
use crate::meta::DiskMeta;
use crate::overlay::Overlay;
use crate::table::ChunkTable;

pub use committer::{CommitResult, Committer};
pub use file::{change_facts, create, open};

/// "WDSK": what `file` and other programs may know the table by.
pub const APPLICATION_ID: i32 = 0x5744_534b;
/// The schema that this program writes and reads.
pub const SCHEMA_VERSION: i32 = 2;

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

fn sql_int(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_| DbError::Damaged { what: format!("{value} is too large to store") })
}
