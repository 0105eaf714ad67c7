//! Mounts: reading `mountinfo`, and keeping a device's server out of the way of its users.
//!
//! A process holds every mount of its mount namespace. A server that shares one with whoever mounted its device is a
//! user of that device itself: when it exits, the kernel may have to write to the file system before it lets go of
//! the namespace, and waits for the server that is exiting. So the server gets a namespace of its own, and
//! lets go there of what lies on ublk devices. (What is mounted later comes in where mounts are shared, but goes with its
//! original: this namespace is never the last to have it.)

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

use crate::error::UblkError;
use crate::sys::unshare_mounts;

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor` of the file system.
    pub(crate) device: String,
    pub(crate) point: PathBuf,
    pub(crate) source: PathBuf,
}

impl Mount {
    /// Does it lie on a ublk device? Some file systems (btrfs) have a device number of their own, so the source
    /// counts as well.
    pub(crate) fn lies_on(&self, devices: &BTreeSet<String>, prefix: &str) -> bool {
        let named = self.source.to_str().and_then(|s| s.strip_prefix(prefix));
        let same_disk = |rest: &str| rest.is_empty() || prefix.ends_with('b') || rest.starts_with('p');
        devices.contains(&self.device) || named.is_some_and(same_disk)
    }
}

/// The mounts that `text`, the contents of a `mountinfo` file, lists. Lines that are not understood are left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let device = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
    let point = unescape(fields.nth(1)?);
    // Optional fields of any number end with a dash.
    fields.find(|f| *f == b"-")?;
    let source = unescape(fields.nth(1)?);
    Some(Mount { device, point, source })
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| byte == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        if let Some(value) = octal.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            bytes.push(value);
            rest = &after[3..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// `major:minor` of a block device, its partitions, and what is stacked on them (device mapper, md).
/// `id`: of one ublk device; `None`: of all.
pub(crate) fn device_numbers(id: Option<u32>) -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    match id {
        Some(id) => add_numbers(&Path::new("/sys/block").join(format!("ublkb{id}")), &mut numbers),
        None => {
            for entry in entries(Path::new("/sys/block")) {
                if entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with("ublkb")) {
                    add_numbers(&entry, &mut numbers);
                }
            }
        }
    }
    numbers
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn add_numbers(device: &Path, numbers: &mut BTreeSet<String>) {
    let Ok(number) = std::fs::read_to_string(device.join("dev")) else { return };
    if !numbers.insert(number.trim().to_owned()) {
        return;
    }
    entries(&device.join("holders")).iter().for_each(|holder| add_numbers(holder, numbers));
    let partitions = entries(device).into_iter().filter(|entry| entry.join("partition").exists());
    partitions.for_each(|partition| add_numbers(&partition, numbers));
}

/// What [`isolate_mounts`] could do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The process has a mount namespace of its own; these mount points were let go of in it.
    Isolated {
        /// Where file systems on ublk devices are mounted elsewhere.
        detached: Vec<PathBuf>,
    },
    /// Only root may have one. Such a process cannot mount its own device either; somebody else still can.
    NotPermitted,
}

/// Gives this process a mount namespace of its own, without mounts that lie on ublk devices; those that `keep` paths
/// lie under stay (a store on another disk's device). Called once, at start, while there is one thread.
///
/// # Errors
/// If the kernel refuses for another reason than permission. Nothing is unmounted anywhere else in any case.
pub fn isolate_mounts(keep: &[&Path]) -> Result<Isolation, UblkError> {
    let failed = |path: &Path, source| UblkError::File { path: path.into(), source };
    match unshare_mounts() {
        Ok(()) => {}
        Err(rustix::io::Errno::PERM) => return Ok(Isolation::NotPermitted),
        Err(e) => return Err(failed(Path::new("/proc/self/ns/mnt"), e.into())),
    }
    // Before anything is unmounted: or it would be unmounted for everyone. What others unmount goes from here as well, where
    // they share their mounts as systemd has it; or a disk that they think they have let go of would still be in use.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|e| failed(Path::new("/"), e.into()))?;
    let mountinfo = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(mountinfo).map_err(|e| failed(mountinfo, e))?;
    let keep: Vec<PathBuf> = keep.iter().map(|p| p.canonicalize().unwrap_or_else(|_| p.into())).collect();
    let (devices, mounts) = (device_numbers(None), parse(&text));
    let mut detached = Vec::new();
    for mount in mounts.iter().rev() {
        let kept = keep.iter().any(|path| path.starts_with(&mount.point));
        if kept || !mount.lies_on(&devices, "/dev/ublkb") {
            continue;
        }
        match unmount(&mount.point, UnmountFlags::DETACH) {
            Ok(()) => detached.push(mount.point.clone()),
            Err(e) => {
                tracing::warn!(point = %mount.point.display(), error = %e, "could not let go of a mount");
            }
        }
    }
    Ok(Isolation::Isolated { detached })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 259:0 / / rw,relatime shared:1 - ext4 /dev/nvme0n1 rw\n\
        40 22 259:7 / /mnt/my\\040disk rw shared:7 master:3 - ext4 /dev/ublkb1p2 rw\n\
        41 22 0:44 / /mnt/b rw - btrfs /dev/ublkb12 rw,space_cache\n\
        nonsense\n42 22\n";

    #[test]
    fn mounts_are_read_with_their_blanks() {
        let mounts = parse(TEXT);
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[1].point, Path::new("/mnt/my disk"));
        assert_eq!(
            (mounts[1].device.as_str(), mounts[2].source.as_path()),
            ("259:7", Path::new("/dev/ublkb12"))
        );
    }

    #[test]
    fn a_mount_is_found_by_its_device_or_its_source() {
        let mounts = parse(TEXT);
        let on = |devices: &[&str], prefix| -> Vec<bool> {
            let devices = devices.iter().map(|d| (*d).to_owned()).collect();
            mounts.iter().map(|m| m.lies_on(&devices, prefix)).collect()
        };
        assert_eq!(on(&[], "/dev/ublkb"), [false, true, true]);
        assert_eq!(on(&[], "/dev/ublkb1"), [false, true, false]);
        assert_eq!(on(&[], "/dev/ublkb12"), [false, false, true]);
        assert_eq!(on(&["259:0"], "/dev/ublkb9"), [true, false, false]);
    }

    #[test]
    fn odd_escapes_are_left_as_they_are() {
        assert_eq!(unescape(b"a\\134b\\9\\04"), Path::new("a\\b\\9\\04"));
    }
}
