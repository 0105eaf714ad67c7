//! `cargo xtask bench`: how fast, beside a peer in the same run. Benchmarks are not tests: they print ratios.

mod counts;
mod disk;
pub(crate) mod display;
mod fio;
mod first_write;
mod gateway;
pub(crate) mod gl;
mod link;
mod migrate;
mod nbd;
mod paper;
mod ratio;
mod scale;
mod script;
mod spent;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::setup::kernel::Series;

/// Measure beside a peer in the same run, alternating.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench disk --mode buffered --rows sequential\n  cargo xtask bench nbd --runs 15 --millis 400"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// /dev/ublkbN, all chunks held, beside `rublk add loop` on the same file system, in the guest.
    Disk(Disk),
    /// The NBD export, all chunks held, beside `nbdkit file` and `qemu-nbd`, on this machine.
    Nbd(Runs),
    /// Create, attach and memory of large disks, on this machine.
    Scale(scale::Scale),
    /// The first writes to chunks that are clean, beside writes to the same chunks afterwards, on this machine.
    FirstWrite(first_write::Arguments),
    /// Over a WAN: `sync` beside iperf3 and ssh, reads of what is elsewhere, on this machine.
    Link(link::Arguments),
    /// The display proxy: frames a second at a distance, latency, lag, CPU, re-homes, on this machine.
    Display(display::Arguments),
    /// VMGL: programs of an agent whose OpenGL is drawn at the desk, over a WAN, on this machine.
    Gl(gl::Arguments),
    /// A connection of an agent's that is away, by each kind of gateway at home, beside the line, on this machine.
    Gateway(gateway::Arguments),
    /// The paper's evaluation: two jobs at a slow desk, at a fast server, and where Snowbird has them, on this machine.
    Paper(paper::Arguments),
    /// Live moves of an agent over a WAN: how long it stands, what of that is what, and all in all, on this machine.
    Migrate(migrate::Arguments),
    /// What `migrate` runs at the user's side of the line.
    #[command(hide = true)]
    MigrateNear(migrate::near::Near),
    /// What `disk` does inside the guest.
    #[command(hide = true)]
    DiskHere(Here),
}

/// How much to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Runs {
    /// Runs of each row and each peer; the median is shown. Where the scheduler puts a peer's threads is luck that lasts
    /// for a run: many short runs say more than few long ones.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Milliseconds a run.
    #[arg(long, default_value_t = 1000)]
    millis: u32,
    /// Only rows whose names have these words in them; may be repeated.
    #[arg(long, value_name = "WORDS")]
    rows: Vec<String>,
}

/// How `disk` measures.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Disk {
    #[command(flatten)]
    runs: Runs,
    /// How rublk opens its file; may be repeated. Without: buffered and direct.
    #[arg(long, value_enum)]
    mode: Vec<disk::Mode>,
    /// The guest's kernel: Debian's 6.12, or the newest of its backports.
    #[arg(long, value_enum, default_value_t)]
    kernel: Series,
    /// Instead of speed: what an I/O costs in system calls, ring entries, copies and context switches.
    #[arg(long)]
    counts: bool,
}

/// Where `disk-here` finds things.
#[derive(Debug, clap::Args)]
pub(crate) struct Here {
    #[command(flatten)]
    disk: Disk,
    #[arg(long)]
    program: PathBuf,
    #[arg(long)]
    rublk: PathBuf,
    #[arg(long)]
    dir: PathBuf,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.what {
        What::Disk(disk) => disk::in_guest(disk),
        What::DiskHere(here) => disk::here(here).map(|()| ExitCode::SUCCESS),
        What::Display(display) => display::measure(display).map(|()| ExitCode::SUCCESS),
        What::FirstWrite(arguments) => first_write::measure(arguments).map(|()| ExitCode::SUCCESS),
        What::Gateway(arguments) => gateway::measure(arguments).map(|()| ExitCode::SUCCESS),
        What::Gl(arguments) => gl::measure(arguments).map(|()| ExitCode::SUCCESS),
        What::Migrate(arguments) => migrate::measure(arguments).map(|()| ExitCode::SUCCESS),
        What::MigrateNear(near) => migrate::near::run(near).map(|()| ExitCode::SUCCESS),
        What::Scale(scale) => scale::measure(scale).map(|()| ExitCode::SUCCESS),
        What::Link(link) => link::main(link).map(|()| ExitCode::SUCCESS),
        What::Paper(paper) => paper::measure(paper).map(|()| ExitCode::SUCCESS),
        What::Nbd(runs) => nbd::measure(runs).map(|()| ExitCode::SUCCESS),
    }
}
