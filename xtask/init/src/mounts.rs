//! The guest's file systems: the host's root below, a tmpfs above, and what a Linux system expects.
//!
//! Invariant: nothing in the guest can change the host but below `/share`, whose folder xtask made.

use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;

use guest_init::job::Job;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};

use crate::about;

/// As much as one 9p request over virtio can carry.
const NINE_P: &str = "trans=virtio,version=9p2000.L,msize=512000";

/// `/proc`, `/sys` and `/dev` of the initramfs.
pub(crate) fn kernel_file_systems() -> io::Result<()> {
    at("/proc", "proc", "proc", MountFlags::empty(), c"")?;
    at("/sys", "sysfs", "sysfs", MountFlags::empty(), c"")?;
    at("/dev", "devtmpfs", "devtmpfs", MountFlags::empty(), c"mode=0755")
}

/// Builds the root and makes it this process's root (and, as the kernel's threads share PID 1's root,
/// the one where the kernel looks for modprobe).
pub(crate) fn new_root(job: &Job) -> io::Result<()> {
    // Nothing else changes the files while a test looks at them, so the guest may cache what it likes.
    at("/host", "9p", "host", MountFlags::RDONLY, &option(&format!("{NINE_P},cache=loose"))?)?;
    at("/rw", "tmpfs", "tmpfs", MountFlags::empty(), c"mode=0755")?;
    for folder in ["/rw/upper", "/rw/work"] {
        std::fs::create_dir(folder).map_err(|error| about("create", Path::new(folder), error))?;
    }
    let layers = c"lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work";
    at("/root", "overlay", "overlay", MountFlags::empty(), layers)?;
    for moved in ["/proc", "/sys", "/dev"] {
        let target = format!("/root{moved}");
        folder(&target)?;
        mount_move(moved, target.as_str()).map_err(|error| about("move", Path::new(moved), error.into()))?;
    }
    std::env::set_current_dir("/root")?;
    mount_move(".", "/").map_err(|error| about("move", Path::new("/root"), error.into()))?;
    rustix::process::chroot(".").map_err(|error| about("enter", Path::new("/root"), error.into()))?;
    std::env::set_current_dir("/")?;

    at("/run", "tmpfs", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    folder("/run/lock")?;
    folder("/run/sshd")?;
    // What udev would make; shells need it for <(…).
    for (link, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let link = format!("/dev/{link}");
        std::os::unix::fs::symlink(format!("/proc/self/{target}"), &link)
            .map_err(|error| about("create", Path::new(&link), error))?;
    }
    at("/dev/pts", "devpts", "devpts", MountFlags::empty(), c"mode=0620,ptmxmode=0666")?;
    at("/dev/shm", "tmpfs", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777")?;
    at("/sys/fs/cgroup", "cgroup2", "cgroup2", MountFlags::empty(), c"")?;
    at("/sys/kernel/debug", "debugfs", "debugfs", MountFlags::empty(), c"")?;
    std::fs::write("/etc/hostname", format!("{}\n", job.hostname))?;
    std::fs::write("/etc/hosts", format!("127.0.0.1 localhost {}\n::1 localhost\n", job.hostname))?;
    at("/share", "9p", "share", MountFlags::empty(), &option(&format!("{NINE_P},cache=mmap"))?)?;
    modules(&job.modules)?;
    if job.scratch {
        at("/scratch", "ext4", "/dev/vda", MountFlags::empty(), c"")?;
    }
    Ok(())
}

/// Writes out and unmounts what outlives the guest; failures do not matter to the command's status.
pub(crate) fn leave(job: &Job) {
    // Not `sync`: a file system whose ublk server is dead would never let it return.
    if let Ok(share) = std::fs::File::open("/share") {
        let _ = rustix::fs::syncfs(&share);
    }
    if job.scratch {
        let _ = unmount("/scratch", UnmountFlags::empty());
    }
    let _ = unmount("/share", UnmountFlags::empty());
}

/// Shows the folder of modules where modprobe looks for it.
fn modules(from: &str) -> io::Result<()> {
    let release = rustix::system::uname();
    let link = format!("/lib/modules/{}", release.release().to_string_lossy());
    std::fs::create_dir_all("/lib/modules")
        .map_err(|error| about("create", Path::new("/lib/modules"), error))?;
    if Path::new(&link).exists() {
        return Ok(());
    }
    std::os::unix::fs::symlink(from, &link).map_err(|error| about("create", Path::new(&link), error))
}

fn at(target: &str, kind: &str, source: &str, flags: MountFlags, data: &CStr) -> io::Result<()> {
    folder(target)?;
    mount(source, target, kind, flags, Some(data))
        .map_err(|error| about(&format!("mount {kind} at"), Path::new(target), error.into()))
}

fn folder(path: &str) -> io::Result<()> {
    std::fs::create_dir_all(path).map_err(|error| about("create", Path::new(path), error))
}

fn option(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
