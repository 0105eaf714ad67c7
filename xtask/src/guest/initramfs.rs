//! The guest's first root: init, the modules it needs before it has a root, and the job.
//!
//! The kernel unpacks archives that follow each other, so the part that never changes is kept as a
//! file and the job is appended for each run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use guest_init::job::{self, Job};

use super::cpio::Archive;
use crate::setup::kernel::Kernel;
use crate::workspace;

/// What init needs to reach the host's root and the scratch disk.
const MODULES: [&str; 6] = ["9p", "9pnet_virtio", "overlay", "virtio_blk", "virtio_rng", "ext4"];

/// Writes the initramfs for one job to `file`.
pub(super) fn write(kernel: &Kernel, job: &Job, file: &Path) -> Result<()> {
    let mut bytes = base(kernel)?;
    let mut archive = Archive::default();
    archive.file(job::PATH.trim_start_matches('/'), 0o600, &job.encode()?);
    bytes.extend(archive.finish());
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn base(kernel: &Kernel) -> Result<Vec<u8>> {
    let init = init()?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    for folder in ["proc", "sys", "host", "rw", "root"] {
        archive.folder(folder);
    }
    // PID 1 is given a console only where this node is in the archive; devtmpfs comes later.
    archive.device("dev/console", 0o600, (5, 1));
    archive.file("init", 0o755, &read(&init)?);
    for (place, module) in kernel.with_dependencies(&MODULES)?.iter().enumerate() {
        let name = module.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        archive.file(&format!("modules/{place:02}-{name}"), 0o644, &read(module)?);
    }
    Ok(archive.finish())
}

/// The static init, compiled when its source is newer. It has a target folder of its own, so that a
/// guest can be started while another cargo builds the workspace.
pub(super) fn init() -> Result<PathBuf> {
    let folder = workspace::guest().join("init");
    let binary = folder.join("release/guest-init");
    let source = workspace::root().join("xtask/init");
    let built = std::fs::metadata(&binary).and_then(|data| data.modified()).ok();
    if built.is_some_and(|built| newest(&source).is_ok_and(|changed| changed < built)) {
        return Ok(binary);
    }
    let binary = workspace::static_program("guest-init", &folder).context("cannot build the guest's init")?;
    // Cargo leaves the time alone when the source's change made no difference.
    std::fs::File::open(&binary)?.set_modified(SystemTime::now())?;
    Ok(binary)
}

/// When anything below the folder was last changed.
fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        let time = if data.is_dir() { self::newest(&entry.path())? } else { data.modified()? };
        newest = newest.max(time);
    }
    Ok(newest)
}
