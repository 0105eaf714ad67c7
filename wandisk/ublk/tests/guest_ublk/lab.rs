//! What the tests work with: a disk that can be made cold or sick, a device that is stopped when a test ends, and
//! programs run to their end.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::channel::oneshot;
use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;
use wandisk_io::{ChunkState, Disk, Extent, Geometry, HotMap, IoError, IoFuture, Lane, Op, Ticket, ZeroMode};
use wandisk_ublk::{Device, Options};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const CHUNK: u64 = 128 << 10;
/// Longer than anything in a guest takes that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The mark of the tests' devices.
pub(crate) const MARK: u64 = 0x7e57;

/// What the cold way does with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cold {
    /// Gives leave at once.
    #[default]
    Open,
    /// Lets them wait for [`LabDisk::release`].
    Wait,
    /// Refuses them.
    Refuse(IoError),
}

/// What was asked of the disk beside moving data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Begin(Op, u64, u64),
    Flush,
    Zero(u64, u64, ZeroMode),
}

/// A file whose every chunk starts as writable.
#[derive(Debug)]
pub(crate) struct LabDisk {
    file: File,
    geometry: Geometry,
    hot: HotMap,
    cold: Mutex<Cold>,
    sick_flush: Mutex<Option<IoError>>,
    waiting: Mutex<VecDeque<oneshot::Sender<Result<Ticket, IoError>>>>,
    asked: Mutex<Vec<Asked>>,
    _dir: Option<TempDir>,
}

fn scratch() -> TempDir {
    let root = Path::new("/scratch");
    tempfile::tempdir_in(if root.is_dir() { root } else { Path::new("/var/tmp") }).unwrap()
}

impl LabDisk {
    /// A sparse disk in a file of its own.
    pub(crate) fn new(size_bytes: u64) -> Arc<LabDisk> {
        let dir = scratch();
        let path = dir.path().join("data.img");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(size_bytes).unwrap();
        LabDisk::over(file, size_bytes, false, Some(dir))
    }

    /// A disk over a file that may be shorter than the disk.
    pub(crate) fn over(file: File, size_bytes: u64, read_only: bool, dir: Option<TempDir>) -> Arc<LabDisk> {
        let chunk_size = u32::try_from(CHUNK).unwrap();
        let hot = HotMap::new(size_bytes.div_ceil(CHUNK), chunk_size, 8);
        let state = if read_only { ChunkState::READABLE } else { ChunkState::WRITABLE };
        (0..hot.chunks()).for_each(|chunk| hot.set_state(chunk, state));
        Arc::new(LabDisk {
            file,
            geometry: Geometry { size_bytes, chunk_size, trim_granularity: 4096, read_only },
            hot,
            cold: Mutex::default(),
            sick_flush: Mutex::default(),
            waiting: Mutex::default(),
            asked: Mutex::default(),
            _dir: dir,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes a chunk cold; what the cold way does is [`LabDisk::set_cold`].
    pub(crate) fn chill(&self, chunk: u64) {
        self.hot.set_state(chunk, ChunkState::COLD);
    }

    pub(crate) fn chill_all(&self) {
        (0..self.hot.chunks()).for_each(|chunk| self.chill(chunk));
    }

    pub(crate) fn set_cold(&self, cold: Cold) {
        *self.cold.lock().unwrap() = cold;
    }

    pub(crate) fn set_flush_error(&self, error: Option<IoError>) {
        *self.sick_flush.lock().unwrap() = error;
    }

    /// How many requests wait, not counting those that were given up.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().unwrap().iter().filter(|w| !w.is_canceled()).count()
    }

    /// Gives all that wait leave, from the caller's thread.
    pub(crate) fn release(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        waiting.into_iter().for_each(|w| drop(w.send(Ok(Ticket::free()))));
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn note(&self, asked: Asked) {
        self.asked.lock().unwrap().push(asked);
    }

    fn zero_now(&self, offset: u64, len: u64, mode: ZeroMode) -> Result<(), IoError> {
        if self.geometry.read_only {
            return Err(IoError::ReadOnly);
        }
        let how = match mode {
            ZeroMode::Trim | ZeroMode::ZeroMayPunch => FallocateFlags::PUNCH_HOLE,
            ZeroMode::ZeroAllocated => FallocateFlags::ZERO_RANGE,
        };
        fallocate(&self.file, how | FallocateFlags::KEEP_SIZE, offset, len).map_err(|_| IoError::Io)
    }
}

impl Disk for LabDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn hot(&self) -> &HotMap {
        &self.hot
    }

    fn data(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn begin(self: Arc<Self>, _lane: Lane, op: Op, offset: u64, len: u64) -> IoFuture<Ticket> {
        self.note(Asked::Begin(op, offset, len));
        let cold = *self.cold.lock().unwrap();
        match cold {
            Cold::Refuse(error) => futures::future::ready(Err(error)).boxed(),
            Cold::Open if op == Op::Write && self.geometry.read_only => {
                futures::future::ready(Err(IoError::ReadOnly)).boxed()
            }
            Cold::Open => futures::future::ready(Ok(Ticket::free())).boxed(),
            Cold::Wait => {
                let (leave, left) = oneshot::channel();
                self.waiting.lock().unwrap().push_back(leave);
                left.map(|l| l.unwrap_or(Err(IoError::Io))).boxed()
            }
        }
    }

    fn flush(self: Arc<Self>) -> IoFuture<()> {
        self.note(Asked::Flush);
        let sick = *self.sick_flush.lock().unwrap();
        let flushed = sick.map_or_else(|| self.file.sync_data().map_err(|_| IoError::Io), Err);
        futures::future::ready(flushed).boxed()
    }

    fn zero(self: Arc<Self>, _lane: Lane, offset: u64, len: u64, mode: ZeroMode) -> IoFuture<()> {
        self.note(Asked::Zero(offset, len, mode));
        futures::future::ready(self.zero_now(offset, len, mode)).boxed()
    }

    fn block_status(&self, _offset: u64, len: u64) -> Result<Vec<Extent>, IoError> {
        Ok(vec![Extent { len, hole: false, zero: false }])
    }

    fn failed(&self, _op: Op, _errno: i32) {}

    fn count(&self, _lane: Lane, _op: Op, _bytes: u64) {}
}

/// A device that is stopped when the test is done with it.
pub(crate) struct Lab {
    pub(crate) disk: Arc<LabDisk>,
    device: Option<Device>,
}

impl Lab {
    pub(crate) fn new(size_bytes: u64) -> Lab {
        Lab::over(LabDisk::new(size_bytes))
    }

    pub(crate) fn over(disk: Arc<LabDisk>) -> Lab {
        let device = Device::add(Arc::clone(&disk), options()).unwrap();
        Lab { disk, device: Some(device) }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device.as_ref().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.device().path().to_owned()
    }

    pub(crate) fn take(mut self) -> Device {
        self.device.take().unwrap()
    }

    /// The device, past the page cache.
    pub(crate) fn direct(&self) -> Direct {
        Direct::open(&self.path())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(device) = self.device.take() {
            self.disk.set_cold(Cold::Open);
            self.disk.release();
            let stopped = device.stop(LONG);
            assert!(std::thread::panicking() || stopped.is_ok(), "{stopped:?}");
        }
    }
}

pub(crate) fn options() -> Options {
    Options { mark: MARK, queues: 2, ..Options::default() }
}

/// A block device read and written with `O_DIRECT`, one request a call.
pub(crate) struct Direct(File);

#[repr(align(4096))]
struct Page([u8; 4096]);

impl Direct {
    pub(crate) fn open(path: &Path) -> Direct {
        use std::os::unix::fs::OpenOptionsExt;
        let o_direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
        Direct(OpenOptions::new().read(true).write(true).custom_flags(o_direct).open(path).unwrap())
    }

    /// The 4 KiB at `offset`.
    pub(crate) fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let mut page = Page([0xee; 4096]);
        self.0.read_exact_at(&mut page.0, offset)?;
        Ok(page.0.to_vec())
    }

    /// Fills the 4 KiB at `offset`.
    pub(crate) fn write(&self, offset: u64, byte: u8) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.0.write_all_at(&Page([byte; 4096]).0, offset)
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Runs a shell script that must succeed; its output.
pub(crate) fn sh(script: &str) -> String {
    let out = Command::new("bash").args(["-euo", "pipefail", "-c", script]).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{script}\n{}\n{stdout}{stderr}", out.status);
    stdout.into_owned()
}

/// Waits for something that other threads or processes bring about.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !so() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The errno of a failed call.
pub(crate) fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    result.unwrap_err().raw_os_error().unwrap()
}
