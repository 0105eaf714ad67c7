//! Why a site could not be reached.

use std::io;
use std::time::Duration;

/// A failed dial; each says which step it was.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The program of a `cmd:` link is missing or not executable.
    #[error("the program {program:?} could not be started")]
    Spawn {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// The name means nothing here.
    #[error("the host {host:?} is not known by that name")]
    NoSuchHost {
        /// The host.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// Nobody listens there, or the way is blocked.
    #[error("{host} port {port} could not be reached")]
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
    #[error("no SSH connection to {host} could be made")]
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
        "THE HOST KEY OF {host} HAS CHANGED ({fingerprint}): somebody may be listening in; if the change is right, \
         remove the old key with `ssh-keygen -R`"
    )]
    ChangedHostKey {
        /// The host.
        host: String,
        /// What it shows now.
        fingerprint: String,
    },
    /// Neither the agent's nor any key file's key was accepted.
    #[error("{user}@{host} accepts none of the keys (tried: {tried})")]
    Refused {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What was tried.
        tried: String,
    },
    /// A step after login.
    #[cfg(feature = "ssh")]
    #[error("the connection to {host} failed")]
    Ssh {
        /// The host.
        host: String,
        /// libssh2's words.
        source: ssh2::Error,
    },
    /// Something local.
    #[error("the link could not be set up")]
    Local(#[from] io::Error),
    /// Too slow.
    #[error("the site did not answer within {} s", after.as_secs())]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// The dialling thread died.
    #[error("dialling ended unexpectedly")]
    Ended,
}
