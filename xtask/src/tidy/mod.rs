//! `cargo xtask tidy`: the workspace's own rules, as checks that each list what breaks them.

mod crates;
mod manifests;
mod sources;
mod text;
mod tools;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

pub(crate) use crates::has_test_program;

use crate::process::span;

/// Check the workspace's own rules: format, lints, headers, dependencies.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the checks that need no compiler.
    #[arg(long)]
    fast: bool,
}

/// One check: what breaks it, one line (or a tool's report) each.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name as a step.
    pub(crate) name: &'static str,
    /// Runs it.
    pub(crate) run: fn() -> Result<Vec<String>>,
    /// It needs a compiler, and minutes.
    pub(crate) compiles: bool,
}

const fn check(name: &'static str, run: fn() -> Result<Vec<String>>) -> Check {
    Check { name, run, compiles: false }
}

/// All checks, the quick ones first.
pub(crate) const CHECKS: &[Check] = &[
    check("tidy: format", tools::format),
    check("tidy: sources", sources::check),
    check("tidy: manifests", manifests::check),
    check("tidy: crates", crates::check),
    check("tidy: licences", tools::deny),
    Check { name: "tidy: clippy", run: tools::clippy, compiles: true },
    Check { name: "tidy: light build", run: tools::light, compiles: true },
];

/// Runs all checks.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut all_hold = true;
    for check in CHECKS.iter().filter(|check| !(arguments.fast && check.compiles)) {
        let started = Instant::now();
        let faults = (check.run)()?;
        faults.iter().for_each(|fault| println!("{fault}"));
        let verdict = if faults.is_empty() { "ok    " } else { "FAILED" };
        println!("== {verdict} {} ({})", check.name, span(started.elapsed()));
        all_hold &= faults.is_empty();
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
