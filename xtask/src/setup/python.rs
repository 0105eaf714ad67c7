//! Programs of Python's that tests use as peers, in an environment of their own below `target/`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// What is installed, and the program by which it is seen to be there. Versions are fixed: what a peer does
/// is part of what a test says.
const PEERS: &[(&str, &str)] = &[("vncdotool==1.4.2", "vncdo")];

/// Makes the environment where something of it is missing.
///
/// # Errors
/// When it cannot be made.
pub(super) fn ensure() -> Result<()> {
    let (folder, missing) = (folder(), missing());
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} below target/peers", missing.join(" "));
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("Python's environment cannot be made")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(missing);
    process::run(&mut pip).context("peers written in Python cannot be installed")
}

/// What is missing, as pip names it.
pub(super) fn missing() -> Vec<&'static str> {
    let there = |program: &str| folder().join("bin").join(program).is_file();
    PEERS.iter().filter(|(_, program)| !there(program)).map(|(name, _)| *name).collect()
}

fn folder() -> PathBuf {
    workspace::target().join("peers")
}
