//! Passwords, which come from files: a command line can be read by everybody on the machine.

use std::path::Path;

use anyhow::{Context, Result};
pub(super) use vmgl_proxy::reception::security;

/// A file's first line.
pub(super) fn password(path: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read(path).with_context(|| format!("the password in {}", path.display()))?;
    Ok(text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}
