//! Room kept for the table's own commits, so that a filesystem full of data can still say what that data is (law L8).
//!
//! Blocks are allocated past the end of the log and of the table (`fallocate`, `KEEP_SIZE`): SQLite grows into them, and
//! nobody else can take them. The log is used again from its beginning after a checkpoint and keeps its blocks.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Bytes of log that are always there: twice the size at which SQLite makes a checkpoint (1000 pages of 4 KiB).
pub(crate) const LOG_BYTES: u64 = 8 << 20;
/// Bytes that the table can grow by before room is kept anew.
pub(crate) const TABLE_BYTES: u64 = 1 << 20;

/// The room kept for one table.
///
/// Let go of it only after the connection is closed: closing any handle of a file drops this process's POSIX locks on it,
/// SQLite's among them.
#[derive(Debug)]
pub(crate) struct Reserve {
    log: File,
    table: File,
    /// Length of the table up to which there is room.
    table_upto: u64,
}

fn log_path(table: &Path) -> PathBuf {
    let mut name = table.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

impl Reserve {
    /// Opens the two files of a table in use.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub(crate) fn of(table: &Path) -> io::Result<Reserve> {
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        Ok(Reserve { log: open(&log_path(table))?, table: open(table)?, table_upto: 0 })
    }

    /// Keeps room where it is short. A filesystem that has none left now, or cannot promise any, is no error: commits go
    /// on as long as there is room.
    pub(crate) fn keep(&mut self) {
        let Ok(len) = self.table.metadata().map(|m| m.len()) else { return };
        if self.table_upto >= len + TABLE_BYTES / 2 {
            return;
        }
        let log = rustix::fs::fallocate(&self.log, FallocateFlags::KEEP_SIZE, 0, LOG_BYTES);
        let table = rustix::fs::fallocate(&self.table, FallocateFlags::KEEP_SIZE, len, TABLE_BYTES);
        if log.is_ok() && table.is_ok() {
            self.table_upto = len + TABLE_BYTES;
        }
    }
}
