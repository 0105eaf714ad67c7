//! Makes the traces that tests replay. `cargo run -p manager --example traces -- make DIR` writes the scripted ones, the same
//! for the same seed; `… quota DIR PROCS` records a real process whose CPU is limited by the cgroup that file is of.
//!
//! Scripted means: a user, a screen and vCPUs as the script says, with jitter. What is known of a trace (which phase it
//! really was, from when) is in its header, so that a test can tell how long a profile took to see it.

#![forbid(unsafe_code)]

mod quota;
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
        Command::Quota { folder, procs } => quota::record(&folder, &procs),
    }
}
