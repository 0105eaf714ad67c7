//! Passwords, which come from files: a command line can be read by everybody on the machine.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use vmgl_rfb::Security;

/// A file's first line.
pub(super) fn password(path: &Path) -> Result<Vec<u8>> {
    let text = std::fs::read(path).with_context(|| format!("the password in {}", path.display()))?;
    Ok(text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}

/// What a viewer is asked for, with a challenge of its own.
pub(super) fn security(known: Option<&Vec<u8>>) -> Result<Security> {
    let Some(password) = known else { return Ok(Security::None) };
    let mut challenge = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut challenge)?;
    Ok(Security::VncAuth { password: password.clone(), challenge })
}
