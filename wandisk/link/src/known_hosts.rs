//! Is it the host that it was? Strict: not known is not good enough.

use std::io::Write;
use std::path::Path;

use ssh2::{CheckResult, HashType, KnownHostFileKind, Session};

use crate::error::DialError;
use crate::ssh_config::Settings;

/// What the known_hosts files say of the key that a host shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    /// No key of this host is filed (or none of this kind).
    Unknown,
    /// A key of this kind is filed, and it is another one.
    Changed,
}

/// Looks the host's key up.
pub(crate) fn check(session: &Session, settings: &Settings) -> Result<Verdict, DialError> {
    let failed = |source| DialError::Ssh { host: settings.key_name.clone(), source };
    let (key, _) = session.host_key().ok_or_else(|| failed(ssh2::Error::unknown()))?;
    let mut known = session.known_hosts().map_err(failed)?;
    for file in settings.known_hosts.iter().filter(|f| f.exists()) {
        // A line that libssh2 cannot read must not hide the others: it reads up to it, and what follows is unknown.
        if let Err(e) = known.read_file(file, KnownHostFileKind::OpenSSH) {
            tracing::debug!(file = %file.display(), error = %e, "a known_hosts file was not read to its end");
        }
    }
    Ok(match known.check_port(&settings.key_name, settings.port, key) {
        CheckResult::Match => Verdict::Known,
        CheckResult::Mismatch => Verdict::Changed,
        CheckResult::NotFound | CheckResult::Failure => Verdict::Unknown,
    })
}

/// Files a new host's key, where the user's settings say that new hosts are believed.
pub(crate) fn note(session: &Session, settings: &Settings) -> Option<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let (key, kind) = session.host_key()?;
    let kind = match kind {
        ssh2::HostKeyType::Rsa => "ssh-rsa",
        ssh2::HostKeyType::Ecdsa256 => "ecdsa-sha2-nistp256",
        ssh2::HostKeyType::Ecdsa384 => "ecdsa-sha2-nistp384",
        ssh2::HostKeyType::Ecdsa521 => "ecdsa-sha2-nistp521",
        ssh2::HostKeyType::Ed25519 => "ssh-ed25519",
        _ => return None,
    };
    let name = if settings.port == 22 {
        settings.key_name.clone()
    } else {
        format!("[{}]:{}", settings.key_name, settings.port)
    };
    let path: &Path = settings.known_hosts.first()?;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok()?;
    writeln!(file, "{name} {kind} {}", base64(key)).ok()
}

/// The fingerprint as `ssh` shows it.
pub(crate) fn fingerprint(session: &Session) -> String {
    let hash = session.host_key_hash(HashType::Sha256).map(base64).unwrap_or_default();
    format!("SHA256:{}", hash.trim_end_matches('='))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
