//! What the page shows, as one document, and what has changed of it. Pure: what was seen in, patches out ([`super::patch`]).
//!
//! ```text
//! { site, agents: { NAME: { state, site, does, moving, auto…, samples: { SECOND: point }, log: { ID: line } } },
//!   sites: { NAME: { state, rtt_ms…, samples: { SECOND: ms } } },  doings: { ID: { agent, what, state, message } } }
//! ```
//!
//! **Invariant:** the document is bounded: [`AGENTS_MAX`], [`SITES_MAX`], [`SAMPLES`] points, [`LINES`] lines and [`DOINGS`].
//! **Invariant:** what is not heard any more stays as it was last heard, with when that was and why nothing comes.

use sensors::Readings;
use serde_json::{Map, Value, json};

use super::patch::{apply, difference, effect, whole};
use super::told;

/// Agents and sites that are shown: those that come first by name.
pub const AGENTS_MAX: usize = 200;
/// See above.
pub const SITES_MAX: usize = 64;
/// Points of a chart that are kept, one a second at most.
pub const SAMPLES: u64 = 300;
/// Lines of an agent's log that are in the document.
pub const LINES: usize = 200;
/// What was asked for on the page, the newest.
pub const DOINGS: usize = 24;

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The agents that are known here, with what this site knows by itself.
    Agents(Vec<(String, Value)>),
    /// An agent's supervisor said how it stands.
    Status {
        /// The agent.
        agent: String,
        /// In the supervisor's words.
        status: Value,
    },
    /// An agent is not heard.
    Silent {
        /// The agent.
        agent: String,
        /// Why, in a sentence.
        why: String,
    },
    /// What is read of an agent; what its watcher and the display proxy say.
    Read {
        /// The agent.
        agent: String,
        /// Of its sensors.
        readings: Box<Readings>,
        /// Of its watcher.
        auto: Value,
        /// Of its display's proxy.
        view: Value,
    },
    /// New lines of an agent's log.
    Log {
        /// The agent.
        agent: String,
        /// With their numbers, which grow.
        lines: Vec<(i64, Value)>,
    },
    /// The sites that are known here, with what is known of each.
    Sites(Vec<(String, Value)>),
    /// A site answered after so long, or did not, and why.
    Answer {
        /// The site.
        site: String,
        /// Milliseconds, or a sentence.
        answer: Result<f64, String>,
    },
    /// What was asked for on the page, and how that goes.
    Doing {
        /// Its number, which grows.
        id: u64,
        /// What is told of it.
        told: Value,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Model {
    document: Value,
    /// Of each agent, as its supervisor said last.
    statuses: Map<String, Value>,
}

impl Model {
    /// A page of this site that shows nothing yet.
    #[must_use]
    pub fn new(site: &str) -> Model {
        let version = env!("CARGO_PKG_VERSION");
        let document = json!({ "site": site, "version": version, "agents": {}, "sites": {}, "doings": {} });
        Model { document, statuses: Map::new() }
    }

    /// The whole.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Something was seen at this time, in milliseconds since 1970; what has changed of the document.
    pub fn see(&mut self, now_ms: u64, seen: Seen) -> Option<Value> {
        let patch = match seen {
            Seen::Agents(agents) => self.listed("agents", agents, AGENTS_MAX),
            Seen::Sites(sites) => self.listed("sites", sites, SITES_MAX),
            Seen::Status { agent, status } => {
                let patch = self.of("agents", &agent, &self.standing(&agent, &status, now_ms))?;
                self.statuses.insert(agent, status);
                Some(patch)
            }
            Seen::Silent { agent, why } => self.of("agents", &agent, &json!({ "silent": why })),
            Seen::Read { agent, readings, auto, view } => self.read(now_ms, &agent, &readings, &auto, view),
            Seen::Log { agent, lines } => self.log(&agent, lines),
            Seen::Answer { site, answer: Ok(ms) } => {
                let ms = (ms * 10.0).round() / 10.0;
                let mut change = json!({ "state": "answers", "rtt_ms": ms, "heard_ms": now_ms, "why": null });
                change["samples"] = self.sample("sites", &site, now_ms, json!(ms));
                self.of("sites", &site, &change)
            }
            Seen::Answer { site, answer: Err(why) } => {
                self.of("sites", &site, &json!({ "state": "silent", "why": why }))
            }
            Seen::Doing { id, told } => self.doing(id, told),
        }?;
        apply(&mut self.document, &patch);
        Some(patch)
    }

    /// Those that are listed, with what is known of them beside what was heard; others are gone.
    fn listed(&mut self, kind: &str, all: Vec<(String, Value)>, most: usize) -> Option<Value> {
        let mut now = Map::new();
        for (name, known) in all.into_iter().take(most) {
            let mut one = self.document[kind].get(&name).cloned().unwrap_or_else(|| json!({}));
            // Another one of that name is not the one that was heard.
            if one.get("uuid").is_some_and(|uuid| *uuid != known["uuid"]) {
                one = json!({});
            }
            apply(&mut one, &known);
            now.insert(name, whole(one));
        }
        self.statuses.retain(|name, _| kind != "agents" || now.contains_key(name));
        let change = difference(&self.document[kind], &Value::Object(now))?;
        Some(json!({ kind: change }))
    }

    /// A change of a listed one: members that are `null` go.
    fn of(&self, kind: &str, name: &str, change: &Value) -> Option<Value> {
        let change = effect(self.document[kind].get(name)?, change)?;
        Some(json!({ kind: { name: change } }))
    }

    /// A new point, and the oldest ones away.
    fn sample(&self, kind: &str, name: &str, now_ms: u64, point: Value) -> Value {
        let second = now_ms / 1000;
        let old = second.saturating_sub(SAMPLES);
        let kept = self.document[kind][name]["samples"].as_object();
        // A clock that was set back has left points in the future.
        let fits = |at: &String| at.parse::<u64>().is_ok_and(|at| at > old && at <= second);
        let mut change: Map<String, Value> = kept
            .into_iter()
            .flat_map(Map::keys)
            .filter(|at| !fits(at))
            .map(|at| (at.clone(), Value::Null))
            .collect();
        change.insert(second.to_string(), point);
        Value::Object(change)
    }

    /// What a supervisor says of its agent; it was heard now.
    fn standing(&self, agent: &str, status: &Value, now_ms: u64) -> Value {
        let before = &self.document["agents"][agent];
        let mut standing = json!({
            "state": status["state"],
            "told": status["told"],
            "site": status["site"],
            "home": status["home"],
            "paused_because": status["paused_because"],
            "last_failure": status["last_failure"],
            "last_failure_hint": status["last_failure_hint"],
            "heard_ms": now_ms,
            "silent": null,
        });
        if status["state"] != "running" || before["state"] != "running" {
            standing["does"] = json!(told::does(status, &Readings::default()));
        }
        // As one: what is not told any more is not shown any more.
        let moving = whole(told::moving(status));
        standing["moving"] = match before.get("moving") {
            Some(before) if !moving.is_null() => difference(before, &moving).unwrap_or_else(|| json!({})),
            _ => moving,
        };
        standing
    }

    fn read(
        &self,
        now_ms: u64,
        agent: &str,
        readings: &Readings,
        auto: &Value,
        view: Value,
    ) -> Option<Value> {
        let none = json!({ "state": self.document["agents"].get(agent)?["state"] });
        let status = self.statuses.get(agent).unwrap_or(&none);
        let mut change = json!({
            "does": told::does(status, readings),
            "profile": auto["profile"],
            "profile_state": auto["profile_state"],
            "rests_because": auto["rests_because"],
            "stays_for_s": auto["stays_for_s"],
            "would_move": auto["would_move_told"].as_array().filter(|all| !all.is_empty()),
            "view": view,
        });
        if readings.busiest.is_some() || readings.fps.is_some() || readings.inputs.is_some() {
            change["samples"] = self.sample("agents", agent, now_ms, told::point(readings));
        }
        self.of("agents", agent, &change)
    }

    fn log(&self, agent: &str, lines: Vec<(i64, Value)>) -> Option<Value> {
        let kept = self.document["agents"].get(agent)?["log"].as_object();
        let mut ids: Vec<i64> =
            kept.into_iter().flat_map(Map::keys).filter_map(|id| id.parse().ok()).collect();
        let mut change: Map<String, Value> =
            lines.iter().map(|(id, line)| (id.to_string(), line.clone())).collect();
        ids.extend(lines.iter().map(|(id, _)| id));
        ids.sort_unstable();
        ids.dedup();
        for id in ids.iter().rev().skip(LINES) {
            change.insert(id.to_string(), Value::Null);
        }
        self.of("agents", agent, &json!({ "log": change }))
    }

    fn doing(&self, id: u64, told: Value) -> Option<Value> {
        let mut change = Map::new();
        let kept = self.document["doings"].as_object();
        let mut ids: Vec<u64> =
            kept.into_iter().flat_map(Map::keys).filter_map(|id| id.parse().ok()).collect();
        ids.sort_unstable();
        for old in ids.iter().rev().filter(|old| **old != id).skip(DOINGS - 1) {
            change.insert(old.to_string(), Value::Null);
        }
        change.insert(id.to_string(), whole(told));
        Some(json!({ "doings": change }))
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
