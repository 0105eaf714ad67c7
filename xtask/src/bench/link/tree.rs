//! A tree as users have them: whole folders of this machine's `/usr`, drawn until there are enough bytes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// Where the folders are taken from.
const FROM: [&str; 2] = ["/usr/share", "/usr/lib/x86_64-linux-gnu"];

/// Copies folders and files of `/usr` to a new folder, about so many bytes, the same ones for the same seed.
pub(super) fn copy(to: &Path, bytes: u64, seed: u64) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut all = Vec::new();
    for from in FROM {
        for entry in fs::read_dir(from).with_context(|| format!("cannot read {from}"))? {
            all.push(entry?.path());
        }
    }
    all.sort();
    fastrand::Rng::with_seed(seed).shuffle(&mut all);
    let mut taken: Vec<PathBuf> = Vec::new();
    let mut left = bytes;
    for path in all {
        let size = size(&path)?;
        // No single one is most of the tree.
        if size <= left && size <= bytes / 4 {
            left -= size;
            taken.push(path);
        }
    }
    let mut cp = Command::new("cp");
    // From the root: with names that begin with a slash it does not find the folders above them again.
    cp.current_dir("/").args(["--archive", "--parents"]);
    cp.args(taken.iter().map(|path| path.strip_prefix("/").unwrap_or(path))).arg(to);
    process::output(&mut cp).map(drop)
}

/// The blocks of everything at a path, in bytes.
fn size(path: &Path) -> Result<u64> {
    let data = fs::symlink_metadata(path)?;
    let mut sum = data.blocks() * 512;
    if data.is_dir() {
        for entry in fs::read_dir(path)? {
            sum += size(&entry?.path())?;
        }
    }
    Ok(sum)
}
