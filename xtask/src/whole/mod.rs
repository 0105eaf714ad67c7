//! `cargo xtask whole`: everything at once, as users have it: in the test guest two sites (network namespaces, netem between them, a
//! real sshd each), and an agent on `/dev/ublkbN` under a QEMU of that guest, which moves to the other site and back.
//!
//! Its parts have tests of their own elsewhere; here they meet. It is no step of `cargo xtask test`: where nothing is accelerated the
//! agent is a machine in an emulated machine, in which a second is half a minute. QEMU is 10 there: 7.2 loses writes of translated machines.
//! [`story`] is what happens, [`world`] where, [`judge`] says what was wrong, [`kernel`] makes a boot short, [`seen`] keeps what was seen when
//! it went wrong: one failure in twenty minutes has to be enough to understand it.
//!
//! Fault model: a command that hangs, and a story that comes to no end, end by themselves and say what was seen; the guest ends at its time
//! limit, and with it all that was started.

mod judge;
mod kernel;
mod seen;
mod story;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::rig::boot::{self, Work};
use crate::rig::{self, Scratch};
use crate::setup::qemu;
use crate::{guest, setup};
use story::Act;

/// What all of it may take where nothing is accelerated, and other work goes on; the story has ended before.
const LIMIT: Duration = Duration::from_secs(3600);
/// What the agent's file system needs. (Nothing in its first root would load the checksum when ext4 asks for it.)
const MODULES: &[&str] = &["crc32c_generic", "ext4"];
/// In the guest's memory: programs are read over 9p once.
const PROGRAMS: &str = "/run/programs";
/// Its arguments: where to, then QEMU's folder, then the programs. In the guest, what is removed is there again the next time: a login would
/// first run what this machine's user has every shell do, which may be half a minute there.
const COPY: &str = "set -e; rm -f \"$HOME/.bashrc\"; to=$1; qemu=$2; shift 2; \
                    mkdir -p \"$to\"; cp -a -- \"$qemu\" \"$to/qemu\"; cp -- \"$1\" \"$2\" \"$to\"; \
                    ln -s qemu/bin/qemu-system-x86_64 \"$to\"; shift 2; exec \"$@\"";

/// The whole stack at once, in the test guest: an agent on ublk that moves live between two sites over ssh and netem.
///
/// Where the guest is emulated it takes a quarter of an hour. What was seen when it failed is below target/guest/share/whole.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask whole\n  cargo xtask whole --only keeper --programs target/debug"
)]
pub(crate) struct Arguments {
    /// Play this part of the story alone, after the agent's boot; may be said more than once.
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Act>,
    /// A folder with snowbird and wandisk, in place of building them for release.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// In the guest: the folder with the agent's kernel and its first root.
    #[arg(long, hide = true, value_name = "DIR")]
    here: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let acts = if arguments.only.is_empty() { Act::value_variants() } else { &arguments.only };
    match &arguments.here {
        Some(agent) => story::tell(agent, Path::new(PROGRAMS), acts).map(|()| ExitCode::SUCCESS),
        None => in_guest(arguments),
    }
}

fn in_guest(arguments: &Arguments) -> Result<ExitCode> {
    println!("Setting up what is missing, building snowbird and wandisk …");
    setup::ensure_all()?;
    let programs = match &arguments.programs {
        Some(folder) => std::path::absolute(folder)?,
        None => rig::build()?,
    };
    let scratch = Scratch::make("whole")?;
    // Its disk has a file system, and blocks go into a file there.
    let (image, _) = boot::write(scratch.path(), &Work { modules: MODULES, ..Work::default() })?;
    kernel::unpack(&image, &scratch.path().join(world::KERNEL))?;
    let text = |path: &Path| path.display().to_string();
    let qemu = qemu::folder()?;
    let qemu = qemu.parent().context("QEMU's folder has none above it")?;
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let mut command: Vec<String> = ["sh", "-c", COPY, "sh", PROGRAMS].map(str::to_owned).to_vec();
    command.extend([qemu, &programs.join("snowbird"), &programs.join("wandisk"), &own].map(text));
    command.extend(["whole".to_owned(), "--here".to_owned(), text(scratch.path())]);
    for act in arguments.only.iter().filter_map(Act::to_possible_value) {
        command.extend(["--only".to_owned(), act.get_name().to_owned()]);
    }
    let options = guest::Options { limit: LIMIT, ..guest::Options::default() };
    let kept = seen::forget(&options.share)?;
    println!("Booting a guest with Linux 6.12 (ublk, netem) …");
    let code = guest::run(&command, &options)?;
    if code != 0 {
        println!("What was seen is in {}", kept.display());
    }
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}
