//! What was learnt of an agent: how long its phases last, and how much faster one site is than another.
//!
//! A length is in seconds *as at a site*: a phase that began at one site and went on at another is reckoned as if it had
//! stayed, by the speed-up between them. A speed-up is learnt from such phases once the length at the first site is known
//! from phases that were wholly there: (that length − time there) ÷ time at the second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::phases::Ended;
use crate::profile::{Gain, State};

/// How many of the past are remembered of each kind.
const PAST_MAX: usize = 15;
/// Phases shorter than this teach nothing of speed, in seconds.
const TEACHES: f64 = 10.0;
/// A speed-up beyond these says more of the phase than of the sites.
const SPEEDUPS: (f64, f64) = (0.1, 100.0);

/// A past phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Past {
    seconds: f64,
    /// Whether it was at one site all along.
    whole: bool,
}

/// What was learnt. Saved as JSON; what is not understood of it is as good as never learnt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    /// State, then site.
    lengths: BTreeMap<String, BTreeMap<String, Vec<Past>>>,
    /// From a site to another.
    speedups: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

impl History {
    /// Median length of a state's phases as at a site, in seconds, and of how many.
    #[must_use]
    pub fn length(&self, state: &str, site: &str) -> Option<(f64, usize)> {
        self.lengths_of(state, site, |_| true)
    }

    /// Median speed-up from a site to another, and of how many.
    #[must_use]
    pub fn speedup(&self, from: &str, to: &str) -> Option<(f64, usize)> {
        let learnt = self.speedups.get(from)?.get(to)?;
        Some((median(learnt.iter().copied())?, learnt.len()))
    }

    /// Notes a length that is known from elsewhere, in seconds.
    pub fn note_length(&mut self, state: &str, site: &str, seconds: f64) {
        self.push(state, site, Past { seconds, whole: true });
    }

    /// Notes a speed-up that is known from elsewhere, such as a benchmark.
    pub fn note_speedup(&mut self, from: &str, to: &str, speedup: f64) {
        if speedup.is_finite() && speedup > 0.0 {
            let learnt = self.speedups.entry(from.to_owned()).or_default().entry(to.to_owned()).or_default();
            remember(learnt, speedup.clamp(SPEEDUPS.0, SPEEDUPS.1));
        }
    }

    fn lengths_of(&self, state: &str, site: &str, which: impl Fn(&Past) -> bool) -> Option<(f64, usize)> {
        let past: Vec<f64> = self
            .lengths
            .get(state)?
            .get(site)?
            .iter()
            .filter(|past| which(past))
            .map(|past| past.seconds)
            .collect();
        Some((median(past.iter().copied())?, past.len()))
    }

    fn push(&mut self, state: &str, site: &str, past: Past) {
        if past.seconds.is_finite() && past.seconds >= 0.0 {
            remember(
                self.lengths.entry(state.to_owned()).or_default().entry(site.to_owned()).or_default(),
                past,
            );
        }
    }

    /// Learns from a phase that has ended; its length as at its first site, if that can be told.
    pub(super) fn learn(&mut self, state: &State, ended: &Ended) -> Option<f64> {
        let name = &state.name;
        match ended.sites.as_slice() {
            // Who thinks between two inputs is still at it, and nothing of that is faster anywhere.
            [(first, _), ..] if state.gain == Gain::Response => {
                self.push(name, first, Past { seconds: ended.span, whole: true });
                Some(ended.span)
            }
            [(site, seconds)] => {
                self.push(name, site, Past { seconds: *seconds, whole: true });
                Some(*seconds)
            }
            [(first, before), (second, after)] => {
                let whole = self.lengths_of(name, first, |past| past.whole).map(|(seconds, _)| seconds);
                if let Some(whole) = whole.filter(|whole| *after >= TEACHES && whole - before >= TEACHES) {
                    self.note_speedup(first, second, (whole - before) / after);
                }
                let speedup = self.speedup(first, second).map(|(speedup, _)| speedup).or(ended.speedup)?;
                let seconds = before + after * speedup;
                self.push(name, first, Past { seconds, whole: false });
                Some(seconds)
            }
            _ => None,
        }
    }
}

fn remember<T>(past: &mut Vec<T>, new: T) {
    if past.len() >= PAST_MAX {
        past.remove(0);
    }
    past.push(new);
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(sites: &[(&str, f64)], speedup: Option<f64>) -> Ended {
        let sites = sites.iter().map(|(site, seconds)| ((*site).to_owned(), *seconds)).collect();
        let span = 0.0;
        Ended { state: 0, sites, span, speedup, predicted: None }
    }

    #[test]
    fn a_phase_of_interaction_includes_its_pauses() {
        let mut history = History::default();
        let state = State { gain: Gain::Response, ..crunch() };
        history.learn(&state, &Ended { span: 500.0, ..ended(&[("b", 60.0), ("a", 20.0)], None) });
        assert_eq!(history.length("crunch", "b"), Some((500.0, 1)));
    }

    fn crunch() -> State {
        let (name, place) = ("crunch".to_owned(), "compute".to_owned());
        State { name, place, expected: None, gain: Gain::Speed, line: 1 }
    }

    #[test]
    fn a_speed_up_is_learnt_once_the_length_at_home_is_known() {
        let mut history = History::default();
        // Without any idea of the speed-up a phase that moved teaches nothing.
        assert_eq!(history.learn(&crunch(), &ended(&[("a", 60.0), ("b", 100.0)], None)), None);
        history.learn(&crunch(), &ended(&[("a", 600.0)], None));
        assert_eq!(history.length("crunch", "a"), Some((600.0, 1)));
        // 60 s at a, the other 540 s of work in 135 s: four times as fast.
        history.learn(&crunch(), &ended(&[("a", 60.0), ("b", 135.0)], None));
        assert_eq!(history.speedup("a", "b"), Some((4.0, 1)));
        assert_eq!(history.length("crunch", "a"), Some((600.0, 2)));
        assert_eq!(history.speedup("b", "a"), None);
    }

    #[test]
    fn only_the_last_count_and_the_middle_of_them() {
        let mut history = History::default();
        for seconds in 0..100u8 {
            history.note_length("crunch", "a", f64::from(seconds));
        }
        assert_eq!(history.length("crunch", "a"), Some((92.0, PAST_MAX)));
        history.note_speedup("a", "b", f64::NAN);
        assert_eq!(history.speedup("a", "b"), None);
    }
}
