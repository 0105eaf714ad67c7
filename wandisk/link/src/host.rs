//! A connection to a host that is who it was: TCP, key exchange, host key.
//!
//! Strict: a key that is not filed is refused unless the user's settings believe new hosts; a key that differs from
//! what is filed is refused whatever the settings say.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use ssh2::{ErrorCode, HashType, HostKeyType, MethodType, Session};

use crate::deadline::Deadline;
use crate::error::DialError;
use crate::known_hosts::{Known, Verdict};
use crate::login::TIMEOUT;
use crate::ssh_config::Settings;

/// Bytes that nobody acknowledges for this long mean that the host is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Ciphers in the order they are asked for: where the processor has AES it is several times as fast as libssh2's
/// own ChaCha20. Nothing older.
const CIPHERS: &str =
    "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr,chacha20-poly1305@openssh.com";
const MACS: &str = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512";
/// Signature algorithms by kind of host key, in the order they are asked for. SHA-1 is not.
const KEY_KINDS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// Connects, and checks that the host is the one that is filed.
pub(crate) fn connect(
    settings: &Settings,
    known: &Known,
    deadline: Deadline,
) -> Result<(Session, TcpStream), DialError> {
    let tcp = tcp(settings, deadline)?;
    let socket = tcp.try_clone()?;
    let failed = |source: ssh2::Error| match source.code() {
        ErrorCode::Session(TIMEOUT) => deadline.passed(),
        _ => DialError::Handshake { host: settings.host.clone(), source },
    };
    let mut session = Session::new().map_err(failed)?;
    session.method_pref(MethodType::HostKey, &kinds(known)).map_err(failed)?;
    for direction in [MethodType::CryptCs, MethodType::CryptSc] {
        session.method_pref(direction, CIPHERS).map_err(failed)?;
    }
    for direction in [MethodType::MacCs, MethodType::MacSc] {
        session.method_pref(direction, MACS).map_err(failed)?;
    }
    session.set_timeout(deadline.left_ms()?);
    session.set_tcp_stream(tcp);
    session.handshake().map_err(failed)?;
    check(&session, settings, known)?;
    Ok((session, socket))
}

/// The filed kinds first: of several keys, the server shows the first that we ask for.
fn kinds(known: &Known) -> String {
    let filed: Vec<&str> = known.kinds().collect();
    let (first, last): (Vec<_>, Vec<_>) = KEY_KINDS.iter().partition(|(kind, _)| filed.contains(kind));
    let names: Vec<&str> = first.iter().chain(&last).map(|(_, algorithms)| *algorithms).collect();
    names.join(",")
}

fn check(session: &Session, settings: &Settings, known: &Known) -> Result<(), DialError> {
    let host = settings.filed.name.clone();
    let Some((key, kind)) = session.host_key() else {
        return Err(DialError::UnknownHostKey { host, fingerprint: "it shows none".to_owned() });
    };
    let fingerprint = fingerprint(session);
    match known.verdict(key) {
        Verdict::Known => Ok(()),
        Verdict::Revoked => Err(DialError::RevokedHostKey { host, fingerprint }),
        Verdict::Changed(file) => Err(DialError::ChangedHostKey { host, fingerprint, file }),
        Verdict::Unknown if settings.accept_new => {
            // As ssh does: a file that cannot be written is no reason to refuse.
            if let Err(e) = note(settings, key, kind) {
                tracing::warn!(host, error = %e, "the new host's key could not be filed");
            }
            Ok(())
        }
        Verdict::Unknown => Err(DialError::UnknownHostKey { host, fingerprint }),
    }
}

/// Files a new host's key.
fn note(settings: &Settings, key: &[u8], kind: HostKeyType) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let kind = match kind {
        HostKeyType::Rsa => "ssh-rsa",
        HostKeyType::Ecdsa256 => "ecdsa-sha2-nistp256",
        HostKeyType::Ecdsa384 => "ecdsa-sha2-nistp384",
        HostKeyType::Ecdsa521 => "ecdsa-sha2-nistp521",
        HostKeyType::Ed25519 => "ssh-ed25519",
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let path: &Path = settings.known_hosts.first().ok_or(io::ErrorKind::NotFound)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // A last line without an end would swallow ours.
    let whole = std::fs::read(path).map_or(true, |text| text.last().is_none_or(|byte| *byte == b'\n'));
    let start = if whole { "" } else { "\n" };
    let line = format!("{start}{} {kind} {}\n", settings.filed.name, base64(key));
    let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())
}

/// The fingerprint as `ssh` shows it.
fn fingerprint(session: &Session) -> String {
    let hash = session.host_key_hash(HashType::Sha256).map(base64).unwrap_or_default();
    format!("SHA256:{}", hash.trim_end_matches('='))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Tries the host's addresses in turn; none may use up the time of those after it.
fn tcp(settings: &Settings, deadline: Deadline) -> Result<TcpStream, DialError> {
    let (host, port) = (settings.host.clone(), settings.port);
    let unknown = |source| DialError::NoSuchHost { host: host.clone(), source };
    let addresses: Vec<_> = (host.as_str(), port).to_socket_addrs().map_err(unknown)?.take(16).collect();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (at, address) in addresses.iter().enumerate() {
        let share = u32::try_from(addresses.len() - at).unwrap_or(1);
        match TcpStream::connect_timeout(address, deadline.left()? / share) {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                // Best effort: what a kernel does not have is not missed.
                sockopt::set_socket_keepalive(&tcp, true).ok();
                sockopt::set_tcp_keepidle(&tcp, SILENCE / 2).ok();
                sockopt::set_tcp_keepintvl(&tcp, SILENCE / 6).ok();
                sockopt::set_tcp_keepcnt(&tcp, 3).ok();
                let silence_ms = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
                sockopt::set_tcp_user_timeout(&tcp, silence_ms).ok();
                return Ok(tcp);
            }
            Err(e) => last = e,
        }
    }
    if last.kind() == io::ErrorKind::TimedOut {
        deadline.left()?;
    }
    Err(match last.kind() {
        io::ErrorKind::ConnectionRefused => DialError::NobodyListens { host, port, source: last },
        _ => DialError::Unreachable { host, port, source: last },
    })
}
