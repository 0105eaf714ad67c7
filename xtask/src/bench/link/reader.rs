//! A reader of an ext4 that costs little: the host's own kernel, over a disk that is served by NBD.
//!
//! `nbdfuse` shows the disk as a file, a loop device makes a block device of it, and `tar` reads everything. (The host's
//! kernel may have no NBD of its own.) It is the same for every disk, so that a difference is the disk's. All it began
//! ends with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// What ends before it has begun, ends by then.
const SOON: Duration = Duration::from_secs(20);

/// A disk that is mounted; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Mounted {
    folder: PathBuf,
    at: PathBuf,
    device: Option<String>,
    /// What the device's statistics said before: they outlive what it stands for.
    before: Duration,
    fuse: Child,
}

impl Mounted {
    /// Mounts the ext4 behind a URI, below a folder of its own.
    pub(super) fn new(uri: &str, below: &Path) -> Result<Mounted> {
        let (folder, at) = (below.join("fuse"), below.join("mounted"));
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(&at)?;
        let file = folder.join("disk");
        let mut fuse = until_death("nbdfuse");
        fuse.arg("--readonly").arg(&file).arg(uri);
        let fuse = fuse.stdin(Stdio::null()).spawn().context("cannot start nbdfuse: cargo xtask setup")?;
        let mut mounted = Mounted { folder, at, device: None, before: Duration::ZERO, fuse };
        appears(&file)?;
        let device =
            process::output(Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&file))?;
        let device = mounted.device.insert(device.trim().to_owned()).clone();
        mounted.before = mounted.in_reads()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", "ro,noload", &device]).arg(&mounted.at);
        process::output(&mut mount)?;
        Ok(mounted)
    }

    /// Reads every file; how many bytes that were.
    pub(super) fn read_all(&self) -> Result<u64> {
        let mut tar = Command::new("tar");
        // To a pipe: it reads nothing where its archive is /dev/null.
        tar.args(["--create", "--file=-", "--directory"]).arg(&self.at).arg(".");
        let mut tar = tar.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start tar")?;
        let mut archive = tar.stdout.take().context("tar has no output")?;
        let bytes = std::io::copy(&mut archive, &mut std::io::sink())?;
        if !tar.wait()?.success() {
            bail!("tar failed");
        }
        Ok(bytes)
    }

    /// The sum of the times of all reads of the device: Documentation/admin-guide/iostats.rst, the fourth number.
    pub(super) fn in_reads(&self) -> Result<Duration> {
        let device = self.device.as_deref().and_then(|device| device.strip_prefix("/dev/"));
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", device.context("no device")?))?;
        let ms = stat.split_whitespace().nth(3).and_then(|number| number.parse().ok());
        let all = Duration::from_millis(ms.context("the device's statistics make no sense")?);
        Ok(all.saturating_sub(self.before))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let quietly = |program: &str, words: &[&Path]| {
            Command::new(program).args(words).stderr(Stdio::null()).status().ok();
        };
        quietly("umount", &[&self.at]);
        if let Some(device) = &self.device {
            quietly("losetup", &[Path::new("--detach"), Path::new(device)]);
        }
        // The device may be let go of a moment later.
        quietly("umount", &[Path::new("--lazy"), &self.folder]);
        self.fuse.kill().ok();
        self.fuse.wait().ok();
    }
}

/// A command that the kernel ends when this process ends, however that happens.
pub(super) fn until_death(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Waits until there is something at a path.
pub(super) fn appears(path: &Path) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !path.exists() {
        if Instant::now() > deadline {
            bail!("{} does not appear", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
