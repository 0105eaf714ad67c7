//! The situation: everything about the world that a decision depends on, besides readings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the policy may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing is decided.
    Off,
    /// Decisions are recorded and told, nobody moves.
    Advise,
    /// Decisions are carried out.
    #[default]
    Auto,
}

/// A site an agent could be at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Site {
    /// CPUs of the host.
    pub cpus: Option<u32>,
    /// Their clock, in MHz.
    pub clock_mhz: Option<u32>,
    /// How long it would take to move there from where the agent is.
    pub migration: Option<Duration>,
    /// Why the agent cannot be moved there now, if it cannot.
    pub refused: Option<String>,
}

/// Where the agent is, where it could be, and what may be done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Situation {
    /// The site at which the agent is.
    pub site: String,
    /// The agent's vCPUs.
    pub vcpus: u32,
    /// Which sites a role stands for.
    pub roles: BTreeMap<String, Vec<String>>,
    /// What is known of sites.
    pub sites: BTreeMap<String, Site>,
    /// What may be done.
    pub mode: Mode,
}

impl Situation {
    /// The sites that a place stands for. `desk` is where `home` is, unless it has a site of its own.
    #[must_use]
    pub fn sites_of(&self, place: &str) -> &[String] {
        let sites =
            self.roles.get(place).or_else(|| (place == "desk").then(|| self.roles.get("home")).flatten());
        sites.map_or(&[], Vec::as_slice)
    }

    /// Computing power that the agent would have at a site: vCPUs that find a CPU, times clock. `None` if it is unknown.
    pub(super) fn capacity(&self, site: &str) -> Option<f64> {
        let site = self.sites.get(site)?;
        let vcpus = site.cpus?.min(self.vcpus);
        let capacity = f64::from(vcpus) * f64::from(site.clock_mhz?);
        (capacity > 0.0).then_some(capacity)
    }
}
