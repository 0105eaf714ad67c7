//! A disk that is one local file, all of it held and marked: the front-ends' own tests and benchmarks use it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use futures::FutureExt;

use crate::disk::{Disk, Extent, Geometry, IoError, IoFuture, Ticket, ZeroMode};
use crate::gate::Lane;
use crate::hot::{ChunkState, HotMap, Op};

/// A local file as a [`Disk`]; zeroing writes zeros and block status is a single run.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    geometry: Geometry,
    hot: HotMap,
}

impl WholeFile {
    /// Serves `file` with the given chunk size and number of lanes.
    ///
    /// # Errors
    /// If the file's size cannot be read.
    pub fn new(file: File, chunk_size: u32, lanes: usize, read_only: bool) -> io::Result<WholeFile> {
        let size_bytes = file.metadata()?.len();
        let chunks = size_bytes.div_ceil(u64::from(chunk_size));
        let hot = HotMap::new(chunks, chunk_size, lanes);
        let state = if read_only { ChunkState::READABLE } else { ChunkState::WRITABLE };
        (0..chunks).for_each(|chunk| hot.set_state(chunk, state));
        Ok(WholeFile {
            file,
            geometry: Geometry { size_bytes, chunk_size, trim_granularity: 4096, read_only },
            hot,
        })
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), IoError> {
        let end = offset.checked_add(len).ok_or(IoError::Invalid)?;
        if end > self.geometry.size_bytes { Err(IoError::Invalid) } else { Ok(()) }
    }
}

impl Disk for WholeFile {
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
        let refused = op == Op::Write && self.geometry.read_only;
        let answer = if refused { Err(IoError::ReadOnly) } else { self.check(offset, len) };
        futures::future::ready(answer.map(|()| Ticket::free())).boxed()
    }

    fn flush(self: Arc<Self>) -> IoFuture<()> {
        futures::future::ready(self.file.sync_data().map_err(|_| IoError::Io)).boxed()
    }

    fn zero(self: Arc<Self>, _lane: Lane, offset: u64, len: u64, _mode: ZeroMode) -> IoFuture<()> {
        let run = || {
            if self.geometry.read_only {
                return Err(IoError::ReadOnly);
            }
            self.check(offset, len)?;
            let zeros = vec![0u8; 1 << 16];
            let mut at = offset;
            while at < offset + len {
                let n = usize::try_from(offset + len - at).unwrap_or(usize::MAX).min(zeros.len());
                self.file.write_all_at(&zeros[..n], at).map_err(|_| IoError::Io)?;
                at += n as u64;
            }
            Ok(())
        };
        futures::future::ready(run()).boxed()
    }

    fn block_status(&self, offset: u64, len: u64) -> Result<Vec<Extent>, IoError> {
        self.check(offset, len)?;
        Ok(vec![Extent { len, hole: false, zero: false }])
    }

    fn failed(&self, _op: Op, _errno: i32) {}

    fn count(&self, _lane: Lane, _op: Op, _bytes: u64) {}
}
