//! What a watcher writes into an agent's log: decisions, what became of them, and when it rested.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Candidate, Decision, Review};
use crate::words::spoken;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// Something was decided, for or against a move.
    Decision(Box<Decision>),
    /// What became of a decision: predicted against actual.
    Review(Review),
    /// Where the time of a move went, as `snowbird --json migrate` tells it.
    Account {
        /// By which decision.
        decision: u64,
        /// The supervisor's account.
        report: Value,
    },
    /// Nothing was decided, and why; or that it goes on.
    Note {
        /// In a sentence.
        text: String,
    },
}

impl Record {
    /// A note.
    #[must_use]
    pub fn note(text: impl Into<String>) -> Record {
        Record::Note { text: text.into() }
    }

    /// The record for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Record::Note { text } => text.clone(),
            Record::Review(review) => review.sentence(),
            Record::Account { decision, report } => {
                let time = |name: &str| {
                    report[name].as_u64().map_or("?".to_owned(), |ms| spoken(Duration::from_millis(ms)))
                };
                let (total, stood) = (time("total_ms"), time("suspended_ms"));
                let mib = report["ram_bytes"].as_u64().map_or("?".to_owned(), |n| (n >> 20).to_string());
                format!(
                    "Decision {decision}: in {total} {mib} MiB of memory went, and the agent stood for {stood}."
                )
            }
            Record::Decision(decision) => {
                let (id, line) = (decision.id, decision.rule.line);
                let said = decision.sentence();
                format!("Decision {id} (line {line} of the profile): {said}{}", others(&decision.candidates))
            }
        }
    }
}

/// All that were looked at, where there was a choice.
fn others(candidates: &[Candidate]) -> String {
    if candidates.len() < 2 {
        return String::new();
    }
    let each = candidates.iter().map(|candidate| format!("{} {}", candidate.site, judged(candidate)));
    format!(" Candidates: {}.", each.collect::<Vec<_>>().join("; "))
}

fn judged(candidate: &Candidate) -> String {
    let gain = candidate.gain.filter(|gain| *gain > 0.0);
    let gain = gain.and_then(|gain| Duration::try_from_secs_f64(gain).ok()).map(spoken);
    match (&candidate.refused, gain, candidate.migration) {
        (Some(why), ..) => format!("cannot be had: {why}"),
        (None, Some(gain), Some(migration)) => format!("gains {gain} for {}", spoken(migration)),
        (None, Some(gain), None) => format!("gains {gain}"),
        (None, None, _) if candidate.worthwhile => "has nothing known against it".to_owned(),
        (None, None, _) => "gains nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_move_is_said_with_what_is_known() {
        let report = serde_json::json!({ "total_ms": 9100, "suspended_ms": 850, "ram_bytes": 5 << 20 });
        let said = Record::Account { decision: 2, report }.sentence();
        assert_eq!(said, "Decision 2: in 9.1 s 5 MiB of memory went, and the agent stood for 850 ms.");
        let said = Record::Account { decision: 2, report: Value::Null }.sentence();
        assert!(said.contains("in ? ? MiB"), "{said}");
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        for record in [
            Record::note("rests"),
            Record::Review(Review::Moved {
                decision: 3,
                predicted: None,
                took: Duration::from_millis(2500),
                failed: None,
            }),
        ] {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        }
    }
}
