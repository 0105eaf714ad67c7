//! Room kept for the table's own commits, so that a filesystem full of data can still say what that data is (law L8).
//!
//! Blocks are allocated past the end of the log and of the table (`fallocate`, `KEEP_SIZE`): SQLite grows into them, and
//! nobody else can take them. The log is used again from its beginning after a checkpoint and keeps its blocks.
//!
//! SQLite removes the log when the table is closed. So that a filesystem which fills up until the next keeper begins does not
//! shut it out, a little is kept meanwhile, in a file of its own beside the table, and given up for the log where nothing else
//! is left. Nothing is ever in that file, and nothing depends on it.
//!
//! Invariant: what is free is not taken to its last bytes: sockets, maps and logs want some.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Bytes of log that are always there: twice the size at which SQLite makes a checkpoint (1000 pages of 4 KiB).
pub(crate) const LOG_BYTES: u64 = 8 << 20;
/// Bytes that the table can grow by before room is kept anew.
pub(crate) const TABLE_BYTES: u64 = 1 << 20;
/// Bytes that are kept while nobody has the table open: half of them for the log, half for the table, which some commits of
/// a disk's facts need.
pub(crate) const ROOM_BYTES: u64 = 512 << 10;
/// The file that they are kept in.
const ROOM: &str = "room";
/// Bytes that are left for others.
const LEFT_BYTES: u64 = 1 << 20;

/// The room kept for one table.
///
/// Let go of it only after the connection is closed: closing any handle of a file drops this process's POSIX locks on it,
/// SQLite's among them.
#[derive(Debug)]
pub(crate) struct Reserve {
    log: File,
    table: File,
    /// What is kept while nobody has the table open.
    room: PathBuf,
    log_kept: bool,
    room_given_up: bool,
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
        let (log, table_file) = (open(&log_path(table))?, open(table)?);
        let room = table.with_file_name(ROOM);
        Ok(Reserve { log, table: table_file, room, log_kept: false, room_given_up: false, table_upto: 0 })
    }

    /// Keeps room where it is short. A filesystem that has none left now, or cannot promise any, is no error: commits go
    /// on as long as there is room.
    pub(crate) fn keep(&mut self) {
        let Ok(len) = self.table.metadata().map(|m| m.len()) else { return };
        if self.table_upto >= len + TABLE_BYTES / 2 {
            return;
        }
        if !self.log_kept {
            // A keeper that was killed left it.
            let is_there = self.log.metadata().is_ok_and(|m| m.blocks() * 512 >= LOG_BYTES);
            let has_room = || self.leaves_some(LOG_BYTES + TABLE_BYTES);
            self.log_kept = is_there || has_room() && keep(&self.log, 0, LOG_BYTES);
        }
        if !self.log_kept && !self.room_given_up {
            self.room_given_up = true;
            std::fs::remove_file(&self.room).ok();
            keep(&self.log, 0, ROOM_BYTES / 2);
            keep(&self.table, len, ROOM_BYTES / 2);
        }
        if self.log_kept && self.leaves_some(TABLE_BYTES) && keep(&self.table, len, TABLE_BYTES) {
            self.table_upto = len + TABLE_BYTES;
        }
    }

    /// Would others have some of what is free if so much were taken?
    fn leaves_some(&self, bytes: u64) -> bool {
        rustix::fs::fstatvfs(&self.table).map_or(true, |stat| {
            stat.f_bavail.saturating_mul(stat.f_frsize) >= bytes.saturating_add(LEFT_BYTES)
        })
    }

    /// The table was closed: a little is kept until it is opened again.
    pub(crate) fn close(self) {
        let Reserve { log, table, room, .. } = self;
        drop((log, table));
        let is_there = std::fs::metadata(&room).is_ok_and(|m| m.len() >= ROOM_BYTES);
        if !is_there && make_room(&room).is_err() {
            std::fs::remove_file(&room).ok();
        }
    }
}

/// Room of a file's own behind its end, which does not move.
fn keep(file: &File, from: u64, bytes: u64) -> bool {
    rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, from, bytes).is_ok()
}

fn make_room(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, ROOM_BYTES)?)
}
