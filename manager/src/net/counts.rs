//! What passed and what did not: the network sensor, and the switch's account of what it dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What passed the agent's card by one anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames to the agent.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames from the agent.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// How long the agent waited for what comes from there because that is far, in microseconds.
    #[serde(default)]
    pub waited_us: u64,
}

/// Why frames did not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// No frames at all: too short, too long, lengths that contradict each other.
    pub odd: u64,
    /// From the agent's card, and not from the agent's address; or from a gateway, and not for the agent.
    pub foreign: u64,
    /// From a gateway that does not speak for their sender.
    pub wrong_way: u64,
    /// For an agent that runs nowhere.
    pub nobody: u64,
    /// Passed on between sites too often.
    pub lost: u64,
    /// Kept until there was no more room, or too long.
    pub waited: u64,
}

/// All counts of a switch since the agent came to this site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// By the site of the anchor.
    pub anchors: BTreeMap<String, Traffic>,
    /// What did not pass.
    pub dropped: Dropped,
    /// Frames that were given again to where the agent runs now.
    pub replayed: u64,
}

impl Counts {
    fn of(&mut self, site: &str) -> &mut Traffic {
        if !self.anchors.contains_key(site) {
            self.anchors.insert(site.to_owned(), Traffic::default());
        }
        self.anchors.entry(site.to_owned()).or_default()
    }

    /// A frame went to the agent.
    pub fn add_in(&mut self, site: &str, bytes: usize) {
        let traffic = self.of(site);
        traffic.frames_in += 1;
        traffic.bytes_in += bytes as u64;
    }

    /// The agent waited for what came.
    pub fn add_waited(&mut self, site: &str, waited: Duration) {
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        let traffic = self.of(site);
        traffic.waited_us = traffic.waited_us.saturating_add(waited);
    }

    /// A frame came from the agent.
    pub fn add_out(&mut self, site: &str, bytes: usize) {
        let traffic = self.of(site);
        traffic.frames_out += 1;
        traffic.bytes_out += bytes as u64;
    }
}
