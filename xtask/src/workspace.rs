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

/// `cargo metadata` without the dependencies' dependencies.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version=1", "--no-deps"]);
    let text = crate::process::output(&mut command)?;
    serde_json::from_str(&text).context("cargo metadata gave no JSON")
}
