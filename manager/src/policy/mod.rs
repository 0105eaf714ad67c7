//! The policy: runs a profile over readings and decides when an agent moves, and where to.
//!
//! Pure: [`Policy::step`] is asked once a poll with the time, the readings and the [`Situation`]; what it was told before is
//! all it knows. The same calls give the same decisions.
//!
//! # How it decides
//!
//! 1. Of the rules of the present state that certainly hold the one of highest priority is taken, the first in the file if
//!    several have it. It fires when it has held for its polls. A rule to the state itself keeps the agent.
//! 2. A rule that leads to where the agent is, is inert: the state changes, and no decision is made.
//! 3. No move begins before the minimum residence has passed since the last one ended, whoever wanted that.
//!    Where its condition asks something of `there`, it holds if it does for one site of the place that it leads to, and only those sites
//!    are weighed for which it does: who waits for data that lies at one site has no wish to be at another.
//! 4. A move must gain more than it takes ([`estimate`]). Where that cannot be reckoned it is made.
//! 5. A move that is declined leaves the state as it is; the rule may win later. It is told once, and again only when the
//!    reason becomes another one or the rule has not held in between.
//!
//! **Invariant:** between the end of a move and the next decision to move there is the minimum residence.
//! **Invariant:** while a move is under way nothing is decided.

mod decision;
mod estimate;
mod history;
mod outlook;
mod phases;
mod situation;

use std::time::Duration;

use sensors::Readings;

pub use decision::{Action, Decision, Fired, Review, Why};
pub use estimate::{Candidate, Length, Speedup};
pub use history::History;
pub use outlook::Outlook;
pub use situation::{Mode, Site, Situation};

use crate::profile::{Profile, Rule};
use phases::Phases;

/// How a move ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The agent runs where it was to go.
    Arrived,
    /// It stayed, for this reason.
    Stayed(String),
}

/// A move under way.
#[derive(Debug, Clone)]
struct Moving {
    began: Duration,
    to_state: usize,
    decision: u64,
    predicted: Option<Duration>,
}

/// Runs one profile for one agent.
#[derive(Debug)]
pub struct Policy {
    profile: Profile,
    state: usize,
    /// For each rule, the polls in a row in which it held.
    held: Vec<u32>,
    /// For each rule, what was told of it since it began to hold.
    told: Vec<Option<Why>>,
    site: Option<String>,
    settled: Option<Duration>,
    moving: Option<Moving>,
    phases: Phases,
    history: History,
    reviews: Vec<Review>,
    decisions: u64,
}

impl Policy {
    /// A policy in the profile's first state, with what was learnt before.
    #[must_use]
    pub fn new(profile: Profile, history: History) -> Policy {
        let rules = profile.rules.len();
        Policy {
            state: profile.start,
            held: vec![0; rules],
            told: vec![None; rules],
            site: None,
            settled: None,
            moving: None,
            phases: Phases::new(profile.states.len()),
            history,
            reviews: Vec::new(),
            decisions: 0,
            profile,
        }
    }

    /// A policy that goes on after an earlier one: when the last move ended, and how many decisions there were.
    #[must_use]
    pub fn after(self, settled: Option<Duration>, decisions: u64) -> Policy {
        Policy { settled, decisions, ..self }
    }

    /// The number of the next decision.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// The profile.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The present state's name.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.profile.state(self.state).name
    }

    /// What was learnt so far; whoever keeps it gives it to the next policy.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What became of decisions since this was asked before: predicted against actual.
    pub fn reviews(&mut self) -> Vec<Review> {
        std::mem::take(&mut self.reviews)
    }

    /// One poll. A decision of [`Action::Move`] begins a move: the policy waits for [`Policy::moved`].
    pub fn step(&mut self, now: Duration, readings: &Readings, situation: &Situation) -> Option<Decision> {
        if self.moving.is_some() {
            // The agent runs where it was until it has moved: its phase goes on.
            self.notice_phases(now, readings, situation);
            return None;
        }
        self.notice_site(now, situation);
        self.notice_phases(now, readings, situation);
        let rule = self.fires(readings, situation)?;
        let to = self.profile.rules[rule].to;
        if to == self.state {
            return None;
        }
        let place = &self.profile.state(to).place;
        if situation.sites_of(place).contains(&situation.site) {
            self.enter(to);
            return None;
        }
        if situation.mode == Mode::Off {
            return None;
        }
        let decision = self.decide(now, rule, readings, situation);
        let why = decision.action.why();
        if self.told[rule].as_ref() == Some(&why) {
            return None;
        }
        self.told[rule] = Some(why);
        if let Action::Move { to: site } = &decision.action {
            let predicted = decision.candidate(site).and_then(|candidate| candidate.migration);
            self.moving = Some(Moving { began: now, to_state: to, decision: decision.id, predicted });
            self.held.fill(0);
        }
        self.decisions += 1;
        Some(decision)
    }

    /// A move that was decided has ended. The next one has to wait for the minimum residence, also after a failure.
    pub fn moved(&mut self, now: Duration, outcome: &Outcome) {
        let Some(moving) = self.moving.take() else { return };
        let took = now.saturating_sub(moving.began);
        self.settled = Some(now);
        self.told.fill(None);
        let failed = match outcome {
            Outcome::Arrived => {
                self.enter(moving.to_state);
                // Where it arrived is seen at the next step; that it is elsewhere is no news then.
                self.site = None;
                None
            }
            Outcome::Stayed(reason) => Some(reason.clone()),
        };
        self.reviews.push(Review::Moved {
            decision: moving.decision,
            predicted: moving.predicted,
            took,
            failed,
        });
    }

    /// Somebody else moved the agent: it stays there for the minimum residence, and the state is one of that place.
    fn notice_site(&mut self, now: Duration, situation: &Situation) {
        if self.site.as_ref() == Some(&situation.site) {
            return;
        }
        let first = self.site.is_none();
        self.site = Some(situation.site.clone());
        let is_here =
            |state: usize| situation.sites_of(&self.profile.state(state).place).contains(&situation.site);
        if is_here(self.state) {
            if !first {
                self.settled = Some(now);
            }
            return;
        }
        if !first {
            self.settled = Some(now);
        }
        if let Some(state) = (0..self.profile.states.len()).find(|state| is_here(*state)) {
            self.enter(state);
        }
    }

    fn enter(&mut self, state: usize) {
        self.state = state;
        self.held.fill(0);
        self.told.fill(None);
    }

    /// Which phases the readings show, whatever the state is, and where the agent is in them.
    fn notice_phases(&mut self, now: Duration, readings: &Readings, situation: &Situation) {
        let shown: Vec<bool> = (0..self.profile.states.len())
            .map(|state| {
                let mut rules = self.profile.rules.iter().filter(|rule| rule.to == state);
                rules.any(|rule| self.holds(rule, readings, situation) == Some(true))
            })
            .collect();
        for ended in self.phases.note(now, &shown, &situation.site) {
            let state = self.profile.state(ended.state);
            let length = self.history.learn(state, &ended);
            if let Some((decision, predicted, rest)) = ended.predicted {
                self.reviews.push(Review::PhaseEnded { decision, predicted, actual: rest, length });
            }
        }
    }

    /// The site that a rule is about: of the place that it leads to the first for which it certainly holds, else the first.
    fn there<'a>(&self, rule: &Rule, readings: &Readings, situation: &'a Situation) -> Option<&'a str> {
        let sites = situation.sites_of(&self.profile.state(rule.to).place);
        let good = sites.iter().find(|site| rule.when.holds(readings, Some(site)) == Some(true));
        good.or(sites.first()).map(String::as_str)
    }

    /// Whether a rule holds for any site of the place that it leads to.
    fn holds(&self, rule: &Rule, readings: &Readings, situation: &Situation) -> Option<bool> {
        rule.when.holds(readings, self.there(rule, readings, situation))
    }

    /// The rule that fires, if any; counts for how long each has held.
    fn fires(&mut self, readings: &Readings, situation: &Situation) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (index, rule) in self.profile.rules.iter().enumerate() {
            let holds =
                rule.from.contains(&self.state) && self.holds(rule, readings, situation) == Some(true);
            if !holds {
                self.held[index] = 0;
                self.told[index] = None;
                continue;
            }
            self.held[index] = self.held[index].saturating_add(1);
            if best.is_none_or(|best| rule.priority > self.profile.rules[best].priority) {
                best = Some(index);
            }
        }
        best.filter(|best| self.held[*best] >= self.profile.rules[*best].hold)
    }

    fn decide(&mut self, now: Duration, rule: usize, readings: &Readings, situation: &Situation) -> Decision {
        let fired = &self.profile.rules[rule];
        let to = self.profile.state(fired.to);
        let elapsed = self.phases.elapsed(fired.to, now);
        let mut candidates = estimate::candidates(to, elapsed, &self.history, situation, readings);
        candidates.retain(|candidate| fired.when.holds(readings, Some(&candidate.site)) == Some(true));
        let best = estimate::best(&candidates);
        let wait = self.settled.map(|settled| (settled + self.profile.residence).saturating_sub(now));
        let action = match (best, wait) {
            (_, Some(wait)) if !wait.is_zero() => Action::Decline { why: Why::Residence, wait: Some(wait) },
            (Some(best), _) if situation.mode == Mode::Auto => Action::Move { to: best.site.clone() },
            (Some(best), _) => Action::Advise { to: best.site.clone() },
            (None, _) if candidates.is_empty() => Action::Decline { why: Why::NoSite, wait: None },
            (None, _) if candidates.iter().all(|candidate| candidate.refused.is_some()) => {
                Action::Decline { why: Why::Refused, wait: None }
            }
            (None, _) => Action::Decline { why: Why::NotWorthwhile, wait: None },
        };
        if let (Action::Move { .. }, Some(best)) = (&action, best) {
            self.phases.predict(fired.to, now, self.decisions, best);
        }
        Decision {
            id: self.decisions,
            at: now,
            site: situation.site.clone(),
            from_state: self.state().to_owned(),
            to_state: to.name.clone(),
            place: to.place.clone(),
            rule: Fired { when: fired.text.clone(), line: fired.line, priority: fired.priority },
            readings: readings.clone(),
            candidates,
            action,
        }
    }
}

#[cfg(test)]
mod tests;
