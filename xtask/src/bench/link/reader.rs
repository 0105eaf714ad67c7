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
    before: Times,
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
        let mut mounted = Mounted { folder, at, device: None, before: Times::default(), fuse };
        appears(&file)?;
        let device =
            process::output(Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(&file))?;
        let device = mounted.device.insert(device.trim().to_owned()).clone();
        mounted.before = mounted.times()?;
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

    /// What the device's requests took since it was mounted.
    pub(super) fn times(&self) -> Result<Times> {
        let device = self.device.as_deref().and_then(|device| device.strip_prefix("/dev/"));
        let stat = fs::read_to_string(format!("/sys/block/{}/stat", device.context("no device")?))?;
        let all = Times::of(&stat)?;
        Ok(Times {
            in_reads: all.in_reads.saturating_sub(self.before.in_reads),
            under_way: all.under_way.saturating_sub(self.before.under_way),
        })
    }
}

/// What a block device's requests took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The sum of the reads' times.
    pub(super) in_reads: Duration,
    /// The time in which any request was under way: nobody can have waited for longer.
    pub(super) under_way: Duration,
}

impl Times {
    /// Out of a device's `stat` (Documentation/admin-guide/iostats.rst: the fourth number and the tenth, in milliseconds).
    pub(super) fn of(stat: &str) -> Result<Times> {
        let numbers: Vec<&str> = stat.split_whitespace().collect();
        let ms =
            |at: usize| numbers.get(at).and_then(|number| number.parse().ok()).map(Duration::from_millis);
        let times = ms(3).zip(ms(9)).map(|(in_reads, under_way)| Times { in_reads, under_way });
        times.with_context(|| format!("the device's statistics make no sense: {stat:?}"))
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
