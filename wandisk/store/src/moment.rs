//! A replica's last consistent moment, kept beside it while the next one is mixed in (law L13).
//!
//! `moment/` in the disk's folder has a clone of `data.img` that shares its blocks (a reflink: no byte is copied, and a
//! filesystem that cannot do that keeps no moment) and a copy of the table as of the same moment. It is there whole or not at
//! all. To go back to it is told by a file in it; the next keeper does it before it opens anything, and one
//! that dies in the middle leaves it to the one after it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::data::DataFile;
use crate::db::{self, DbError};
use crate::disk_dir::{DiskDir, KeeperLock, restrict};
use crate::durable;
use crate::failpoint::pass;
use crate::meta::DiskMeta;

/// Says that the disk goes back to the moment.
const GO_BACK: &str = "go-back";

/// Why a moment could not be kept, or gone back to.
#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    /// The filesystem's words.
    #[error(transparent)]
    Files(#[from] io::Error),
    /// Its table's.
    #[error(transparent)]
    Table(Arc<DbError>),
    /// The facts of now and of then do not go together.
    #[error("the kept moment is of another lineage than the disk")]
    OfNoUse,
}

/// A moment that is being made; dropped, it is removed.
#[derive(Debug)]
pub struct Making {
    beside: PathBuf,
    place: PathBuf,
    done: bool,
}

impl Making {
    /// Begins a moment of the disk in `dir`: clones its image. `None` where the filesystem cannot share blocks.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn begin(dir: &DiskDir, data: &DataFile) -> io::Result<Option<Making>> {
        let beside = dir.unfinished_moment();
        remove(&beside)?;
        durable::create_dir(&beside)?;
        let making = Making { beside, place: dir.moment_path(), done: false };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(making.image())?;
        match rustix::fs::ioctl_ficlone(&file, data) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
                return Ok(None);
            }
            Err(e) => return Err(e.into()),
        }
        file.sync_all()?;
        Ok(Some(making))
    }

    fn image(&self) -> PathBuf {
        self.beside.join("data.img")
    }

    /// Where the copy of the table goes.
    #[must_use]
    pub fn table(&self) -> PathBuf {
        self.beside.join("table.db")
    }

    /// Image and table are there: makes them the kept moment, durably, in place of an earlier one.
    ///
    /// # Errors
    /// Whatever the filesystem says; an earlier moment may be gone then.
    pub fn keep(mut self) -> io::Result<()> {
        restrict(&self.table())?;
        fs::File::open(self.table())?.sync_all()?;
        durable::sync_dir(&self.beside)?;
        remove(&self.place)?;
        durable::rename(&self.beside, &self.place)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.done {
            remove(&self.beside).ok();
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl DiskDir {
    /// The kept moment.
    #[must_use]
    pub fn moment_path(&self) -> PathBuf {
        self.path().join("moment")
    }

    fn unfinished_moment(&self) -> PathBuf {
        self.path().join("moment.new")
    }

    /// Forgets a kept moment.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn drop_moment(&self) -> io::Result<()> {
        remove(&self.moment_path())
    }

    /// From the next keeper on the disk is what it was at its kept moment. `facts` makes of the facts of then those that
    /// the disk has from then on: bytes and rows go back, what is known of sites and hand-overs does not (law L1).
    ///
    /// # Errors
    /// [`MomentError`]; the disk does not go back then.
    pub fn tell_to_go_back(
        &self,
        facts: impl FnOnce(DiskMeta) -> Option<DiskMeta>,
    ) -> Result<(), MomentError> {
        let moment = self.moment_path();
        let changed = db::change_facts(&moment.join("table.db"), facts);
        if !changed.map_err(|e| MomentError::Table(Arc::new(e)))? {
            return Err(MomentError::OfNoUse);
        }
        Ok(durable::replace_file(&moment.join(GO_BACK), b"")?)
    }

    /// Puts the kept moment in place, if that was told. Can be repeated after a death at any point: each step is done again or
    /// finds nothing to do, and the word that tells it goes last.
    ///
    /// # Errors
    /// Whatever the filesystem says; the disk must not be opened then.
    pub fn go_back_if_told(&self, _lock: &KeeperLock) -> io::Result<bool> {
        remove(&self.unfinished_moment())?;
        let moment = self.moment_path();
        if !moment.join(GO_BACK).exists() {
            return Ok(false);
        }
        // What a dead process had in hand was of the other table.
        for stale in [self.intent_path(), self.path().join("overlay.map")] {
            remove_file(&stale)?;
            pass();
        }
        replace(&moment.join("data.img"), &self.data_path())?;
        if moment.join("table.db").exists() {
            for log in ["table.db-wal", "table.db-shm"] {
                remove_file(&self.path().join(log))?;
            }
            pass();
            replace(&moment.join("table.db"), &self.table_path())?;
        }
        pass();
        remove_file(&moment.join(GO_BACK))?;
        durable::sync_dir(&moment)?;
        pass();
        remove(&moment)?;
        Ok(true)
    }
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    if from.exists() { durable::rename(from, to) } else { Ok(()) }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
