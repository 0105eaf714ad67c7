//! Tests that need root and a kernel of our choice: integration tests named `guest_*`, run in the guest, one boot for each
//! program.
//!
//! Such a test is `tests/guest_NAME.rs` with `required-features = ["guest"]`, so that an ordinary
//! `cargo test` neither runs it nor pretends to. It may ask for more than the defaults in its package:
//! `[package.metadata.guest.guest_NAME]` with `limit_seconds`, `memory_mib`, `scratch_gib` and
//! `disks_gib` (a list), and `env` (names of variables that it gets from the caller, where they are set). `newest_kernel = true` runs it
//! on the newest kernel as well. `GUEST_LIMIT` in the
//! caller's environment is another limit, in seconds, for searches that go on for long.
//! It finds the variable `WANDISK_BIN` (the product's program, if it was built), and `/scratch`, an ext4 file system.
//!
//! A limit is there for what hangs: beside the tests of the host a guest may take several times as long.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::builds::Built;
use super::output::Output;
use super::schedule::{Kind, Needs};
use crate::guest::{self, Options};
use crate::setup::kernel::Series;
use crate::workspace;

/// What QEMU takes beside the guest's memory.
const QEMU_MIB: u64 = 256;

/// One program of guest tests, on one kernel.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) package: String,
    pub(super) name: String,
    folder: PathBuf,
    options: Options,
    newest_kernel: bool,
}

/// The named programs, or all; those that may take longest first.
pub(super) fn find(names: &[String]) -> Result<Vec<Program>> {
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
    programs.sort_by_key(|program| Reverse(program.options.limit));
    Ok(programs)
}

/// Each program with each kernel that it runs on.
pub(super) fn boots(programs: &[Program]) -> Vec<Program> {
    let mut boots = programs.to_vec();
    for program in programs.iter().filter(|program| program.newest_kernel) {
        let mut newest = program.clone();
        newest.options.kernel = Series::Newest;
        boots.push(newest);
    }
    boots.sort_by_key(|program| Reverse(program.options.limit));
    boots
}

/// Gets what guests need beside the programs: kernels, and whether the processor can run them. What fails here fails again,
/// and is told, when the guest is to boot.
pub(super) fn prepare(boots: &[Program]) {
    for series in [Series::Stable, Series::Newest] {
        if boots.iter().any(|program| program.options.kernel == series) {
            drop(guest::prepare(series));
        }
    }
}

fn program(package: &Value, name: &str) -> Result<Program> {
    let manifest = package["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    let folder = manifest.context("cargo metadata names no manifest")?.to_path_buf();
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
    let newest_kernel = wishes["newest_kernel"].as_bool().unwrap_or(false);
    Ok(Program { package: package_name.to_owned(), name: name.to_owned(), folder, options, newest_kernel })
}

impl Program {
    /// Its step's name.
    pub(super) fn step(&self) -> String {
        let kernel = if self.options.kernel == Series::Newest { ", newest kernel" } else { "" };
        format!("guest tests: {}{kernel}", self.name)
    }

    pub(super) fn needs(&self) -> Needs {
        Needs { kind: Kind::Guest, memory_mib: u64::from(self.options.memory_mib) + QEMU_MIB }
    }

    /// Boots a guest and runs it there.
    pub(super) fn run(&self, built: &Built, arguments: &[String], output: &mut Output) -> Result<bool> {
        let test = built.test(&self.name)?;
        let mut copies = vec![test];
        let mut options = self.options.clone();
        if let Some(product) = built.program("wandisk") {
            options.env.push(format!("WANDISK_BIN={}", in_guest(product)?));
            copies.push(product);
        }
        options.env.push(format!("CARGO_MANIFEST_DIR={}", self.folder.display()));
        options.env.push("RUST_BACKTRACE=1".to_owned());
        // A real file system, with room.
        options.env.push("TMPDIR=/scratch".to_owned());
        options.cwd = Some(self.folder.clone());
        options.shown = output.is_live();
        // Two kernels may run one program at the same time.
        let kernel = if self.options.kernel == Series::Newest { "-newest" } else { "" };
        let log = workspace::guest().join("logs").join(format!("{}{kernel}.log", self.name));
        options.log = Some(log.clone());

        // Programs are paged in from memory, not over 9p again and again.
        let script = "cp -- \"$1\" /run/ && shift && if [ \"$1\" != -- ]; then cp -- \"$1\" /run/ && shift; fi && shift && exec \"$@\"";
        let mut command: Vec<String> = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        for file in copies {
            command.push(file.to_str().context("a program's path is no UTF-8")?.to_owned());
        }
        command.extend(["--".to_owned(), in_guest(test)?, "--test-threads=1".to_owned()]);
        command.extend(arguments.iter().cloned());
        let code = guest::run(&command, &options);
        for line in String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).lines() {
            if options.shown {
                output.count(line);
            } else {
                output.line(line);
            }
        }
        Ok(code? == 0)
    }
}

/// Where a program's copy lies in the guest.
fn in_guest(file: &Path) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a program has no name")?;
    Ok(format!("/run/{name}"))
}
