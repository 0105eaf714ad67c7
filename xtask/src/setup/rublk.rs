//! rublk, the peer that benchmarks of `/dev/ublkbN` run beside ours. It is GPL: run as a program of its
//! own, never linked.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Fixed, so that figures of different days compare.
const VERSION: &str = "0.2.15";

/// Its program, compiled if it is not there (some minutes).
///
/// # Errors
/// When it cannot be compiled.
pub(crate) fn ensure_rublk() -> Result<PathBuf> {
    let folder = workspace::guest().join("rublk");
    let binary = folder.join("bin/rublk");
    if binary.is_file() {
        return Ok(binary);
    }
    println!("compiling rublk {VERSION}");
    let mut cargo = workspace::cargo();
    cargo.args(["install", "--quiet", "--locked", "--version", VERSION, "--root"]).arg(&folder).arg("rublk");
    process::run(&mut cargo).context("rublk cannot be compiled")?;
    Ok(binary)
}
