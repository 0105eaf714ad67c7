//! Where things lie in the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The workspace's top folder: the parent of this crate's.
pub(crate) fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}

/// Cargo's folder for what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .and_then(|folder| std::path::absolute(folder).ok())
        .unwrap_or_else(|| root().join("target"))
}

/// Everything of the guest: kernel, init, disks, results. Can be deleted at any time no guest runs.
pub(crate) fn guest() -> PathBuf {
    target().join("guest")
}

/// A cargo that works on this workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds a program of this workspace that needs no library, for a guest's first root; with a target folder of its own, so that
/// another cargo may build the workspace meanwhile.
pub(crate) fn static_program(package: &str, target: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["rustc", "--quiet", "--release", "--package", package, "--bin", package, "--target-dir"]);
    command.arg(target).args(["--", "-C", "target-feature=+crt-static"]);
    crate::process::run(&mut command)?;
    Ok(target.join("release").join(package))
}

/// `cargo metadata` without the dependencies' dependencies.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version=1", "--no-deps"]);
    let text = crate::process::output(&mut command)?;
    serde_json::from_str(&text).context("cargo metadata gave no JSON")
}
