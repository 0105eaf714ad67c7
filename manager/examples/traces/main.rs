//! Makes the traces that tests replay. `cargo run -p manager --example traces -- record DIR` records real programs on a
//! real screen through the display proxy and a path, with hands that do what is written down; `… quota DIR PROCS` records a
//! real process whose CPU is limited by the cgroup that file is of; `… make DIR` writes the scripted ones, the same for the same seed.
//!
//! Scripted means: a user, a screen and vCPUs as the script says, with jitter. What is known of a trace (which phase it
//! really was, from when) is in its header, so that a test can tell how long a profile took to see it.

#![forbid(unsafe_code)]

mod quota;
mod real;
mod script;
mod scripts;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Makes traces for tests of profiles.
#[derive(Debug, Parser)]
enum Command {
    /// Writes all scripted traces.
    Make {
        /// Where to.
        folder: PathBuf,
        /// Another seed makes another jitter.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Records real runs, all at once: 5 minutes.
    Record {
        /// Where to.
        folder: PathBuf,
        /// Which; else all.
        names: Vec<String>,
    },
    /// Records a busy process for 75 s under a quota. As root, with cgroup v1:
    /// mkdir /sys/fs/cgroup/cpu/quota; echo 40000 > /sys/fs/cgroup/cpu/quota/cpu.cfs_quota_us
    Quota {
        /// Where to.
        folder: PathBuf,
        /// The group's cgroup.procs.
        procs: PathBuf,
    },
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Make { folder, seed } => scripts::all(&folder, seed),
        Command::Record { folder, names } => real::record(&folder, &names),
        Command::Quota { folder, procs } => quota::record(&folder, &procs),
    }
}
