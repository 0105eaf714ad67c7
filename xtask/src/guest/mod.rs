//! A small virtual machine with a kernel of our choice and the host's own root.
//!
//! QEMU boots a Debian kernel ([`crate::setup::kernel`]) with an initramfs of ours; its init mounts the
//! host's root read-only over 9p with a tmpfs on top, so that every program of the host is there, at
//! the same path, with no image to build, and runs one command. What it writes is lost, except below
//! `/share` (a folder of the host) and on disks of the caller.
//!
//! Invariants: a run ends by its time limit; a run that ends without a status of the command is an
//! error with the kernel's last words; a command is begun once; no QEMU outlives this process, nor the thread that started it.

mod accelerator;
pub(crate) mod cpio;
mod initramfs;
mod qemu;
mod race;
mod run_folder;
mod stream;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use guest_init::job::Job;

use crate::image::Image;
use crate::setup::kernel::{self, Kernel, Series};
use crate::workspace;
use accelerator::Accelerator;
use run_folder::RunFolder;

/// How a guest is made.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Memory in MiB; half of it is the most the guest can write outside `/scratch` and `/share`.
    pub(crate) memory_mib: u32,
    /// Number of processors.
    pub(crate) processors: u32,
    /// The size in bytes of an empty ext4 file system at `/scratch`; 0 for none.
    pub(crate) scratch_bytes: u64,
    /// The sizes in bytes of further, empty disks: `/dev/vdb` and so on (from `/dev/vda` without
    /// scratch).
    pub(crate) disks_bytes: Vec<u64>,
    /// The folder of the host that the guest sees at `/share` and can write to.
    pub(crate) share: PathBuf,
    /// Variables of the command, `NAME=value`.
    pub(crate) env: Vec<String>,
    /// The longest the whole run may take.
    pub(crate) limit: Duration,
    /// The folder the command starts in; without one, this process's.
    pub(crate) cwd: Option<PathBuf>,
    /// A file that gets both outputs too.
    pub(crate) log: Option<PathBuf>,
    /// Whether both outputs, and QEMU's own words, go to this process's as they come.
    pub(crate) shown: bool,
    /// Connect the command to this terminal.
    pub(crate) interactive: bool,
    /// The kernel it boots.
    pub(crate) kernel: Series,
    /// Further arguments of QEMU.
    pub(crate) qemu: Vec<String>,
    /// Its instructions are translated, whatever this machine can do.
    pub(crate) translated: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_mib: 3072,
            processors: 2,
            scratch_bytes: 8 << 30,
            disks_bytes: Vec::new(),
            share: workspace::guest().join("share"),
            env: Vec::new(),
            limit: Duration::from_secs(600),
            cwd: None,
            log: None,
            shown: true,
            interactive: false,
            kernel: Series::default(),
            qemu: Vec::new(),
            translated: false,
        }
    }
}

/// Does what the first run of a guest with this kernel would do before it boots.
pub(crate) fn prepare(series: Series) -> Result<()> {
    kernel::ensure(series)?;
    initramfs::init()?;
    accelerator::choose(&Kernel::installed(series)?).map(drop)
}

/// Runs a command in a guest; the command's exit code.
pub(crate) fn run(command: &[String], options: &Options) -> Result<i32> {
    kernel::ensure(options.kernel)?;
    let kernel = Kernel::installed(options.kernel)?;
    let accelerator = if options.translated { Accelerator::Emulation } else { accelerator::choose(&kernel)? };
    boot(&kernel, accelerator, command, options)
}

fn boot(kernel: &Kernel, accelerator: Accelerator, command: &[String], options: &Options) -> Result<i32> {
    let started = Instant::now();
    let mut boot = boot_once((kernel, accelerator), command, options, started)?;
    if accelerator == Accelerator::Emulation
        && matches!(boot.end, stream::End::Died)
        && race::lost(&boot.console)
    {
        eprintln!(
            "xtask: the guest's kernel died at its boot by a race of QEMU's, before its first process: it is booted once more"
        );
        boot = boot_once((kernel, accelerator), command, options, started)?;
    }
    let why = match boot.end {
        stream::End::Exit(code) => return Ok(code),
        stream::End::Broken(why) => format!("the guest did not come up: {why}"),
        stream::End::Stopped => "QEMU has stopped the guest".to_owned(),
        stream::End::Died => "the guest ended before its command did".to_owned(),
        stream::End::TimeLimit => format!("the guest was ended after {} s", options.limit.as_secs()),
    };
    // What was shown is not said twice.
    let qemu_said = if options.shown { "" } else { boot.qemu_said.as_str() };
    bail!("{why}\n{qemu_said}{}", run_folder::last_words(&boot.console))
}

/// A guest from its boot to its end.
struct Boot {
    end: stream::End,
    qemu_said: String,
    /// What the kernel and init wrote to the serial console.
    console: String,
}

fn boot_once(
    (kernel, accelerator): (&Kernel, Accelerator),
    command: &[String],
    options: &Options,
    started: Instant,
) -> Result<Boot> {
    let folder = RunFolder::create()?;
    std::fs::create_dir_all(&options.share)
        .with_context(|| format!("cannot create {}", options.share.display()))?;
    let mut disks = Vec::new();
    if options.scratch_bytes > 0 {
        disks.push(Image::ext4(&folder.path("scratch.img"), options.scratch_bytes, None)?);
    }
    for (place, bytes) in options.disks_bytes.iter().enumerate() {
        disks.push(Image::empty(&folder.path(&format!("disk{place}.img")), *bytes)?);
    }
    let cwd = options.cwd.clone().map_or_else(std::env::current_dir, Ok)?;
    let job = Job {
        argv: command.to_vec(),
        env: options.env.clone(),
        cwd: cwd.to_str().context("the current folder's name is no UTF-8")?.to_owned(),
        hostname: "guest".to_owned(),
        modules: kernel.modules().to_str().context("the workspace's path is no UTF-8")?.to_owned(),
        scratch: options.scratch_bytes > 0,
        interactive: options.interactive,
    };
    initramfs::write(kernel, &job, &folder.path("initramfs"))?;
    let command = qemu::command(kernel, accelerator, options, &folder, &disks)?;
    let left = options.limit.saturating_sub(started.elapsed());
    let (end, qemu_said) = if options.interactive {
        (stream::interactive(command, &folder.path("frames"))?, String::new())
    } else {
        stream::run(command, left, options.log.as_deref(), options.shown)?
    };
    Ok(Boot { end, qemu_said, console: folder.console() })
}
