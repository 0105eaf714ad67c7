//! Who uses a block device: before its disk is handed over or its device taken away.
//!
//! A look from outside, true at the moment of looking: whoever relies on it keeps new users away first.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::control::bounded;
use crate::error::{Step, UblkError};
use crate::mounts::{device_numbers, parse};

/// How long the look may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A mount of the device or of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedAt {
    /// The mount point, as a process of its namespace sees it.
    pub path: PathBuf,
    /// A process that sees it; `None`: this one does.
    pub seen_by: Option<u32>,
}

/// A process that has the device open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    /// Its number.
    pub pid: u32,
    /// Its command's name.
    pub name: String,
}

/// Who uses a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Where it is mounted, in any mount namespace.
    pub mounts: Vec<MountedAt>,
    /// Who has it open.
    pub openers: Vec<Opener>,
    /// The kernel has claimed it (a mount, swap, device mapper), perhaps where we may not look.
    pub claimed: bool,
}

impl Usage {
    /// Nobody uses it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Usage::default()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for mount in &self.mounts {
            let by = mount.seen_by.map(|pid| format!(" (seen by process {pid})")).unwrap_or_default();
            parts.push(format!("mounted at {}{by}", mount.path.display()));
        }
        parts.extend(self.openers.iter().map(|o| format!("open in {} (process {})", o.name, o.pid)));
        if self.claimed && self.mounts.is_empty() {
            parts.push("claimed by the kernel (swap, device mapper or a mount elsewhere)".into());
        }
        if parts.is_empty() { f.write_str("not in use") } else { f.write_str(&parts.join(", ")) }
    }
}

/// Who uses `/dev/ublkbN`, its partitions and what is stacked on them. This process's own files do not count.
///
/// # Errors
/// If there is no such block device, or the look takes too long.
pub fn in_use(id: u32) -> Result<Usage, UblkError> {
    match bounded(DEADLINE, move || look(id))? {
        Some(usage) => usage,
        None => Err(UblkError::Hangs { step: Step::Block, after: DEADLINE }),
    }
}

fn look(id: u32) -> Result<Usage, UblkError> {
    let devices = device_numbers(Some(id));
    if devices.is_empty() {
        return Err(UblkError::NoSuchDevice(id));
    }
    let node = format!("/dev/ublkb{id}");
    let mut usage = Usage { claimed: claimed(Path::new(&node))?, ..Usage::default() };
    let mut namespaces = BTreeSet::new();
    look_at_mounts(Path::new("/proc/self"), None, &node, &devices, &mut namespaces, &mut usage);
    let own = std::process::id();
    let processes =
        std::fs::read_dir("/proc").map_err(|source| UblkError::File { path: "/proc".into(), source })?;
    for process in processes.flatten() {
        let Some(pid) =
            process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()).filter(|p| *p != own)
        else {
            continue;
        };
        look_at_mounts(&process.path(), Some(pid), &node, &devices, &mut namespaces, &mut usage);
        if has_open(&process.path(), &devices) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            usage.openers.push(Opener { pid, name: name.trim().to_owned() });
        }
    }
    Ok(usage)
}

/// Adds the mounts of a process's namespace, if that was not looked at yet. Processes come and go, and others' are
/// not ours to look at: what cannot be read is passed over.
fn look_at_mounts(
    process: &Path,
    seen_by: Option<u32>,
    node: &str,
    devices: &BTreeSet<String>,
    namespaces: &mut BTreeSet<PathBuf>,
    usage: &mut Usage,
) {
    let Ok(namespace) = std::fs::read_link(process.join("ns/mnt")) else { return };
    if !namespaces.insert(namespace) {
        return;
    }
    let Ok(text) = std::fs::read(process.join("mountinfo")) else { return };
    let ours = parse(&text).into_iter().filter(|mount| mount.lies_on(devices, node));
    for mount in ours {
        // Namespaces that share their mounts have it at one place.
        if usage.mounts.iter().all(|known| known.path != mount.point) {
            usage.mounts.push(MountedAt { path: mount.point, seen_by });
        }
    }
}

fn has_open(process: &Path, devices: &BTreeSet<String>) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| {
        // Looked at by name first: asking for the attributes of a file on a dead network mount may hang.
        let name = std::fs::read_link(file.path()).unwrap_or_default();
        name.starts_with("/dev") && is_one_of(&file.path(), devices)
    })
}

fn is_one_of(path: &Path, devices: &BTreeSet<String>) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| {
        let device = meta.rdev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        meta.file_type().is_block_device() && devices.contains(&number)
    })
}

/// Does somebody hold the device to himself? Only an attempt tells.
fn claimed(node: &Path) -> Result<bool, UblkError> {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(node, flags, Mode::empty()) {
        Err(rustix::io::Errno::BUSY) => Ok(true),
        // Not ours to open: then the other signs must do.
        Ok(_) | Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Ok(false),
        Err(e) => Err(UblkError::File { path: node.into(), source: io::Error::from(e) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_in_use_says_by_whom() {
        let usage = Usage {
            mounts: vec![MountedAt { path: "/mnt".into(), seen_by: Some(7) }],
            openers: vec![Opener { pid: 9, name: "dd".into() }],
            claimed: true,
        };
        assert_eq!(usage.to_string(), "mounted at /mnt (seen by process 7), open in dd (process 9)");
        assert!(!usage.is_free());
        assert_eq!(Usage::default().to_string(), "not in use");
    }

    #[test]
    fn a_device_that_is_not_there_is_no_device_in_use() {
        assert!(matches!(in_use(u32::MAX), Err(UblkError::NoSuchDevice(_))));
    }
}
