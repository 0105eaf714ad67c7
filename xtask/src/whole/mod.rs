//! `cargo xtask whole`: everything at once, as users have it: in the test guest two sites (network namespaces, netem between them, a
//! real sshd each), and an agent on `/dev/ublkbN` under a QEMU of that guest, which moves to the other site and back.
//!
//! Its parts have tests of their own elsewhere; here they meet. It is no step of `cargo xtask test`: where nothing is accelerated the
//! agent is a machine in an emulated machine, in which a second is half a minute. QEMU is 10 there: 7.2 loses writes of translated machines.
//! [`story`] is what happens, [`world`] where, [`judge`] says what was wrong, [`kernel`] makes a boot short.
//!
//! Fault model: the guest ends at its time limit, and with it all that was started.

mod judge;
mod kernel;
mod story;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::rig::boot::{self, Work};
use crate::rig::{self, Scratch};
use crate::setup::qemu;
use crate::{guest, setup};

/// What all of it may take where nothing is accelerated.
const LIMIT: Duration = Duration::from_secs(3000);
/// What the agent's file system needs. (Nothing in its first root would load the checksum when ext4 asks for it.)
const MODULES: &[&str] = &["crc32c_generic", "ext4"];
/// In the guest's memory: programs are read over 9p once.
const PROGRAMS: &str = "/run/programs";
/// Its arguments: where to, then QEMU's folder, then the programs.
const COPY: &str = "set -e; to=$1; qemu=$2; shift 2; mkdir -p \"$to\"; cp -a -- \"$qemu\" \"$to/qemu\"; cp -- \"$1\" \"$2\" \"$to\"; \
                    ln -s qemu/bin/qemu-system-x86_64 \"$to\"; shift 2; exec \"$@\"";

/// The whole stack at once, in the test guest: an agent on ublk that moves live between two sites over ssh and netem.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask whole")]
pub(crate) struct Arguments {
    /// In the guest: the folder with the agent's kernel and its first root.
    #[arg(long, hide = true, value_name = "DIR")]
    here: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.here {
        Some(agent) => story::tell(agent, Path::new(PROGRAMS)).map(|()| ExitCode::SUCCESS),
        None => in_guest(),
    }
}

fn in_guest() -> Result<ExitCode> {
    println!("Setting up what is missing, building snowbird and wandisk …");
    setup::ensure_all()?;
    let release = rig::build()?;
    let scratch = Scratch::make("whole")?;
    // Its disk has a file system, and blocks go into a file there.
    let (image, _) = boot::write(scratch.path(), &Work { modules: MODULES, ..Work::default() })?;
    kernel::unpack(&image, &scratch.path().join(world::KERNEL))?;
    let text = |path: &Path| path.display().to_string();
    let qemu = qemu::folder()?;
    let qemu = qemu.parent().context("QEMU's folder has none above it")?;
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let mut command: Vec<String> = ["sh", "-c", COPY, "sh", PROGRAMS].map(str::to_owned).to_vec();
    command.extend([qemu, &release.join("snowbird"), &release.join("wandisk"), &own].map(text));
    command.extend(["whole".to_owned(), "--here".to_owned(), text(scratch.path())]);
    println!("Booting a guest with Linux 6.12 (ublk, netem) …");
    let options = guest::Options { limit: LIMIT, ..guest::Options::default() };
    let code = guest::run(&command, &options)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}
