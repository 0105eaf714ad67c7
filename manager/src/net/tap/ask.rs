//! What a tap's process is asked by the switch: lines of JSON over a socket in the agent's folder.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::net::config::Forward;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Is all well?
    Look,
    /// The host asks this name server, or knows none.
    Names {
        /// Its address.
        at: Option<IpAddr>,
    },
    /// A TCP port that leads into the agent.
    Forward {
        /// Which.
        forward: Forward,
    },
    /// No longer; open connections stay.
    Unforward {
        /// Which.
        forward: Forward,
    },
    /// It shall end.
    End,
}
