//! Phases as readings show them, whatever the policy does about them: when each began, how long it lasted, where.
//!
//! A state's phase goes on while one of the rules that lead to it holds, from whatever state. It ends when none has held
//! for [`PAUSE`], and at once when another state's do. The time that counts is the time in which one held (from one poll
//! to the next), so a burst now and then is no long phase; a phase's *span* is from first to last.

use std::collections::BTreeMap;
use std::time::Duration;

use super::estimate::Candidate;

/// A phase survives this long without being shown: people think, programs read files.
const PAUSE: Duration = Duration::from_secs(120);
/// Polls further apart than this are a gap: nothing is known of the time between.
const GAP: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Phase {
    began: Duration,
    last: Duration,
    /// Whether it was shown at the last poll.
    shown: bool,
    /// Seconds at each site, in order.
    sites: Vec<(String, f64)>,
    speedup: Option<f64>,
    predicted: Option<Predicted>,
}

#[derive(Debug)]
struct Predicted {
    decision: u64,
    at: Duration,
    rest: Option<Duration>,
}

/// A phase that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) state: usize,
    /// Seconds in which it was shown, at each site in order.
    pub(super) sites: Vec<(String, f64)>,
    /// Seconds from when it was first shown to when it last was.
    pub(super) span: f64,
    /// The speed-up that the last decision in it reckoned with.
    pub(super) speedup: Option<f64>,
    /// The decision made in it, how much longer it was predicted to last, and how much longer it did.
    pub(super) predicted: Option<(u64, Option<Duration>, Duration)>,
}

/// The phases that are going on.
#[derive(Debug)]
pub(super) struct Phases {
    states: usize,
    open: BTreeMap<usize, Phase>,
}

impl Phases {
    pub(super) fn new(states: usize) -> Phases {
        Phases { states, open: BTreeMap::new() }
    }

    /// How long a state's phase has been going on.
    pub(super) fn elapsed(&self, state: usize, now: Duration) -> Duration {
        self.open.get(&state).map_or(Duration::ZERO, |phase| now.saturating_sub(phase.began))
    }

    /// A decision was made in a state's phase.
    pub(super) fn predict(&mut self, state: usize, now: Duration, decision: u64, candidate: &Candidate) {
        if let Some(phase) = self.open.get_mut(&state) {
            phase.speedup = candidate.speedup;
            phase.predicted = Some(Predicted { decision, at: now, rest: candidate.remaining });
        }
    }

    /// One poll: which states' phases are shown, and where the agent is. Gives what has ended.
    pub(super) fn note(&mut self, now: Duration, shown: &[bool], site: &str) -> Vec<Ended> {
        let any = shown.iter().any(|shown| *shown);
        let mut ended = Vec::new();
        for state in 0..self.states {
            let is_shown = shown.get(state).copied().unwrap_or(false);
            if let Some(phase) = self.open.get_mut(&state) {
                if is_shown {
                    phase.goes_on(now, site);
                } else {
                    phase.shown = false;
                    if any || now.saturating_sub(phase.last) > PAUSE {
                        ended.extend(self.open.remove(&state).map(|phase| phase.end(state)));
                    }
                }
            } else if is_shown {
                let sites = vec![(site.to_owned(), 0.0)];
                let phase =
                    Phase { began: now, last: now, shown: true, sites, speedup: None, predicted: None };
                self.open.insert(state, phase);
            }
        }
        ended
    }
}

impl Phase {
    fn goes_on(&mut self, now: Duration, site: &str) {
        let passed = now.saturating_sub(self.last);
        // What passed is of the site at which the agent was.
        if let Some((_, seconds)) = self.sites.last_mut().filter(|_| self.shown && passed <= GAP) {
            *seconds += passed.as_secs_f64();
        }
        if self.sites.last().is_none_or(|(last, _)| last != site) {
            self.sites.push((site.to_owned(), 0.0));
        }
        (self.last, self.shown) = (now, true);
    }

    fn end(self, state: usize) -> Ended {
        let predicted = self.predicted.map(|p| (p.decision, p.rest, self.last.saturating_sub(p.at)));
        let span = self.last.saturating_sub(self.began).as_secs_f64();
        Ended { state, sites: self.sites, span, speedup: self.speedup, predicted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_phase_is_the_time_it_was_shown_at_each_site() {
        let mut phases = Phases::new(2);
        for now in 0..=100 {
            let site = if now < 40 { "a" } else { "b" };
            assert!(phases.note(s(now), &[true, false], site).is_empty());
        }
        assert_eq!(phases.elapsed(0, s(100)), s(100));
        let ended = phases.note(s(101), &[false, true], "b");
        assert_eq!(ended[0].sites, [("a".to_owned(), 40.0), ("b".to_owned(), 60.0)]);
    }

    #[test]
    fn bursts_are_no_long_phase_and_a_pause_ends_none() {
        let mut phases = Phases::new(1);
        for now in 0..600 {
            assert!(phases.note(s(now), &[now % 60 < 5], "a").is_empty());
        }
        let ended = phases.note(s(800), &[false], "a");
        assert_eq!(ended[0].sites, [("a".to_owned(), 40.0)]);
    }
}
