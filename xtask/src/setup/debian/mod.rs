//! A minimal Debian for an agent of the tests: a disk in `target/guest/debian`, with systemd, a VNC server and a terminal on it.
//!
//! It is a file system without a partition table; the kernel is the test guest's, and what leads to this root is in a first root of the test's. Made by `mmdebstrap`
//! of signed packages, and by `mke2fs` of that folder: nothing is mounted here. The folders' owners are those of the disk, so it takes root.
//!
//! Invariant: the folder appears whole, by a rename, or not at all; one that was made by another recipe is made anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt;
use super::kernel::{move_folder, remove};
use crate::image::Image;
use crate::{process, workspace};

const RELEASE: &str = "bookworm";
/// Beside what every Debian has.
const PACKAGES: [&str; 7] =
    ["dbus", "iproute2", "libpam-systemd", "systemd-sysv", "tigervnc-standalone-server", "udev", "xterm"];
/// What is left out: three quarters of it are what `Xvnc` would draw OpenGL with.
const LEFT_OUT: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu/dri/*",
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libicu*",
    "/usr/lib/x86_64-linux-gnu/libz3*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
];
const FINISH: &str = include_str!("finish.sh");
/// Twice what is in it.
const DISK_BYTES: u64 = 512 << 20;

fn place() -> PathBuf {
    workspace::guest().join("debian")
}

/// By what it is made.
fn recipe() -> String {
    format!("{RELEASE}\n{PACKAGES:?}\n{LEFT_OUT:?}\n{DISK_BYTES}\n{FINISH}")
}

/// The disk.
///
/// # Errors
/// When it is not there, or was made by another recipe.
pub(super) fn disk() -> Result<PathBuf> {
    let made_by = std::fs::read_to_string(place().join("recipe")).unwrap_or_default();
    if made_by != recipe() {
        bail!("the Debian of agents is missing: cargo xtask setup");
    }
    Ok(place().join("disk.raw"))
}

/// Makes it unless it is there.
///
/// # Errors
/// Without root, and where mmdebstrap cannot have its packages.
pub(crate) fn ensure() -> Result<()> {
    if disk().is_ok() {
        return Ok(());
    }
    if !apt::is_root()? {
        bail!("the Debian of agents is made by root: cargo xtask setup, as root");
    }
    println!("making a Debian for agents");
    let ready = workspace::guest().join("debian.new");
    remove(&ready)?;
    std::fs::create_dir_all(&ready).with_context(|| format!("cannot create {}", ready.display()))?;
    let root = ready.join("root");
    packages(&ready, &root)?;
    Image::ext4(&ready.join("disk.raw"), DISK_BYTES, Some(&root))?;
    remove(&root)?;
    std::fs::write(ready.join("recipe"), recipe())?;
    remove(&place())?;
    move_folder(&ready, &place())
}

/// Its files.
fn packages(ready: &Path, root: &Path) -> Result<()> {
    let finish = ready.join("finish");
    std::fs::write(&finish, FINISH)?;
    let mut command = Command::new("mmdebstrap");
    command.args(["--mode=root", "--variant=minbase", "--architectures=amd64"]);
    command.arg(format!("--keyring={}", apt::keyring()?));
    command.arg(format!("--include={}", PACKAGES.join(",")));
    command.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(format!("--customize-hook=sh '{}' \"$1\"", finish.display()));
    command.arg(RELEASE).arg(root);
    process::output(&mut command).context("a Debian for agents cannot be made")?;
    std::fs::remove_file(finish)?;
    Ok(())
}
