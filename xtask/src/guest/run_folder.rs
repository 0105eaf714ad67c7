//! The files of one run of the guest: initramfs, disks, the kernel's log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::workspace;

/// A folder named after this process, deleted with its value. What a killed process left is deleted by
/// the next run.
#[derive(Debug)]
pub(super) struct RunFolder(PathBuf);

impl RunFolder {
    pub(super) fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let all = workspace::guest().join("run");
        std::fs::create_dir_all(&all).with_context(|| format!("cannot create {}", all.display()))?;
        for entry in std::fs::read_dir(&all)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = name.split('-').next().unwrap_or_default().to_owned();
            if !Path::new("/proc").join(process).exists() {
                // Another run may be deleting it too.
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = all.join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the kernel and init wrote to the serial console.
    pub(super) fn console(&self) -> String {
        let log = std::fs::read(self.path("serial")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// The end of what was written to the console.
pub(super) fn last_words(console: &str) -> String {
    let lines: Vec<_> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
    format!("--- the guest's console, last {} of {} lines\n{}", last.len(), lines.len(), last.join("\n"))
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
