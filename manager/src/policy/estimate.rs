//! Estimates: what a move would gain, against what it would take.
//!
//! The paper's model (its Figure 8): moving pays when the phase's work, done faster elsewhere, saves more than the
//! migration takes. With R the rest of the phase as it would be here and S the speed-up, the gain is R·(1 − 1/S).
//!
//! - *R*: the phase's length less what has passed. The length is the median of past ones here, else the profile's
//!   `expected`, else unknown. A phase that has outlived its length is expected to last as long again as it has.
//! - *S*: learnt for the pair of sites, else by vCPUs that find a CPU × clock (for `speed` only), else unknown. What the agent waits
//!   for because it lies there takes no time there: where it computes for *c* and waits for *w* of the time, capacity counts
//!   (*c* + *w*) ÷ *c* times.
//! - A state moved to for *response* gains every second of its rest.
//! - The gain must be more than the migration takes. What is unknown is no reason against a move; a speed-up that is
//!   known to be none is.

use std::time::Duration;

use sensors::Readings;
use serde::{Deserialize, Serialize};

use super::{History, Situation};
use crate::profile::{Gain, State};

/// Who computes for less of its time than this is reckoned with this.
const LEAST: f64 = 0.01;

/// Where a speed-up comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speedup {
    /// Learnt from this many phases.
    Learnt(usize),
    /// By vCPUs and clock.
    Capacity,
    /// By these, and by what is waited for because it lies there.
    CapacityAndData,
    /// Not needed: the move is for response.
    Response,
    /// Nothing is known.
    Unknown,
}

/// Where the length of the rest comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// The median of this many past phases.
    Median(usize),
    /// The profile expects it.
    Expected,
    /// It has outlived what was known.
    Outlived,
    /// Nothing is known.
    Unknown,
}

/// A site that the agent could move to, and what that would bring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The site.
    pub site: String,
    /// How much faster it is there.
    pub speedup: Option<f64>,
    /// Where that comes from.
    pub speedup_by: Speedup,
    /// How much longer the phase would last here.
    pub remaining: Option<Duration>,
    /// Where that comes from.
    pub remaining_by: Length,
    /// How long the migration would take.
    pub migration: Option<Duration>,
    /// Seconds gained, before what the migration takes; negative where it is slower there.
    pub gain: Option<f64>,
    /// Whether a move there pays, or nothing is known against it.
    pub worthwhile: bool,
    /// Why the agent cannot go there.
    pub refused: Option<String>,
}

/// All candidates for a state, as the situation and what was learnt have them.
pub(super) fn candidates(
    state: &State,
    elapsed: Duration,
    history: &History,
    situation: &Situation,
    readings: &Readings,
) -> Vec<Candidate> {
    let (remaining, remaining_by) = remaining(state, elapsed, history, &situation.site);
    let one = |site: &String| {
        let (speedup, speedup_by) = speedup(state.gain, history, situation, readings, site);
        let known = situation.sites.get(site);
        let migration = known.and_then(|site| site.migration);
        let refused = known.and_then(|site| site.refused.clone());
        let share = match speedup_by {
            Speedup::Response => Some(1.0),
            _ => speedup.map(|speedup| 1.0 - 1.0 / speedup),
        };
        let gain = share.zip(remaining).map(|(share, rest)| share * rest.as_secs_f64());
        let pays = match (gain, migration) {
            (Some(gain), Some(migration)) => gain > migration.as_secs_f64(),
            (Some(gain), None) => gain > 0.0,
            (None, _) => share.is_none_or(|share| share > 0.0),
        };
        let worthwhile = pays && refused.is_none();
        Candidate {
            site: site.clone(),
            speedup,
            speedup_by,
            remaining,
            remaining_by,
            migration,
            gain,
            worthwhile,
            refused,
        }
    };
    situation.sites_of(&state.place).iter().map(one).collect()
}

/// The worthwhile candidate that leaves most after its migration; where that is unknown, the one named first.
pub(super) fn best(candidates: &[Candidate]) -> Option<&Candidate> {
    let net = |c: &Candidate| c.gain.map(|gain| gain - c.migration.map_or(0.0, |m| m.as_secs_f64()));
    let mut best: Option<&Candidate> = None;
    for candidate in candidates.iter().filter(|candidate| candidate.worthwhile) {
        let better = match (best.map(net), net(candidate)) {
            (None, _) => true,
            (Some(Some(before)), Some(now)) => now > before,
            (Some(_), _) => false,
        };
        if better {
            best = Some(candidate);
        }
    }
    best
}

fn remaining(state: &State, elapsed: Duration, history: &History, site: &str) -> (Option<Duration>, Length) {
    let learnt = history
        .length(&state.name, site)
        .and_then(|(seconds, of)| Some((Duration::try_from_secs_f64(seconds).ok()?, Length::Median(of))));
    let Some((length, by)) = learnt.or(state.expected.map(|expected| (expected, Length::Expected))) else {
        return (None, Length::Unknown);
    };
    match length.checked_sub(elapsed).filter(|rest| !rest.is_zero()) {
        Some(rest) => (Some(rest), by),
        None => (Some(elapsed), Length::Outlived),
    }
}

fn speedup(
    gain: Gain,
    history: &History,
    situation: &Situation,
    readings: &Readings,
    site: &str,
) -> (Option<f64>, Speedup) {
    if gain == Gain::Response {
        return (None, Speedup::Response);
    }
    if let Some((speedup, of)) = history.speedup(&situation.site, site) {
        return (Some(speedup), Speedup::Learnt(of));
    }
    let capacity = situation.capacity(site).zip(situation.capacity(&situation.site));
    match capacity.filter(|_| gain == Gain::Speed) {
        Some((there, here)) => match without_waits(readings, site) {
            Some(times) => (Some(there / here * times), Speedup::CapacityAndData),
            None => (Some(there / here), Speedup::Capacity),
        },
        None => (None, Speedup::Unknown),
    }
}

/// How many times as fast the agent is where what it waits for lies, by that alone; `None` where it waits for nothing there.
fn without_waits(readings: &Readings, site: &str) -> Option<f64> {
    let waited = readings.get(&format!("net_wait:{site}")).filter(|waited| *waited > 0.0)?;
    let computes = readings.busiest?.max(LEAST);
    Some((computes + waited).min(1.0) / computes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Site;

    fn situation(there: Site) -> Situation {
        let here = Site { cpus: Some(1), clock_mhz: Some(2000), ..Site::default() };
        Situation {
            site: "here".to_owned(),
            vcpus: 4,
            roles: [("compute".to_owned(), vec!["there".to_owned()])].into(),
            sites: [("here".to_owned(), here), ("there".to_owned(), there)].into(),
            ..Situation::default()
        }
    }

    fn state(gain: Gain, expected: u64) -> State {
        let expected = (expected > 0).then(|| Duration::from_secs(expected));
        State { name: "crunch".to_owned(), place: "compute".to_owned(), expected, gain, line: 1 }
    }

    fn one(gain: Gain, expected: u64, elapsed: u64, history: &History, there: Site) -> Candidate {
        let elapsed = Duration::from_secs(elapsed);
        let none = Readings::default();
        candidates(&state(gain, expected), elapsed, history, &situation(there), &none).remove(0)
    }

    fn site(cpus: u32, clock_mhz: u32, migration: u64) -> Site {
        let migration = (migration > 0).then(|| Duration::from_secs(migration));
        Site { cpus: Some(cpus), clock_mhz: Some(clock_mhz), migration, refused: None }
    }

    /// The paper: below ten minutes and a speed-up of two, a migration of 70 s hardly pays; here exactly at 2 × 70 s.
    #[test]
    fn the_gain_must_beat_the_migration() {
        let none = History::default();
        for (expected, expected_gain, worthwhile) in
            [(600, 300.0, true), (142, 71.0, true), (140, 70.0, false), (100, 50.0, false)]
        {
            let found = one(Gain::Speed, expected, 0, &none, site(2, 2000, 70));
            assert_eq!((found.speedup, found.speedup_by), (Some(2.0), Speedup::Capacity));
            assert_eq!((found.gain, found.worthwhile), (Some(expected_gain), worthwhile), "{expected} s");
        }
    }

    #[test]
    fn unknown_is_a_move_and_slower_is_none() {
        let none = History::default();
        assert!(one(Gain::Speed, 0, 0, &none, site(4, 2000, 70)).worthwhile, "length unknown");
        assert!(one(Gain::Speed, 600, 0, &none, Site::default()).worthwhile, "speed unknown");
        assert!(!one(Gain::Speed, 0, 0, &none, site(1, 1000, 70)).worthwhile, "slower there");
        assert!(!one(Gain::Speed, 600, 0, &none, site(1, 2000, 70)).worthwhile, "as fast there");
        assert!(!one(Gain::Speed, 600, 0, &none, site(1, 2000, 0)).worthwhile, "as fast, migration unknown");
        let refused = Site { refused: Some("no avx2".to_owned()), ..site(4, 2000, 1) };
        assert!(!one(Gain::Speed, 600, 0, &none, refused).worthwhile);
    }

    #[test]
    fn where_what_it_waits_for_lies_it_waits_no_more() {
        let of = |lies: &str, waited| {
            let net = [(lies.to_owned(), sensors::Net { waited, ..sensors::Net::default() })].into();
            let readings = Readings { busiest: Some(0.5), net, ..Readings::default() };
            // As fast as here.
            let known = site(1, 2000, 70);
            let none = History::default();
            candidates(&state(Gain::Speed, 600), Duration::ZERO, &none, &situation(known), &readings)
                .remove(0)
        };
        let found = of("there", 0.4);
        assert_eq!(found.speedup_by, Speedup::CapacityAndData);
        assert!(
            found.speedup.is_some_and(|times| (times - 1.8).abs() < 1e-9) && found.worthwhile,
            "{found:?}"
        );
        for other in [of("elsewhere", 0.4), of("there", 0.0)] {
            assert_eq!((other.speedup, other.worthwhile), (Some(1.0), false), "{other:?}");
        }
    }

    #[test]
    fn what_was_learnt_comes_before_what_is_declared() {
        let mut history = History::default();
        history.note_speedup("here", "there", 1.25);
        history.note_length("crunch", "here", 200.0);
        let found = one(Gain::Speed, 6000, 0, &history, site(4, 2000, 70));
        assert_eq!((found.speedup_by, found.remaining_by), (Speedup::Learnt(1), Length::Median(1)));
        assert!(found.gain.is_some_and(|gain| (gain - 40.0).abs() < 1e-9) && !found.worthwhile, "{found:?}");
        // vCPUs that find no CPU do not count, and data is not nearer for a faster clock.
        assert_eq!(one(Gain::Speed, 0, 0, &History::default(), site(64, 2000, 1)).speedup, Some(4.0));
        assert_eq!(
            one(Gain::Near, 0, 0, &History::default(), site(64, 2000, 1)).speedup_by,
            Speedup::Unknown
        );
    }

    #[test]
    fn a_phase_that_outlived_its_length_lasts_as_long_again() {
        let none = History::default();
        let found = one(Gain::Response, 100, 400, &none, site(1, 1, 70));
        assert_eq!((found.remaining, found.remaining_by), (Some(Duration::from_secs(400)), Length::Outlived));
        assert!(found.worthwhile && !one(Gain::Response, 100, 40, &none, site(1, 1, 70)).worthwhile);
    }

    #[test]
    fn of_several_the_one_that_leaves_most_is_taken() {
        let base = one(Gain::Speed, 600, 0, &History::default(), site(2, 2000, 70));
        let other = |site: &str, gain, worthwhile| Candidate {
            site: site.to_owned(),
            gain,
            worthwhile,
            ..base.clone()
        };
        let all =
            [other("a", Some(100.0), true), other("b", Some(500.0), false), other("c", Some(200.0), true)];
        assert_eq!(best(&all).map(|c| c.site.as_str()), Some("c"));
        assert_eq!(
            best(&[other("a", None, true), other("b", Some(9e9), true)]).map(|c| c.site.as_str()),
            Some("a")
        );
        assert_eq!(best(&all[1..2]), None);
    }
}
