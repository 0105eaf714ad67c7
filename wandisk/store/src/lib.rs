//! One site's durable state: its home, and for each disk `data.img`, the SQLite chunk table and the intent map.
//!
//! This crate says what is on disk and makes it durable; *when* is decided by the engine above it. The byte
//! layouts are described in `docs/format.md`.
//!
//! Invariant: no network, no async, no policy here. Only [`db`] speaks SQL; only [`durable`] renames files.
//! Invariant: everything read back is checked before it is believed (identity, schema, lengths, relations).

#![forbid(unsafe_code)]

pub mod boot;
pub mod data;
pub mod db;
pub mod digest;
pub mod disk_dir;
pub mod durable;
mod failpoint;
pub mod folder;
pub mod home;
pub mod ids;
pub mod intent;
pub mod meta;
pub mod moment;
pub mod overlay;
mod reserve;
pub mod row;
pub mod seam;
pub mod syncs;
pub mod table;
pub mod tombstone;
pub mod trace;

pub use data::DataFile;
pub use db::{Batch, Committer, DbError, HashRow, Loaded};
pub use digest::TableDigest;
pub use disk_dir::{DiskDir, OpenError, is_no_space};
pub use folder::Folder;
pub use home::{Home, HomeError, SiteEntry};
pub use ids::{AttemptId, DiskId, Epoch, LineageId, SiteId, Version};
pub use intent::{Intent, IntentMap};
pub use meta::{Attempt, DiskMeta, Fork, KnownSite, Residency};
pub use overlay::{Overlay, Sectors};
pub use row::{PAGE_CHUNKS, Page, Row};
pub use seam::{Image, Intents, Opened, Store, Table};
pub use syncs::{SYNCS_KEPT, SyncTotals, Syncs};
pub use table::{ChunkTable, CopiedRows, Counts};
pub use tombstone::Tombstone;
pub use trace::Trace;
