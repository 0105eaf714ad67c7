//! Tests that need root and a kernel of our choice: integration tests named `guest_*`, compiled here
//! and run in the guest, one boot for each program.
//!
//! Such a test is `tests/guest_NAME.rs` with `required-features = ["guest"]`, so that an ordinary
//! `cargo test` neither runs it nor pretends to. It may ask for more than the defaults in its package:
//! `[package.metadata.guest.guest_NAME]` with `limit_seconds`, `memory_mib`, `scratch_gib` and
//! `disks_gib` (a list), and `env` (names of variables that it gets from the caller, where they are set). `newest_kernel = true` runs it
//! on the newest kernel as well. `GUEST_LIMIT` in the
//! caller's environment is another limit, in seconds, for searches that go on for long.
//! It finds the variables `WANDISK_BIN` (the product's program) and `EXAMPLES_DIR` (its package's
//! examples), and `/scratch`, an ext4 file system.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::report::Report;
use super::tally::Tally;
use crate::guest::{self, Options};
use crate::setup::kernel::Series;
use crate::{process, workspace};

/// One program of guest tests.
#[derive(Debug)]
struct Program {
    package: String,
    name: String,
    folder: PathBuf,
    options: Options,
    examples: bool,
    newest_kernel: bool,
}

/// Runs the named programs, or all.
pub(super) fn steps(report: &mut Report, names: &[String], arguments: &[String]) {
    let programs = match find(names) {
        Ok(programs) => programs,
        Err(error) => {
            report.step("guest tests", |_| Err(error));
            return;
        }
    };
    for mut program in programs {
        report.step(&format!("guest tests: {}", program.name), |tally| run(&program, arguments, tally));
        if program.newest_kernel {
            program.options.kernel = Series::Newest;
            let name = format!("guest tests: {}, newest kernel", program.name);
            report.step(&name, |tally| run(&program, arguments, tally));
        }
    }
}

fn find(names: &[String]) -> Result<Vec<Program>> {
    let metadata = workspace::metadata()?;
    let mut programs = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let name = target["name"].as_str().unwrap_or_default();
            if target["kind"][0] != "test" || !name.starts_with("guest_") {
                continue;
            }
            if target["required-features"][0] != "guest" {
                bail!(
                    "the test {name} must have required-features = [\"guest\"] in its package's Cargo.toml"
                );
            }
            if names.is_empty() || names.iter().any(|wanted| wanted == name) {
                programs.push(program(package, name)?);
            }
        }
    }
    if let Some(missing) = names.iter().find(|name| programs.iter().all(|program| program.name != **name)) {
        bail!("there is no program of guest tests named {missing}");
    }
    Ok(programs)
}

fn program(package: &Value, name: &str) -> Result<Program> {
    let manifest = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    let folder = manifest.context("cargo metadata names no manifest")?.to_path_buf();
    let kinds = package["targets"].as_array().into_iter().flatten().map(|target| &target["kind"][0]);
    let wishes = &package["metadata"]["guest"][name];
    let mut options = Options::default();
    if let Some(seconds) = wishes["limit_seconds"].as_u64() {
        options.limit = Duration::from_secs(seconds);
    }
    if let Some(mebibytes) = wishes["memory_mib"].as_u64() {
        options.memory_mib = u32::try_from(mebibytes)?;
    }
    if let Some(gibibytes) = wishes["scratch_gib"].as_u64() {
        options.scratch_bytes = gibibytes << 30;
    }
    for gibibytes in wishes["disks_gib"].as_array().into_iter().flatten() {
        options.disks_bytes.push(gibibytes.as_u64().context("disks_gib is a list of numbers")? << 30);
    }
    for name in wishes["env"].as_array().into_iter().flatten() {
        let name = name.as_str().context("env is a list of names")?;
        options.env.extend(std::env::var(name).ok().map(|value| format!("{name}={value}")));
    }
    if let Ok(seconds) = std::env::var("GUEST_LIMIT") {
        options.limit = Duration::from_secs(seconds.parse().context("GUEST_LIMIT is a number of seconds")?);
    }
    let package_name = package["name"].as_str().context("cargo metadata names no package")?;
    let examples = kinds.into_iter().any(|kind| kind == "example");
    let newest_kernel = wishes["newest_kernel"].as_bool().unwrap_or(false);
    let package = package_name.to_owned();
    Ok(Program { package, name: name.to_owned(), folder, options, examples, newest_kernel })
}

fn run(program: &Program, arguments: &[String], tally: &mut Tally) -> Result<bool> {
    let mut built = built(&mut test_build(program))?;
    let test = built.remove(&program.name).context("cargo built no test program")?;
    let mut copies = vec![test.clone()];
    let mut options = program.options.clone();
    if let Some(product) = product()? {
        options.env.push(format!("WANDISK_BIN={}", in_guest(&product)?));
        copies.push(product);
    }
    let examples = workspace::target().join("debug/examples");
    options.env.push(format!("EXAMPLES_DIR={}", examples.display()));
    options.env.push(format!("CARGO_MANIFEST_DIR={}", program.folder.display()));
    options.env.push("RUST_BACKTRACE=1".to_owned());
    // A real file system, with room.
    options.env.push("TMPDIR=/scratch".to_owned());
    options.cwd = Some(program.folder.clone());
    let log = workspace::guest().join("logs").join(format!("{}.log", program.name));
    options.log = Some(log.clone());

    // Programs are paged in from memory, not over 9p again and again.
    let script = "cp -- \"$1\" /run/ && shift && if [ \"$1\" != -- ]; then cp -- \"$1\" /run/ && shift; fi && shift && exec \"$@\"";
    let mut command: Vec<String> = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    for file in copies {
        command.push(file.to_str().context("a program's path is no UTF-8")?.to_owned());
    }
    command.extend(["--".to_owned(), in_guest(&test)?, "--test-threads=1".to_owned()]);
    command.extend(arguments.iter().cloned());
    let code = guest::run(&command, &options)?;
    String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default())
        .lines()
        .for_each(|line| tally.read(line));
    Ok(code == 0)
}

/// Compiles the program, with the whole workspace chosen as in the step before: chosen alone, its dependencies have
/// fewer features and would all be compiled once more.
fn test_build(program: &Program) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics", "--workspace"]);
    cargo.args(["--features", &format!("{}/guest", program.package), "--test", &program.name]);
    if program.examples {
        cargo.arg("--examples");
    }
    cargo
}

/// Where a program's copy lies in the guest.
fn in_guest(file: &Path) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a program has no name")?;
    Ok(format!("/run/{name}"))
}

/// The product's program, built, if the workspace has one.
fn product() -> Result<Option<PathBuf>> {
    let metadata = workspace::metadata()?;
    let mut targets = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|package| package["targets"].as_array().into_iter().flatten());
    if !targets.any(|target| target["kind"][0] == "bin" && target["name"] == "wandisk") {
        return Ok(None);
    }
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    // As in `test_build`.
    cargo.args(["--workspace", "--bin", "wandisk"]);
    Ok(built(&mut cargo)?.remove("wandisk"))
}

/// Runs cargo; the programs it built, or found built, by the names of their targets.
fn built(cargo: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    let mut programs = BTreeMap::new();
    let success = process::lines(cargo, |line| {
        let Ok(message) = serde_json::from_str::<Value>(line) else { return };
        if let (Some(name), Some(file)) = (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            programs.insert(name.to_owned(), PathBuf::from(file));
        }
    })?;
    if !success {
        bail!("{} failed", process::line(cargo));
    }
    Ok(programs)
}
