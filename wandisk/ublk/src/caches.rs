//! Dropping what the kernel remembers of a block device.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::bounded;
use crate::error::{Step, UblkError};
use crate::sys;

/// Drops all cached blocks of the device at `path`: for a standby that has become resident, whose readers saw errors
/// until now. Reads nothing.
///
/// # Errors
/// If the device cannot be opened, or `deadline` passes.
pub fn flush_caches(path: &Path, deadline: Duration) -> Result<(), UblkError> {
    on_device(path, deadline, |device| Ok(sys::flush_buffers(device)?))
}

/// Has the partition table of the device at `path` read again.
///
/// # Errors
/// If the device cannot be opened, its table cannot be read, a partition of it is in use, or `deadline` passes.
pub fn reread_partitions(path: &Path, deadline: Duration) -> Result<(), UblkError> {
    on_device(path, deadline, |device| Ok(sys::reread_partitions(device)?))
}

fn on_device(
    path: &Path,
    deadline: Duration,
    call: impl FnOnce(&File) -> io::Result<()> + Send + 'static,
) -> Result<(), UblkError> {
    let device = PathBuf::from(path);
    match bounded(deadline, move || File::open(device).and_then(|d| call(&d)))? {
        Some(Ok(())) => Ok(()),
        Some(Err(source)) => Err(UblkError::File { path: path.into(), source }),
        None => Err(UblkError::Hangs { step: Step::Block, after: deadline }),
    }
}
