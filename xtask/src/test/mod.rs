//! `cargo xtask test`: everything that must hold, in steps, cheapest first.
//!
//! Invariants: a failed step does not keep later ones from running (only a failed setup does); no step
//! is left out in silence; the last line says how many tests passed and failed.

mod builds;
mod guest_tests;
mod host_tests;
mod output;
mod report;
mod runner;
mod schedule;
mod tally;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{process, setup, tidy, workspace};
use builds::Built;
use guest_tests::Program;
use host_tests::Part;
use output::Output;
use report::Report;
use runner::Step;
use schedule::{Kind, Needs};

/// The most memory that the tests of the host take, some at once: agents, browsers.
const HOST_TESTS_MIB: u64 = 2048;

/// The same of a cargo that checks, with as many compilers as there are processors.
const COMPILERS_MIB: u64 = 2048;

/// What is left to everybody else.
const SPARE_MIB: u64 = 512;

/// Run the tests: one line a step, all failures listed at the end.
///
/// Steps: setup, tidy (format, the workspace's rules), compiling; then at once the unit and process tests, the tests that
/// need a kernel with ublk, in guests, and clippy; at last the tests that want the machine for themselves.
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
    let setup = if arguments.quick { setup::ensure_build } else { setup::ensure_all };
    if report.step("setup", |_| setup().map(|()| true)) {
        if arguments.quick {
            quick(&mut report);
        } else if arguments.guest.is_empty() {
            every_step(&mut report);
        } else {
            guests(&mut report, &arguments.guest, &arguments.arguments);
        }
    }
    Ok(report.close())
}

fn quick(report: &mut Report) {
    for check in tidy::CHECKS {
        report.step(check.name, |output| checked(check, output));
    }
    report.step("unit and model tests", host_tests::quick);
}

fn every_step(report: &mut Report) {
    for check in tidy::CHECKS.iter().filter(|check| !check.compiles) {
        report.step(check.name, |output| checked(check, output));
    }
    let mut programs = Vec::new();
    let mut built = None;
    report.step("build of all tests", |output| {
        programs = guest_tests::find(&[])?;
        let boots = guest_tests::boots(&programs);
        let (all, debian) = std::thread::scope(|scope| {
            scope.spawn(|| guest_tests::prepare(&boots));
            let debian = scope.spawn(setup::debian::ensure);
            (builds::all(&programs), debian.join())
        });
        built = Some(all?);
        match debian {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => {
                output.text(&format!("{error:#}"));
                Ok(false)
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    runner::run(at_once(&programs, built.as_ref()), memory_mib(), report);
}

/// What runs beside each other, the most urgent first.
fn at_once<'a>(programs: &'a [Program], built: Option<&'a Built>) -> Vec<Step<'a>> {
    let built = move || built.context("it was not built");
    let host = |kind| Needs { kind, memory_mib: HOST_TESTS_MIB };
    let compiles = Needs { kind: Kind::Compiles, memory_mib: COMPILERS_MIB };

    let mut steps = vec![Step::new("unit and process tests", host(Kind::Host), move |output| {
        host_tests::run(Part::Usual, built()?, output)
    })];
    for program in guest_tests::boots(programs) {
        let (name, needs) = (program.step(), program.needs());
        steps.push(Step::new(name, needs, move |output| program.run(built()?, &[], output)));
    }
    for check in tidy::CHECKS.iter().filter(|check| check.compiles) {
        steps.push(Step::new(check.name, compiles, move |output| checked(check, output)));
    }
    steps.push(Step::new("documentation tests", compiles, move |output| {
        documentation_tests(programs, output)
    }));
    let alone = host(Kind::Alone);
    steps.push(Step::new("tests that want the machine for themselves", alone, move |output| {
        host_tests::run(Part::Heavy, built()?, output)
    }));
    steps
}

/// Named programs of guest tests, shown as they run.
fn guests(report: &mut Report, names: &[String], arguments: &[String]) {
    let mut found = None;
    report.step("build of guest tests", |_| {
        let programs = guest_tests::find(names)?;
        let built = builds::chosen(&programs)?;
        found = Some((programs, built));
        Ok(true)
    });
    let Some((programs, built)) = found else { return };
    for program in guest_tests::boots(&programs) {
        report.step(&program.step(), |output| program.run(&built, arguments, output));
    }
}

fn checked(check: &tidy::Check, output: &mut Output) -> Result<bool> {
    let faults = (check.run)()?;
    faults.iter().for_each(|fault| output.text(fault));
    Ok(faults.is_empty())
}

fn documentation_tests(programs: &[Program], output: &mut Output) -> Result<bool> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--quiet", "--doc", "--no-fail-fast"]);
    // As they were built.
    builds::with_features(&mut cargo, programs);
    process::all_lines(&mut cargo, |line| output.line(line))
}

/// How much memory steps may take together; none where the kernel does not say.
fn memory_mib() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available_mib(&told).unwrap_or(0).saturating_sub(SPARE_MIB)
}

/// What the kernel could give to new programs, from `/proc/meminfo`.
fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let told = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:   23068672 kB\n";
        assert_eq!(available_mib(told), Some(22_528));
        assert_eq!(available_mib("MemTotal: 1 kB\n"), None);
    }
}
