//! Records of decisions: for programs as JSON, for people as sentences.

use std::fmt::Write;
use std::time::Duration;

use sensors::Readings;
use serde::{Deserialize, Serialize};

use super::estimate::{Candidate, Length, Speedup};
use crate::condition::meant;
use crate::words::spoken;

/// The rule that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// Its condition, as written.
    pub when: String,
    /// Its line in the profile.
    pub line: usize,
    /// Its priority.
    pub priority: i64,
}

/// Why nothing else was done, or that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is done.
    Done,
    /// Only advice is asked for.
    Advice,
    /// The minimum residence has not passed.
    Residence,
    /// No site has the role.
    NoSite,
    /// No site takes the agent.
    Refused,
    /// No site is worth the migration.
    NotWorthwhile,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// The agent moves.
    Move {
        /// To this site.
        to: String,
    },
    /// The agent would be better off elsewhere.
    Advise {
        /// At this site.
        to: String,
    },
    /// The agent stays.
    Decline {
        /// Why.
        why: Why,
        /// How long that will be so, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<Duration>,
    },
}

impl Action {
    pub(super) fn why(&self) -> Why {
        match self {
            Action::Move { .. } => Why::Done,
            Action::Advise { .. } => Why::Advice,
            Action::Decline { why, .. } => *why,
        }
    }
}

/// A decision, with all it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Its number, from 0, by which reviews speak of it.
    pub id: u64,
    /// When.
    pub at: Duration,
    /// Where the agent was.
    pub site: String,
    /// The state.
    pub from_state: String,
    /// The state that the rule leads to.
    pub to_state: String,
    /// That state's place.
    pub place: String,
    /// The rule.
    pub rule: Fired,
    /// What was read.
    pub readings: Readings,
    /// Sites looked at.
    pub candidates: Vec<Candidate>,
    /// What is done.
    pub action: Action,
}

impl Decision {
    pub(super) fn candidate(&self, site: &str) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.site == site)
    }

    /// The decision for people, in one or two sentences.
    #[must_use]
    pub fn sentence(&self) -> String {
        let there = match &self.action {
            Action::Move { to } | Action::Advise { to } => Some(to.as_str()),
            Action::Decline { .. } => self.candidates.first().map(|candidate| candidate.site.as_str()),
        };
        let because =
            format!("{} ({})", words(&self.rule.when), said(&self.rule.when, &self.readings, there));
        match &self.action {
            Action::Move { to } => {
                format!(
                    "Moved from {} to {to} for {}: {because}.{}",
                    self.site,
                    self.to_state,
                    self.reckoned(to)
                )
            }
            Action::Advise { to } => {
                format!("Would be better at {to} for {}: {because}.{}", self.to_state, self.reckoned(to))
            }
            Action::Decline { why, wait } => {
                format!(
                    "Stayed at {} though {} would be at {}: {because}. {}",
                    self.site,
                    self.to_state,
                    self.place,
                    self.reason(*why, *wait)
                )
            }
        }
    }

    fn reckoned(&self, site: &str) -> String {
        let Some(candidate) = self.candidate(site) else { return String::new() };
        let mut text = String::new();
        if let Some(gain) = candidate.gain {
            let gain = spoken(Duration::try_from_secs_f64(gain).unwrap_or_default());
            write!(text, " It should gain {gain}{}", length(candidate)).ok();
            if let Some(migration) = candidate.migration {
                write!(text, ", for a migration of {}", spoken(migration)).ok();
            }
            text.push('.');
        }
        text
    }

    fn reason(&self, why: Why, wait: Option<Duration>) -> String {
        match why {
            Why::Residence => {
                let wait = wait.map(|wait| format!(" It may move in {}.", spoken(wait))).unwrap_or_default();
                format!("It came here too recently.{wait}")
            }
            Why::NoSite => format!("No site has the role {}.", self.place),
            Why::Refused => {
                let reasons = self
                    .candidates
                    .iter()
                    .filter_map(|c| Some(format!("{}: {}", c.site, c.refused.as_ref()?)));
                format!("No site can take it: {}.", reasons.collect::<Vec<_>>().join("; "))
            }
            _ => {
                let each = self.candidates.iter().filter(|c| c.refused.is_none()).map(not_worthwhile);
                each.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// The readings that a condition asks for, where there are any, for a move to `there`.
pub(super) fn said(condition: &str, readings: &Readings, there: Option<&str>) -> String {
    let mut names: Vec<String> = Vec::new();
    for word in condition.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.:".contains(c))) {
        let Some(name) = meant(word, there).filter(|name| readings.get(name).is_some()) else { continue };
        if !names.iter().any(|known| *known == name) {
            names.push(name.into_owned());
        }
    }
    names.iter().map(|name| reading(name, readings)).collect::<Vec<_>>().join(", ")
}

/// A reading in its unit.
fn reading(name: &str, readings: &Readings) -> String {
    let value = readings.get(name).unwrap_or_default();
    let (of, anchor) = match name.split_once(':') {
        Some((of, anchor)) => (of, format!(":{anchor}")),
        None => (name, String::new()),
    };
    match of {
        "cpu" | "busiest" | "host" | "net_wait" => format!("{name} {:.0} %", value * 100.0),
        // Together, and of what that is.
        "demand" => {
            let parts =
                ["busiest".to_owned(), format!("net_wait{anchor}")].map(|part| reading(&part, readings));
            format!("{name} {:.0} % ({})", value * 100.0, parts.join(", "))
        }
        "response" | "rtt" => format!("{name} {value:.0} ms"),
        "net_in" | "net_out" => format!("{name} {:.2} MB/s", value / 1e6),
        _ => format!("{name} {value:.1}"),
    }
}

/// Text without its line breaks.
pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn length(candidate: &Candidate) -> String {
    match candidate.remaining_by {
        Length::Median(of) => format!(" (by the median of {of} past phases)"),
        Length::Expected => " (by the length that the profile expects)".to_owned(),
        Length::Outlived => " (the phase has outlasted what was expected)".to_owned(),
        Length::Unknown => String::new(),
    }
}

fn not_worthwhile(candidate: &Candidate) -> String {
    let site = &candidate.site;
    match (candidate.speedup, candidate.gain, candidate.migration) {
        (Some(speedup), ..) if speedup <= 1.0 => {
            let by = match candidate.speedup_by {
                Speedup::Capacity => " by vCPUs and clock",
                Speedup::CapacityAndData => " by vCPUs, clock and what is waited for there",
                _ => ", as was learnt",
            };
            format!("{site} is no faster ({speedup:.2} times{by}).")
        }
        (_, Some(gain), Some(migration)) => {
            let gain = spoken(Duration::try_from_secs_f64(gain).unwrap_or_default());
            format!("Moving to {site} would gain {gain}{} and take {}.", length(candidate), spoken(migration))
        }
        _ => format!("Moving to {site} would gain nothing."),
    }
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "review", rename_all = "snake_case")]
pub enum Review {
    /// Its move has ended.
    Moved {
        /// Which decision.
        decision: u64,
        /// How long the migration was expected to take.
        predicted: Option<Duration>,
        /// How long it took.
        took: Duration,
        /// Why the agent stayed, if it did.
        failed: Option<String>,
    },
    /// The phase it was made for has ended.
    PhaseEnded {
        /// Which decision.
        decision: u64,
        /// How much longer the phase was expected to last, had the agent stayed.
        predicted: Option<Duration>,
        /// How much longer it lasted.
        actual: Duration,
        /// Its whole length in seconds as at its first site, if that can be told.
        length: Option<f64>,
    },
}

impl Review {
    /// The review for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let expected = |time: &Option<Duration>| match time {
            Some(time) => format!("{} expected", spoken(*time)),
            None => "nothing was known before".to_owned(),
        };
        match self {
            Review::Moved { decision, predicted, took, failed: None } => {
                format!(
                    "Decision {decision}: the migration took {} ({}).",
                    spoken(*took),
                    expected(predicted)
                )
            }
            Review::Moved { decision, took, failed: Some(reason), .. } => {
                format!("Decision {decision}: the migration failed after {}: {reason}.", spoken(*took))
            }
            Review::PhaseEnded { decision, predicted, actual, .. } => {
                format!(
                    "Decision {decision}: the phase lasted {} more ({}).",
                    spoken(*actual),
                    expected(predicted)
                )
            }
        }
    }
}
