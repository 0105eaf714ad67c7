//! The way from the first root to the one on the disk, when the kernel's command line names its device (`root=/dev/vda`).
//!
//! What is mounted goes along, and that system's init takes this process's place: it is PID 1 and finds things as it would behind an
//! initramfs of its own.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::{MountFlags, mount, mount_move};

const INIT: &str = "/sbin/init";
/// Where that root is mounted at first.
const PLACE: &str = "/new";

/// The device that is named.
pub(crate) fn named() -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix("root=")).map(str::to_owned)
}

/// Goes there. Comes back only with why it could not.
pub(crate) fn enter(device: &str) -> io::Error {
    match changed(device) {
        Ok(()) => Command::new(INIT).exec(),
        Err(error) => error,
    }
}

fn changed(device: &str) -> io::Result<()> {
    std::fs::create_dir_all(PLACE)?;
    mount(device, PLACE, "ext4", MountFlags::empty(), None)?;
    for folder in ["/dev", "/proc"] {
        mount_move(folder, format!("{PLACE}{folder}"))?;
    }
    std::env::set_current_dir(PLACE)?;
    mount_move(".", "/")?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")
}
