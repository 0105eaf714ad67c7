//! Why a site could not be reached.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failed dial; each says which step it was, and what to do where that is not plain.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The program of a `cmd:` link is missing or not executable.
    #[error("the program {program:?} could not be started here; check the site's address")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The name means nothing here.
    #[error("the host {host:?} is not known by that name; check the spelling, or use its address")]
    NoSuchHost {
        /// The host.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// The host is there, but no SSH server on that port.
    #[error("{host} port {port} refuses connections; is an SSH server running there, on that port?")]
    NobodyListens {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The system's words.
        source: io::Error,
    },
    /// The way is blocked.
    #[error("{host} port {port} could not be reached; check the network between here and there")]
    Unreachable {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// What listens there is no SSH server that we understand.
    #[cfg(feature = "ssh")]
    #[error("no SSH connection to {host} could be made; what listens there may be something else")]
    Handshake {
        /// The host.
        host: String,
        /// libssh2's words.
        source: ssh2::Error,
    },
    /// Never seen: could be anybody.
    #[error(
        "the host key of {host} is not known ({fingerprint}); connect once with `ssh` and check it, \
         or add it to the known_hosts file"
    )]
    UnknownHostKey {
        /// The host.
        host: String,
        /// What it showed.
        fingerprint: String,
    },
    /// Another one than before: may be an attack.
    #[error(
        "THE HOST KEY OF {host} HAS CHANGED ({fingerprint}, another one is filed in {}): somebody may be listening \
         in; if the change is right, remove the old key with `ssh-keygen -R '{host}'`",
        file.display()
    )]
    ChangedHostKey {
        /// The host as it is filed.
        host: String,
        /// What it shows now.
        fingerprint: String,
        /// Where another key is filed.
        file: PathBuf,
    },
    /// Filed as `@revoked`.
    #[error("THE HOST KEY OF {host} IS REVOKED ({fingerprint}): whoever answers there must not be trusted")]
    RevokedHostKey {
        /// The host.
        host: String,
        /// What it shows.
        fingerprint: String,
    },
    /// Neither the agent's nor any key file's key was accepted.
    #[error(
        "{user}@{host} accepts none of the keys (tried: {tried}); add the public key to its authorized_keys, or name \
         another user or key"
    )]
    LoginRefused {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What was tried.
        tried: String,
    },
    /// A step after login.
    #[cfg(feature = "ssh")]
    #[error("the connection to {host} failed after login")]
    Ssh {
        /// The host.
        host: String,
        /// libssh2's words.
        source: ssh2::Error,
    },
    /// The user's ssh configuration, or the host as it sees it.
    #[error("the ssh program does not understand the host or the ssh configuration: {said}")]
    Configuration {
        /// Its words.
        said: String,
    },
    /// Something local.
    #[error("the link could not be set up")]
    Local(#[from] io::Error),
    /// Too slow.
    #[error("the site did not let us in within {} s; it or the way to it may be down", after.as_secs())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The dialling thread died.
    #[error("dialling ended unexpectedly")]
    Ended,
}

/// Why a far program ended; see [`crate::Tail::verdict`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FarEnd {
    /// Exit code 127 or 126: a shell's "not found", or "may not be run".
    #[error(
        "the program {program:?} is not there, or may not be run{}; install it at the far site, or say where it is \
         with `--remote-wandisk`",
        quoted(said)
    )]
    NoProgram {
        /// The program.
        program: String,
        /// Its last line on standard error.
        said: String,
    },
    /// Another failure.
    #[error("{program:?} ended there with exit code {code}{}", quoted(said))]
    Failed {
        /// The program.
        program: String,
        /// Its exit code.
        code: i32,
        /// Its last line on standard error.
        said: String,
    },
    /// Last words only.
    #[error("it said: {said}")]
    Said {
        /// Its last line on standard error.
        said: String,
    },
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (it said: {said})") }
}
