//! `cargo xtask soak`: three sites under random I/O, moves, syncs, deaths and cut links, for as long as is wanted.

use std::process::ExitCode;

use anyhow::Result;

use crate::{process, setup, workspace};

/// Three sites under random I/O, moves, syncs, deaths of keepers and cut links; the first wrong byte ends it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask soak --minutes 30\n  cargo xtask soak --minutes 5 --seed 4711"
)]
pub(crate) struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: u64,
    /// Where the random numbers begin; it is printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the same program that `cargo xtask test` runs for some seconds.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure_all()?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--package", "wandisk", "--test", "soak", "--", "--nocapture"]);
    cargo.env("SOAK_SECONDS", (arguments.minutes * 60).to_string());
    if let Some(seed) = arguments.seed {
        cargo.env("SOAK_SEED", seed.to_string());
    }
    process::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}
