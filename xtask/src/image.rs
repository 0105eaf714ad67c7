//! Raw disk images: empty ones, and ext4 file systems, with the content of a folder if wanted.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A sparse file that is a disk.
#[derive(Debug)]
pub(crate) struct Image(PathBuf);

impl Image {
    /// A disk of zeroes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn empty(file: &Path, bytes: u64) -> Result<Self> {
        let created = std::fs::File::create(file).and_then(|disk| disk.set_len(bytes));
        created.with_context(|| format!("cannot create the disk {}", file.display()))?;
        Ok(Self(file.to_path_buf()))
    }

    /// An ext4 file system, with everything below `content` in it. Needs no root and no mount.
    ///
    /// # Errors
    /// When mkfs.ext4 is missing or fails, for example because the content does not fit.
    pub(crate) fn ext4(file: &Path, bytes: u64, content: Option<&Path>) -> Result<Self> {
        let image = Self::empty(file, bytes)?;
        let mkfs = process::find("mkfs.ext4").context("mkfs.ext4 is missing: cargo xtask setup")?;
        let mut command = Command::new(mkfs);
        command.args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]);
        if let Some(content) = content {
            command.arg("-d").arg(content);
        }
        process::output(command.arg(file))?;
        Ok(image)
    }

    /// The image's file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}
