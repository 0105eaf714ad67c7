//! What a watcher leaves to the next one: the policy's history, how long moves take, and where the last one stands.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::History;

/// How many moves between two sites are remembered.
const PAST_MAX: usize = 9;
/// Pairs of sites.
const PAIRS_MAX: usize = 1024;

/// A move that was begun and of which nothing more is known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// By which decision.
    pub decision: u64,
    /// Where to.
    pub to: String,
}

/// What was learnt. What is not understood of it is as good as never learnt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Learnt {
    /// Of phases and speed-ups.
    pub history: History,
    /// From a site to another, how long moves took, in milliseconds.
    took_ms: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    /// The number of the next decision.
    pub decisions: u64,
    /// When the last move ended, in milliseconds since 1970.
    pub settled_at_ms: Option<u64>,
    /// A move under way.
    pub open: Option<Open>,
}

impl Learnt {
    /// Reads what was kept.
    #[must_use]
    pub fn read(text: Option<&str>) -> Learnt {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Notes how long a move took.
    pub fn note_move(&mut self, from: &str, to: &str, took: Duration) {
        let known = self.took_ms.get(from).is_some_and(|to_sites| to_sites.contains_key(to));
        if !known && self.took_ms.values().map(BTreeMap::len).sum::<usize>() >= PAIRS_MAX {
            return;
        }
        let past = self.took_ms.entry(from.to_owned()).or_default().entry(to.to_owned()).or_default();
        if past.len() >= PAST_MAX {
            past.remove(0);
        }
        past.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }

    /// How long a move takes: the median of past ones that way, else of those back.
    #[must_use]
    pub fn migration(&self, from: &str, to: &str) -> Option<Duration> {
        let past = |from: &str, to: &str| {
            let mut past = self.took_ms.get(from)?.get(to)?.clone();
            past.sort_unstable();
            past.get(past.len() / 2).copied().map(Duration::from_millis)
        };
        past(from, to).or_else(|| past(to, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_past_moves_is_expected_of_the_next() {
        let mut learnt = Learnt::default();
        assert_eq!(learnt.migration("a", "b"), None);
        for ms in [9000, 1000, 3000] {
            learnt.note_move("a", "b", Duration::from_millis(ms));
        }
        assert_eq!(learnt.migration("a", "b"), Some(Duration::from_secs(3)));
        // Until it is known, the way back takes as long.
        assert_eq!(learnt.migration("b", "a"), Some(Duration::from_secs(3)));
        let text = serde_json::to_string(&learnt).unwrap();
        assert_eq!(Learnt::read(Some(&text)), learnt);
        assert_eq!(Learnt::read(Some("{\"open\": 7}")), Learnt::default());
    }
}
