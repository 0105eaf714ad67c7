//! `cargo xtask test`: everything that must hold, in steps, cheapest first.
//!
//! Invariants: a failed step does not keep later ones from running (only a failed setup does); no step
//! is left out in silence; the last line says how many tests passed and failed.

mod guest_tests;
mod report;
mod tally;

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{process, setup, tidy, workspace};
use report::Report;
use tally::Tally;

/// Run the tests: one line a step, all failures listed at the end.
///
/// Steps: setup, tidy (format, clippy, the workspace's rules), unit and process tests, documentation
/// tests, and the tests that need a kernel with ublk, in the guest.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test --quick
  cargo xtask test
  cargo xtask test --guest guest_ublk -- flush")]
pub(crate) struct Arguments {
    /// Only tidy and the unit and model tests.
    #[arg(long, conflicts_with = "guest")]
    quick: bool,
    /// Only this program of guest tests; may be repeated.
    #[arg(long, value_name = "NAME")]
    guest: Vec<String>,
    /// Arguments of the guest test programs, for example a part of a test's name.
    #[arg(last = true, requires = "guest")]
    arguments: Vec<String>,
}

/// Runs the steps.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let mut report = Report::new();
    if arguments.guest.is_empty() {
        let setup = if arguments.quick { setup::ensure_build } else { setup::ensure_all };
        if report.step("setup", |_| setup().map(|()| true)) {
            every_step(&mut report, arguments.quick);
        }
    } else if report.step("setup", |_| setup::ensure_all().map(|()| true)) {
        guest_tests::steps(&mut report, &arguments.guest, &arguments.arguments);
    }
    Ok(report.close())
}

fn every_step(report: &mut Report, quick: bool) {
    for check in tidy::CHECKS {
        report.step(check.name, |_| {
            let faults = (check.run)()?;
            faults.iter().for_each(|fault| println!("{fault}"));
            Ok(faults.is_empty())
        });
    }
    if quick {
        report.step("unit and model tests", |tally| unit_tests(true, tally));
        return;
    }
    report.step("unit and process tests", |tally| unit_tests(false, tally));
    report.step("documentation tests", |tally| {
        counted(workspace::cargo().args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"]), tally)
    });
    guest_tests::steps(report, &[], &[]);
}

/// The tests of the host: unit tests, models (test programs whose name starts with `model`) and, unless
/// `quick`, those of several processes.
fn unit_tests(quick: bool, tally: &mut Tally) -> Result<bool> {
    let mut cargo = workspace::cargo();
    if process::find("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--no-tests=pass"]);
    } else {
        println!("cargo-nextest is not installed: cargo test runs the tests, one program after the other");
        cargo.args(["test", "--quiet", "--no-fail-fast"]);
    }
    cargo.args(["--workspace", "--lib", "--bins"]);
    if !quick {
        // Tests of several processes start examples too.
        cargo.args(["--tests", "--examples"]);
    } else if tidy::has_test_program("model")? {
        // Cargo takes a pattern that fits nothing for a mistake.
        cargo.args(["--test", "model*"]);
    }
    counted(&mut cargo, tally)
}

/// Runs the command, shows what it says as it comes, and counts the tests it reports.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    process::shown(command, |line| tally.read(line))
}
