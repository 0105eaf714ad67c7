//! `cargo xtask bench`: how fast, beside a peer in the same run. Benchmarks are not tests: they print ratios.

mod disk;
mod fio;
mod link;
mod nbd;
mod scale;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

/// Measure beside a peer in the same run, alternating.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench disk\n  cargo xtask bench nbd --runs 5 --seconds 3")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// /dev/ublkbN, all chunks held, beside `rublk add loop` on the same file system, in the guest.
    Disk(Runs),
    /// The NBD export, all chunks held, beside `nbdkit file` and `qemu-nbd`, on this machine.
    Nbd(Runs),
    /// Create, attach and memory of large disks, on this machine.
    Scale(scale::Scale),
    /// Over a WAN: `sync` beside iperf3 and ssh, reads of what is elsewhere, on this machine.
    Link(link::Arguments),
    /// What `disk` does inside the guest.
    #[command(hide = true)]
    DiskHere(Here),
}

/// How much to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Runs {
    /// Runs of each row and each peer; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds a run.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
}

/// Where `disk-here` finds things.
#[derive(Debug, clap::Args)]
pub(crate) struct Here {
    #[command(flatten)]
    runs: Runs,
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
        What::Disk(runs) => disk::in_guest(runs),
        What::DiskHere(here) => disk::here(here).map(|()| ExitCode::SUCCESS),
        What::Scale(scale) => scale::measure(scale).map(|()| ExitCode::SUCCESS),
        What::Link(link) => link::main(link).map(|()| ExitCode::SUCCESS),
        What::Nbd(runs) => nbd::measure(runs).map(|()| ExitCode::SUCCESS),
    }
}
