//! `disks/<name>/`: the files of one disk at one site, and the lock that makes one process its keeper.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::data::DataFile;
use crate::db::{self, Committer, DbError, Loaded};
use crate::durable;
use crate::folder::Folder;
use crate::ids::DiskId;
use crate::meta::DiskMeta;
use crate::table::ChunkTable;

/// The socket that a disk's keeper listens at, in the disk's folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Why a disk's files could not be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing there.
    #[error("there is no disk named {name:?} at this site")]
    NoSuchDisk {
        /// The name asked for.
        name: String,
    },
    /// Something there already.
    #[error("a disk named {name:?} exists at this site already")]
    Exists {
        /// The name asked for.
        name: String,
    },
    /// Another process is the keeper.
    #[error("another process keeps this disk")]
    Kept,
    /// The table is of another disk, or unreadable.
    #[error(transparent)]
    Table(#[from] DbError),
    /// The table is of another disk than the folder.
    #[error("the chunk table is of disk {table}, not of the disk in whose folder it lies")]
    OtherDisk {
        /// The table's disk.
        table: DiskId,
    },
    /// The image does not belong to the table.
    #[error("data.img does not fit the chunk table beside it")]
    Data(#[source] io::Error),
    /// The filesystem's words.
    #[error("{what} failed")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl OpenError {
    /// Did the filesystem have no room?
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            OpenError::Table(e) => e.is_no_space(),
            OpenError::Data(e) | OpenError::Io { source: e, .. } => is_no_space(e),
            _ => false,
        }
    }
}

/// Did the filesystem have no room?
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, source }
}

/// The UUID of the disk in folder `path`.
///
/// The table itself belongs to its keeper alone, so the UUID stands beside it too.
#[must_use]
pub fn uuid_of(path: &Path) -> Option<DiskId> {
    let text = fs::read_to_string(path.join("uuid")).ok()?;
    text.trim().parse().ok().map(DiskId)
}

/// The folder of one disk.
#[derive(Clone, Debug)]
pub struct DiskDir {
    path: PathBuf,
    name: String,
}

/// Held by the disk's keeper; the kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct KeeperLock {
    folder: Folder,
    _file: OwnedFd,
}

impl KeeperLock {
    /// The folder that the lock lies in: the keeper's own, even where another one has come to its path.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl DiskDir {
    /// The folder `path` of the disk called `name`; it need not exist.
    #[must_use]
    pub fn new(path: PathBuf, name: &str) -> DiskDir {
        DiskDir { path, name: name.to_owned() }
    }

    /// The disk's name at this site.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the keeper listens.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path.join(CONTROL_SOCKET)
    }

    /// The sparse raw image.
    #[must_use]
    pub fn data_path(&self) -> PathBuf {
        self.path.join("data.img")
    }

    /// The chunk table.
    #[must_use]
    pub fn table_path(&self) -> PathBuf {
        self.path.join("table.db")
    }

    /// The intent map.
    #[must_use]
    pub fn intent_path(&self) -> PathBuf {
        self.path.join("intent.map")
    }

    /// What a background keeper writes to its standard error.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("keeper.log")
    }

    /// Is there a complete disk?
    #[must_use]
    pub fn exists(&self) -> bool {
        self.table_path().exists()
    }

    /// Creates the disk's files in a folder of a temporary name, calls `fill` to write the image and fill the
    /// table, and renames the folder into place: a crash leaves a whole disk or none.
    ///
    /// # Errors
    /// [`OpenError::Exists`], or what the filesystem or `fill` said; nothing is left behind then.
    pub fn create<E: From<OpenError>>(
        &self,
        meta: &DiskMeta,
        fill: impl FnOnce(&Path, &DataFile, &mut DiskMeta, &mut ChunkTable) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.path.exists() {
            return Err(OpenError::Exists { name: self.name.clone() }.into());
        }
        let beside = self.path.with_file_name(format!(".{}.{}", self.name, std::process::id()));
        let result = self.create_at(&beside, meta, fill);
        if result.is_err() {
            fs::remove_dir_all(&beside).ok();
        }
        result
    }

    fn create_at<E: From<OpenError>>(
        &self,
        beside: &Path,
        meta: &DiskMeta,
        fill: impl FnOnce(&Path, &DataFile, &mut DiskMeta, &mut ChunkTable) -> Result<(), E>,
    ) -> Result<(), E> {
        if beside.exists() {
            fs::remove_dir_all(beside).map_err(io_error("removing what an earlier attempt left"))?;
        }
        durable::create_dir(beside).map_err(io_error("creating the disk's folder"))?;
        let image = beside.join("data.img");
        let data = DataFile::create(&image, meta.size_bytes, meta.chunk_size)
            .map_err(io_error("creating data.img"))?;
        let (mut meta, mut table) = (meta.clone(), ChunkTable::default());
        fill(&image, &data, &mut meta, &mut table)?;
        data.sync().map_err(io_error("making data.img durable"))?;
        let table_path = beside.join("table.db");
        db::create(&table_path, &meta, &mut table).map_err(OpenError::Table)?;
        durable::replace_file(&beside.join("uuid"), format!("{}\n", meta.uuid).as_bytes())
            .map_err(io_error("writing the disk's UUID"))?;
        restrict(&table_path).map_err(io_error("setting the table's mode"))?;
        durable::sync_dir(beside).map_err(io_error("making the disk's folder durable"))?;
        if self.path.exists() {
            return Err(OpenError::Exists { name: self.name.clone() }.into());
        }
        durable::rename(beside, &self.path).map_err(io_error("moving the disk into place"))?;
        Ok(())
    }

    /// Becomes the disk's keeper.
    ///
    /// # Errors
    /// [`OpenError::Kept`] while another process is.
    pub fn lock(&self) -> Result<KeeperLock, OpenError> {
        if !self.exists() {
            return Err(OpenError::NoSuchDisk { name: self.name.clone() });
        }
        let folder = Folder::open(&self.path).map_err(io_error("opening the disk's folder"))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, "lock", flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| io_error("opening the lock file")(e.into()))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(KeeperLock { folder, _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Kept),
            Err(e) => Err(io_error("locking the disk")(e.into())),
        }
    }

    /// Opens table and image. The caller is the keeper.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed then.
    pub fn open(&self, _lock: &KeeperLock) -> Result<(Loaded, Committer, DataFile), OpenError> {
        let (loaded, committer) = db::open(&self.table_path())?;
        if uuid_of(&self.path) != Some(loaded.meta.uuid) {
            return Err(OpenError::OtherDisk { table: loaded.meta.uuid });
        }
        let (size, chunk_size) = (loaded.meta.size_bytes, loaded.meta.chunk_size);
        let data = DataFile::open(&self.data_path(), size, chunk_size).map_err(OpenError::Data)?;
        Ok((loaded, committer, data))
    }

    /// Removes the disk's files. The caller is the keeper.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn remove(&self, _lock: KeeperLock) -> io::Result<()> {
        let beside = self.path.with_file_name(format!(".{}.removed.{}", self.name, std::process::id()));
        durable::rename(&self.path, &beside)?;
        fs::remove_dir_all(&beside)
    }
}

pub(crate) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}
