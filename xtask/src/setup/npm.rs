//! noVNC, which the display proxy's page draws with and which browsers' tests need: of npm, since Debian's is older.
//! MPL-2.0; installed below `target/` where the proxy finds it, never committed. No script of a package runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// Fixed, so that tests of different days are of the same program.
const NOVNC: &str = "@novnc/novnc@1.7.0";

/// The module it begins with.
fn first() -> PathBuf {
    folder().join("node_modules/@novnc/novnc/core/rfb.js")
}

fn folder() -> PathBuf {
    workspace::target().join("npm")
}

/// Whether it is there.
pub(super) fn has_novnc() -> bool {
    first().is_file()
}

/// Installs it if it is not there.
///
/// # Errors
/// When npm cannot.
pub(super) fn ensure_novnc() -> Result<()> {
    if has_novnc() {
        return Ok(());
    }
    println!("installing {NOVNC}");
    std::fs::create_dir_all(folder())?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    process::run(npm.arg(folder()).arg(NOVNC)).context("npm cannot install noVNC")?;
    if !has_novnc() {
        bail!("installed, but not found where expected: {}", first().display());
    }
    Ok(())
}
