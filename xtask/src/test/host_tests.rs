//! The tests of the host: unit tests, models, and those of several processes.
//!
//! By cargo-nextest where it is installed; else by `cargo test`, one program after the other.

use anyhow::Result;

use super::builds::{Built, Listed};
use super::output::Output;
use crate::{process, tidy, workspace};

/// Which of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// All that may run beside others.
    Usual,
    /// Those in modules named `heavy`, which want the machine for themselves.
    Heavy,
}

/// Runs what was built.
pub(super) fn run(part: Part, built: &Built, output: &mut Output) -> Result<bool> {
    match &built.listed {
        Some(listed) => by_nextest(part, listed, output),
        None => by_cargo(part, output),
    }
}

fn by_nextest(part: Part, listed: &Listed, output: &mut Output) -> Result<bool> {
    let mut nextest = workspace::cargo();
    nextest.args(["nextest", "run", "--no-tests=pass", "--binaries-metadata"]).arg(&listed.binaries);
    nextest.arg("--cargo-metadata").arg(&listed.packages);
    // Programs of guest tests were built with the others, and must not run here.
    nextest.arg("--filterset").arg(match part {
        Part::Usual => "not binary(/^guest_/) and not test(/(^|::)heavy::/)",
        Part::Heavy => "not binary(/^guest_/) and test(/(^|::)heavy::/)",
    });
    process::all_lines(&mut nextest, |line| output.line(line))
}

/// Cargo compiles them anew: with the features of guest tests it would run those, too.
fn by_cargo(part: Part, output: &mut Output) -> Result<bool> {
    output.line("cargo-nextest is not installed: cargo test runs the tests, one program after the other");
    let mut cargo = workspace::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--no-fail-fast",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
    ]);
    let names: &[&str] = match part {
        Part::Usual => &["--skip", "heavy::"],
        Part::Heavy => &["heavy::"],
    };
    cargo.arg("--").args(names);
    process::all_lines(&mut cargo, |line| output.line(line))
}

/// Compiles and runs unit tests and models: test programs whose name starts with `model`.
pub(super) fn quick(output: &mut Output) -> Result<bool> {
    let mut cargo = workspace::cargo();
    if process::find("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--no-tests=pass"]);
    } else {
        output.line("cargo-nextest is not installed: cargo test runs the tests, one program after the other");
        cargo.args(["test", "--quiet", "--no-fail-fast"]);
    }
    cargo.args(["--workspace", "--lib", "--bins"]);
    // Cargo takes a pattern that fits nothing for a mistake.
    if tidy::has_test_program("model")? {
        cargo.args(["--test", "model*"]);
    }
    process::all_lines(&mut cargo, |line| output.line(line))
}
