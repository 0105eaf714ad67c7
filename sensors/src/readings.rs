//! What sensors say at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes per second through an anchor, and what they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Net {
    /// To the agent.
    #[serde(rename = "in")]
    pub inward: f64,
    /// From the agent.
    #[serde(rename = "out")]
    pub outward: f64,
    /// Share of the time in which the agent waited for what comes from there because that is far, 0 to 1.
    #[serde(default)]
    pub waited: f64,
}

/// The values of the last window. `None`: nothing can be said, which is not zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Readings {
    /// How much of the window there is already.
    pub span: Duration,
    /// Inputs in 10 s.
    pub inputs: Option<f64>,
    /// Frames per second of an input, the paper's way; see the crate's rules.
    pub fps_paper: Option<f64>,
    /// Frames per second of an input.
    pub fps: Option<f64>,
    /// Pictures a second, whatever they are due to.
    #[serde(default)]
    pub updates: Option<f64>,
    /// Milliseconds from an input to the first update it could have caused.
    pub response: Option<f64>,
    /// Share of all vCPUs wanted, 0 to 1.
    pub cpu: Option<f64>,
    /// Share of the busiest vCPU wanted, 0 to 1.
    pub busiest: Option<f64>,
    /// Share of the host's CPUs in use, 0 to 1.
    pub host: Option<f64>,
    /// Bytes per second and what is waited for, by anchor.
    pub net: BTreeMap<String, Net>,
    /// What external sensors say, by name.
    pub external: BTreeMap<String, f64>,
    /// Inputs of the window that no update followed within a second.
    pub unanswered: u32,
    /// The path's round trip, in milliseconds.
    pub rtt: Option<f64>,
}

impl Readings {
    /// The value of a sensor by its name in profiles: `inputs`, `fps`, `fps_paper`, `updates`, `response` (ms), `cpu`, `busiest`,
    /// `host`, `rtt` (ms), `net_in` and `net_out` (bytes per second over all anchors), `net_wait` (of the anchor for which it
    /// is most), `demand` (`busiest` and `net_wait` together), each of these for one anchor as `net_in:ANCHOR`, else the
    /// external sensor of that name.
    #[must_use]
    pub fn get(&self, sensor: &str) -> Option<f64> {
        match sensor {
            "inputs" => self.inputs,
            "fps" => self.fps,
            "fps_paper" => self.fps_paper,
            "updates" => self.updates,
            "response" => self.response,
            "cpu" => self.cpu,
            "busiest" => self.busiest,
            "host" => self.host,
            "rtt" => self.rtt,
            "net_in" => self.all(|net| net.inward),
            "net_out" => self.all(|net| net.outward),
            "net_wait" => self.net.values().map(|net| net.waited).reduce(f64::max),
            "demand" => self.demand(self.get("net_wait")?),
            _ => match sensor.split_once(':') {
                Some(("net_in", anchor)) => self.net.get(anchor).map(|net| net.inward),
                Some(("net_out", anchor)) => self.net.get(anchor).map(|net| net.outward),
                Some(("net_wait", anchor)) => self.net.get(anchor).map(|net| net.waited),
                Some(("demand", anchor)) => self.demand(self.net.get(anchor)?.waited),
                _ => self.external.get(sensor).copied(),
            },
        }
    }

    /// Who waits computes nothing: together they are no more than all of the time.
    fn demand(&self, waited: f64) -> Option<f64> {
        self.busiest.map(|busiest| (busiest + waited).min(1.0))
    }

    fn all(&self, way: impl Fn(&Net) -> f64) -> Option<f64> {
        (!self.net.is_empty()).then(|| self.net.values().map(way).sum())
    }
}
