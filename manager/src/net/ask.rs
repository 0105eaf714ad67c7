//! What a switch is asked, and what it says of itself: lines of JSON over a socket in the agent's folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::BufReader;

use super::anchors::Prefix;
use super::config::{Config, Forward, Kind};
use super::counts::Counts;
use super::names;
use super::packet::Claim;
use crate::control::{AskError, ask, connect, folder};

/// How long an answer may take: a gateway's monitor is asked for some.
pub const SOON: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// By the supervisor: there will be a QEMU here.
    Expect,
    /// By the supervisor: it is being moved there.
    Moving {
        /// The site.
        to: String,
    },
    /// By the supervisor: the agent stands.
    Stands,
    /// By the supervisor: it runs here.
    Runs {
        /// Its disk's epoch.
        epoch: u64,
    },
    /// By the supervisor: it was given to another site.
    Left {
        /// The site.
        to: String,
    },
    /// By the supervisor: it is off.
    Ended,
    /// By the user at home: a TCP port that leads into the agent.
    Forward {
        /// Which.
        forward: Forward,
    },
    /// By the user at home: no longer.
    Unforward {
        /// The port of home's.
        port: u16,
    },
    /// By the user at home: destinations are reached by this site's gateway.
    Anchor {
        /// Which.
        prefix: Prefix,
        /// The site.
        site: String,
    },
    /// By the user, or another site: the agent's home is the one that its description names here.
    Home {
        /// Where the agent runs, for a switch that has not heard of it.
        at: Option<String>,
    },
    /// By the user, for this site: its gateway is of this kind.
    Gateway {
        /// Which.
        kind: Kind,
    },
    /// How does it stand?
    Look,
    /// By the switch of another site: what follows are frames.
    Tunnel {
        /// That site.
        site: String,
    },
}

impl Request {
    /// Is it a supervisor's word of what the agent does?
    #[must_use]
    pub fn is_told(&self) -> bool {
        match self {
            Request::Expect
            | Request::Moving { .. }
            | Request::Stands
            | Request::Runs { .. }
            | Request::Left { .. }
            | Request::Ended => true,
            Request::Forward { .. }
            | Request::Unforward { .. }
            | Request::Anchor { .. }
            | Request::Home { .. }
            | Request::Gateway { .. }
            | Request::Look
            | Request::Tunnel { .. } => false,
        }
    }
}

/// How a switch stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its site.
    pub site: String,
    /// The agent's home.
    pub home: String,
    /// Where the agent runs, as far as is known.
    pub agent: Option<Claim>,
    /// Sites that there is a tunnel to.
    pub links: BTreeSet<String>,
    /// How the gateway of this site stands.
    pub gateway: String,
    /// Anchors and forwards.
    #[serde(flatten)]
    pub config: Config,
    /// What passed the agent's card at this site since it came here.
    pub counts: Counts,
    /// What waits for somebody.
    pub waiting_bytes: usize,
}

/// The network sensor: what passed the card of an agent at this site since it came here, by anchor. Starts nothing.
///
/// # Errors
/// [`AskError`]; of [`AskError::Io`] if no switch runs here.
pub async fn counts(home: &Path, agent: &str) -> Result<Counts, AskError> {
    Ok(look(home, agent).await?.counts)
}

/// How the switch of an agent at this site stands. Starts nothing.
///
/// # Errors
/// As [`counts()`].
pub async fn look(home: &Path, agent: &str) -> Result<Standing, AskError> {
    look_in(&folder(home, agent)).await
}

/// As [`look`], of the agent whose folder this is.
///
/// # Errors
/// As [`counts()`].
pub async fn look_in(folder: &Path) -> Result<Standing, AskError> {
    let stream = connect(folder, names::ASK).await?;
    let answer = ask(&mut BufReader::new(stream), &Request::Look, SOON, |_| ()).await?;
    serde_json::from_value(answer).map_err(|_| AskError::Nonsense)
}
