//! The workspace's files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace;

/// A file of the workspace, and its text.
#[derive(Debug)]
pub(super) struct File {
    /// From the workspace's top, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it holds tests only.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
    }
}

/// Every text file, but what is built and what other programs keep in hidden folders.
pub(super) fn files() -> Result<Vec<File>> {
    let root = workspace::root();
    let mut found = Vec::new();
    collect(&root, &root, &mut found)?;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<File>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            let hidden =
                name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".config" | ".cargo" | ".github");
            if !hidden && !path.join("CACHEDIR.TAG").exists() && name != "work.local" {
                collect(root, &path, found)?;
            }
            continue;
        }
        // Other files are not text: test corpora, images. A file may also vanish while this runs.
        if let Ok(text) = std::fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push(File { path, text });
        }
    }
    Ok(())
}
