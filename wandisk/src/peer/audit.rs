//! Who a session is with, and the line of the log that tells of it when it has ended.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use wandisk_store::DiskId;

use super::error::{Code, Refusal};
use super::message::HelloFields;
use super::permit::Mode;
use super::session::Session;

/// Longest `SSH_CONNECTION` that is believed: two addresses with zones and two ports.
const CONNECTION_MAX: usize = 160;

/// Where a session came from, as `serve` saw it. Told to the keeper on the first line of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOrigin {
    /// What the peer's key permits.
    #[serde(default)]
    pub mode: Mode,
    /// `SSH_CONNECTION`, where sshd set it: addresses and ports of both ends.
    #[serde(default)]
    pub ssh: Option<String>,
}

/// `SSH_CONNECTION` if it is one: it is written to a log.
#[must_use]
pub fn connection(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:% -_".contains(c);
    (!text.is_empty() && text.len() <= CONNECTION_MAX && text.chars().all(plain)).then(|| text.to_owned())
}

/// Refusals of one session that are told one by one: a peer must not fill the disk with our log.
const REFUSALS_TOLD: u32 = 16;

/// Tells of what a peer was not permitted.
#[derive(Debug, Default)]
pub struct Refusals {
    told: AtomicU32,
}

impl Refusals {
    /// Tells of it, if it is one and not too many were.
    pub fn note<T>(&self, peer: &HelloFields, result: &Result<T, Refusal>) {
        let Err(refusal) = result else { return };
        if refusal.code == Code::Forbidden && self.told.fetch_add(1, Ordering::Relaxed) < REFUSALS_TOLD {
            tracing::warn!(site = peer.name, uuid = %peer.site, why = refusal.message, "a request was refused");
        }
    }
}

/// Tells of a session that a peer opened.
pub fn audit(session: &Session, came: &SessionOrigin, disk: Option<DiskId>, why: &str) {
    let (peer, traffic) = (session.peer(), session.traffic());
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    tracing::info!(
        site = peer.name,
        uuid = %peer.site,
        ssh = came.ssh.as_deref().unwrap_or("none"),
        disk = disk.map_or_else(|| "none".to_owned(), |d| d.to_string()),
        mode = came.mode.word(),
        seconds = session.age().as_secs(),
        bytes_in = count(&traffic.bytes_in),
        bytes_out = count(&traffic.bytes_out),
        asked = count(&traffic.asked),
        refused = count(&traffic.refused),
        why,
        "a session ended"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_connection_is_not_logged() {
        assert_eq!(connection("10.0.0.7 50022 10.0.0.1 22").as_deref(), Some("10.0.0.7 50022 10.0.0.1 22"));
        for text in ["", "a\nb", "1\u{1b}[2J", &"1".repeat(200)] {
            assert_eq!(connection(text), None, "{text:?}");
        }
    }
}
