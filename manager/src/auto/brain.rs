//! What a watcher does about what it sees. Pure: [`Brain::take`] gets events with the time and gives what is to be done.
//!
//! The policy decides ([`crate::policy`]); here is what surrounds it: whether the agent can be heard at all, where it is, what
//! keeps it from a site (the user's word, a site that does not answer, moves that failed), and what was learnt before.
//!
//! **Invariant:** while the agent is not heard, or somebody moves it, nothing is decided.
//! **Invariant:** windows begin anew wherever the agent is heard anew.
//! **Invariant:** at most one move is under way; a site to which a move failed is left alone for a while that doubles.

use std::collections::BTreeMap;
use std::time::Duration;

use sensors::{Event as Sense, Readings, Sensors};
use serde_json::{Value, json};

use super::learnt::{Learnt, Open};
use super::record::Record;
use crate::agent::automatic::{STAY_MAX, Settings};
use crate::facts::Facts;
use crate::policy::{Action as Decided, Mode, Outcome, Outlook, Policy, Situation};
use crate::profile::Profile;
use crate::words::spoken;

/// After a first failed move; doubles up to the longest.
const BACKOFF: Duration = Duration::from_secs(30);
const BACKOFF_MAX: Duration = Duration::from_secs(30 * 60);
/// A silence that is shorter is nobody's business: an agent that moves is not heard for a moment.
const SILENCE: Duration = Duration::from_secs(10);

/// Now, twice: a clock that only goes on, for everything; and the calendar, which is asked once for what was said by it (a time
/// that the user gave, a move that an earlier watcher saw), and never afterwards: it may be set while this runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// From any origin, never back.
    pub at: Duration,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The user's word, when it changed.
    Settings(Settings),
    /// The agent is heard at this site from now on.
    Found {
        /// The site.
        site: String,
    },
    /// What its processors want, and whether it is being moved.
    Sensed {
        /// Of the sensors.
        events: Vec<Sense>,
        /// Where it is being moved to, by whomever.
        moving: Option<String>,
    },
    /// What external sensors say.
    External(Vec<Sense>),
    /// It is not heard any more.
    Silent {
        /// Why, in a sentence.
        why: String,
    },
    /// What the display proxy reads, if there is one.
    Display(Option<Readings>),
    /// What a site's host can do, or why it cannot be asked.
    Facts {
        /// The site.
        site: String,
        /// Its answer.
        facts: Result<Facts, String>,
    },
    /// The move that was asked for has ended: its account, as far as it was heard, or why the agent stayed.
    Moved(Result<Value, String>),
    /// Time for a decision.
    Poll,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Move the agent.
    Move {
        /// Where to.
        to: String,
    },
    /// Write this into its log.
    Record(Record),
    /// Keep this for the next watcher.
    Keep(Learnt),
}

#[derive(Debug)]
enum Heard {
    Yes,
    No { since: Duration, why: String, told: bool },
}

#[derive(Debug)]
struct Moving {
    from: String,
    to: String,
    began: Duration,
}

/// Moves to a site that failed.
#[derive(Debug)]
struct Failed {
    times: u32,
    why: String,
    until: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Brain {
    home: String,
    policy: Policy,
    sensors: Sensors,
    situation: Situation,
    /// As the user said it, and when that is by the clock that only goes on.
    stay: Option<(u64, Duration)>,
    heard: Heard,
    moving: Option<Moving>,
    /// Where somebody else moves it to.
    others: Option<String>,
    failed: BTreeMap<String, Failed>,
    unreachable: BTreeMap<String, String>,
    display: Option<Readings>,
    readings: Readings,
    learnt: Learnt,
}

impl Brain {
    /// One that has seen nothing, with what an earlier one learnt.
    #[must_use]
    pub fn new(profile: Profile, vcpus: u32, home: &str, learnt: Learnt, now: Now) -> Brain {
        let settled = learnt
            .settled_at_ms
            .and_then(|at| now.at.checked_sub(Duration::from_millis(now.wall_ms.saturating_sub(at))));
        let sensors = Sensors::new(profile.settings);
        let policy = Policy::new(profile, learnt.history.clone()).after(settled, learnt.decisions);
        Brain {
            home: home.to_owned(),
            policy,
            sensors,
            situation: Situation { vcpus, mode: Mode::Off, ..Situation::default() },
            stay: None,
            heard: Heard::No { since: now.at, why: "it has just begun".to_owned(), told: false },
            moving: None,
            others: None,
            failed: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            display: None,
            readings: Readings::default(),
            learnt,
        }
    }

    /// Something was seen; what is to be done.
    pub fn take(&mut self, now: Now, event: Event) -> Vec<Action> {
        match event {
            Event::Settings(settings) => self.settings(now, &settings),
            Event::Found { site } => return self.found(now, site),
            Event::Sensed { events, moving } if matches!(self.heard, Heard::Yes) => {
                self.others = moving;
                self.sense(now, events);
                return self.close(now);
            }
            Event::External(events) => self.sense(now, events),
            Event::Silent { why: reason } => match &mut self.heard {
                Heard::No { why, .. } => *why = reason,
                Heard::Yes => self.heard = Heard::No { since: now.at, why: reason, told: false },
            },
            Event::Display(readings) => self.display = readings,
            Event::Facts { site, facts } => self.facts(site, facts),
            Event::Moved(result) => return self.moved(now, result),
            Event::Poll => return self.poll(now),
            // Said before it moved, and heard after.
            Event::Sensed { .. } => {}
        }
        Vec::new()
    }

    fn settings(&mut self, now: Now, settings: &Settings) {
        let roles = settings.sites(&self.home);
        if self.situation.mode != settings.mode || self.situation.roles != roles {
            self.failed.clear();
        }
        self.situation.mode = settings.mode;
        self.situation.roles = roles;
        if self.stay.map(|(said, _)| said) != settings.stay_until_ms {
            self.stay = settings.stay_until_ms.map(|until_ms| {
                let rest = Duration::from_millis(until_ms.saturating_sub(now.wall_ms)).min(STAY_MAX);
                (until_ms, now.at + rest)
            });
        }
        for site in self.situation.roles.values().flatten() {
            self.situation.sites.entry(site.clone()).or_default();
        }
    }

    fn sense(&mut self, now: Now, events: Vec<Sense>) {
        for event in events {
            self.sensors.event(now.at, event);
        }
    }

    fn found(&mut self, now: Now, site: String) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Heard::No { told: true, .. } = self.heard {
            actions.push(Action::Record(Record::note(format!("The agent is heard again, at {site}."))));
        }
        self.heard = Heard::Yes;
        self.others = None;
        self.situation.site = site;
        self.sensors.event(now.at, Sense::Restart { place: None });
        self.readings = Readings::default();
        actions
    }

    /// A move that an earlier watcher began has ended: where it is now tells how.
    fn close(&mut self, now: Now) -> Vec<Action> {
        if self.moving.is_some() || self.others.is_some() {
            return Vec::new();
        }
        let Some(Open { decision, to }) = self.learnt.open.take() else { return Vec::new() };
        let end = if to == self.situation.site {
            format!("arrived at {to}")
        } else {
            format!("was not moved to {to}")
        };
        let note = format!("Decision {decision}: the agent {end} while nobody watched it.");
        self.learnt.settled_at_ms = Some(now.wall_ms);
        vec![self.keep(), Action::Record(Record::note(note))]
    }

    fn facts(&mut self, site: String, facts: Result<Facts, String>) {
        match facts {
            Ok(facts) => {
                self.unreachable.remove(&site);
                let known = self.situation.sites.entry(site).or_default();
                (known.cpus, known.clock_mhz) = (facts.cpus, facts.clock_mhz);
            }
            Err(why) => drop(self.unreachable.insert(site, why)),
        }
    }

    fn moved(&mut self, now: Now, result: Result<Value, String>) -> Vec<Action> {
        let Some(Moving { from, to, began }) = self.moving.take() else { return Vec::new() };
        let mut account = None;
        let outcome = match result {
            Ok(report) => {
                let decision = self.learnt.open.as_ref().map(|open| open.decision);
                account = decision.filter(|_| !report.is_null()).map(|decision| (decision, report));
                self.failed.remove(&to);
                self.learnt.note_move(&from, &to, now.at.saturating_sub(began));
                // It may have been heard there already; whatever else is said is of before.
                if self.situation.site != to {
                    let why = format!("it has just come to {to}");
                    self.heard = Heard::No { since: now.at, why, told: false };
                    self.situation.site = to;
                }
                Outcome::Arrived
            }
            Err(why) => {
                let times = self.failed.get(&to).map_or(0, |failed| failed.times).saturating_add(1);
                let wait = BACKOFF.saturating_mul(1 << (times - 1).min(16)).min(BACKOFF_MAX);
                let until = now.at + wait;
                self.failed.insert(to, Failed { times, why: why.clone(), until });
                Outcome::Stayed(why)
            }
        };
        self.policy.moved(now.at, &outcome);
        self.learnt.open = None;
        self.learnt.settled_at_ms = Some(now.wall_ms);
        let mut actions = self.reviews();
        if let Some((decision, report)) = account {
            actions.push(Action::Record(Record::Account { decision, report }));
        }
        actions.push(self.keep());
        actions
    }

    fn poll(&mut self, now: Now) -> Vec<Action> {
        if let Heard::No { since, why, told } = &mut self.heard {
            let silent = now.at.saturating_sub(*since) >= SILENCE && self.moving.is_none();
            if !silent || std::mem::replace(told, true) {
                return Vec::new();
            }
            let note = format!("Nothing is decided while the agent cannot be heard: {why}.");
            return vec![Action::Record(Record::note(note))];
        }
        self.readings = self.read(now);
        if self.others.is_some() && self.moving.is_none() {
            return Vec::new();
        }
        self.weigh(now);
        let decision = self.policy.step(now.at, &self.readings, &self.situation);
        let mut actions = self.reviews();
        if let Some(decision) = decision {
            if let Decided::Move { to } = &decision.action {
                let from = self.situation.site.clone();
                self.moving = Some(Moving { from, to: to.clone(), began: now.at });
                self.learnt.open = Some(Open { decision: decision.id, to: to.clone() });
                actions.push(Action::Move { to: to.clone() });
            }
            actions.push(Action::Record(Record::Decision(Box::new(decision))));
        }
        if !actions.is_empty() {
            // Before the move: who dies in it leaves word.
            actions.insert(0, self.keep());
        }
        actions
    }

    /// Windows of what was told here, and the display's beside them once these speak.
    fn read(&mut self, now: Now) -> Readings {
        let own = self.sensors.readings(now.at);
        let speaks = own.cpu.is_some();
        match self.display.as_ref().filter(|_| speaks) {
            Some(display) => Readings {
                inputs: display.inputs,
                fps: display.fps,
                fps_paper: display.fps_paper,
                updates: display.updates,
                response: display.response,
                rtt: display.rtt,
                unanswered: display.unanswered,
                ..own
            },
            None => own,
        }
    }

    /// What is known of each site now.
    fn weigh(&mut self, now: Now) {
        let here = self.situation.site.clone();
        let stays = self.stays(now);
        for (name, site) in &mut self.situation.sites {
            let away = *name != here;
            site.migration = self.learnt.migration(&here, name).filter(|_| away);
            site.refused =
                away.then(|| refused(name, stays.as_ref(), &self.unreachable, &self.failed, now)).flatten();
        }
    }

    /// How much longer the user wants it to stay.
    fn stays(&self, now: Now) -> Option<Duration> {
        let (_, until) = self.stay?;
        until.checked_sub(now.at).filter(|rest| !rest.is_zero())
    }

    fn reviews(&mut self) -> Vec<Action> {
        self.policy.reviews().into_iter().map(|review| Action::Record(Record::Review(review))).collect()
    }

    fn keep(&mut self) -> Action {
        self.learnt.history = self.policy.history().clone();
        self.learnt.decisions = self.policy.decisions();
        Action::Keep(self.learnt.clone())
    }

    /// The sites that are weighed, the agent's own included.
    #[must_use]
    pub fn sites(&self) -> Vec<String> {
        self.situation.sites.keys().cloned().collect()
    }

    /// What it knows, for people and programs.
    #[must_use]
    pub fn status(&self, now: Now) -> Value {
        let rests = match &self.heard {
            Heard::No { why, .. } => Some(format!("the agent cannot be heard: {why}")),
            Heard::Yes => match (&self.moving, &self.others) {
                (Some(moving), _) => Some(format!("it is being moved to {}", moving.to)),
                (None, Some(to)) => Some(format!("somebody moves it to {to}")),
                (None, None) => None,
            },
        };
        let outlook = self.policy.outlook(&self.readings, &self.situation);
        let said: Vec<String> = outlook.iter().map(Outlook::sentence).collect();
        json!({
            "mode": self.situation.mode,
            "profile": self.policy.profile().name,
            "profile_state": self.policy.state(),
            "readings": self.readings,
            "roles": self.situation.roles,
            "sites": self.situation.sites,
            "rests_because": rests,
            "stays_for_s": self.stays(now).map(|time| time.as_secs()),
            "would_move": outlook,
            "would_move_told": said,
        })
    }
}

/// Why an agent cannot be moved to a site now.
fn refused(
    site: &str,
    stays: Option<&Duration>,
    unreachable: &BTreeMap<String, String>,
    failed: &BTreeMap<String, Failed>,
    now: Now,
) -> Option<String> {
    if let Some(rest) = stays {
        return Some(format!("the user wants it to stay where it is for another {}", spoken(*rest)));
    }
    if let Some(why) = unreachable.get(site) {
        return Some(why.clone());
    }
    let failed = failed.get(site).filter(|failed| failed.until > now.at)?;
    let wait = spoken(failed.until - now.at);
    Some(format!("the last move there failed ({}), and it is not tried again for {wait}", failed.why))
}

/// Used by tests and by who asks before a watcher runs: the roles of a profile for which there is no site.
#[must_use]
pub fn without_site<'a>(profile: &'a Profile, roles: &BTreeMap<String, Vec<String>>) -> Vec<&'a str> {
    let situation = Situation { roles: roles.clone(), ..Situation::default() };
    let mut missing: Vec<&str> = profile
        .states
        .iter()
        .map(|state| state.place.as_str())
        .filter(|place| situation.sites_of(place).is_empty())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

#[cfg(test)]
#[path = "brain_tests.rs"]
mod tests;
