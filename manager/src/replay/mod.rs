//! What a profile would have done with a recorded trace, and when.
//!
//! The trace is played through sensors with the profile's window, and its readings through the policy. Moves are imagined:
//! they end after the time given, and windows begin anew there. The trace itself goes on as it was recorded, so a replay
//! says what would have been decided first; what the agent would have shown elsewhere afterwards nobody recorded. Where
//! the trace says that the agent moved ([`Event::Restart`] with a place), it did, and is there in the replay too.

mod svg;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::time::Duration;

use sensors::trace::{Header, Line, Reader, TraceError};
use sensors::{Event, Readings, Sensors};
use serde::Serialize;
use thiserror::Error;

pub use svg::svg;
pub use table::table;

use crate::policy::{Action, Decision, History, Mode, Outcome, Policy, Review, Site, Situation};
use crate::profile::Profile;

/// Most polls of a replay: two days at one a second.
const POLLS_MAX: usize = 200_000;

/// What a replay needs besides profile and trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Sites of roles. A role that is not named is a site of its own name.
    pub roles: BTreeMap<String, Vec<String>>,
    /// The place at which the agent is at first; else the trace's, else that of the profile's first state.
    pub place: Option<String>,
    /// How long an imagined migration takes.
    pub migration: Duration,
    /// How much faster places that are moved to for speed are than the others; else unknown.
    pub speedup: Option<f64>,
}

impl Default for Options {
    /// Migrations of a minute, which is what the paper measured.
    fn default() -> Options {
        Options { roles: BTreeMap::new(), place: None, migration: Duration::from_secs(60), speedup: None }
    }
}

/// Why there is no replay.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The trace is wrong.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Too long for its poll interval.
    #[error("the trace has more than {POLLS_MAX} polls of this profile")]
    Long,
}

/// One poll.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Poll {
    /// When.
    pub at: Duration,
    /// What was read.
    pub readings: Readings,
    /// The state after it.
    pub state: String,
    /// Where the agent was.
    pub site: String,
    /// Whether it was on its way.
    pub moving: bool,
}

/// A replay's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The profile's name.
    pub profile: String,
    /// The trace's header.
    pub trace: Header,
    /// All polls, in order.
    #[serde(skip)]
    pub polls: Vec<Poll>,
    /// All decisions, in order.
    pub decisions: Vec<Decision>,
    /// What became of them.
    pub reviews: Vec<Review>,
    /// How long it was.
    pub length: Duration,
}

impl Replay {
    /// The moves: when decided, to which state, from where to where.
    pub fn moves(&self) -> impl Iterator<Item = (&Decision, &str)> {
        self.decisions.iter().filter_map(|decision| match &decision.action {
            Action::Move { to } => Some((decision, to.as_str())),
            _ => None,
        })
    }
}

/// Plays a trace.
///
/// # Errors
/// When the trace is wrong or too long.
pub fn replay(profile: &Profile, trace: impl BufRead, options: &Options) -> Result<Replay, ReplayError> {
    let reader = Reader::new(trace)?;
    let mut player = Player::new(profile, reader.header(), options);
    for line in reader {
        player.line(line?)?;
    }
    // The poll that sees the last event is the last.
    player.polls_until(player.last + profile.settings.poll())?;
    Ok(player.done())
}

struct Player<'a> {
    options: &'a Options,
    poll: Duration,
    sensors: Sensors,
    policy: Policy,
    situation: Situation,
    next: Duration,
    last: Duration,
    arrives: Option<(Duration, String)>,
    replay: Replay,
}

impl<'a> Player<'a> {
    fn new(profile: &Profile, header: &Header, options: &'a Options) -> Player<'a> {
        let start = &profile.state(profile.start).place;
        let place = options.place.as_ref().or(header.place.as_ref()).unwrap_or(start);
        let poll = profile.settings.poll();
        let mut player = Player {
            options,
            poll,
            sensors: Sensors::new(profile.settings),
            policy: Policy::new(profile.clone(), History::default()),
            situation: situation(profile, options),
            next: poll,
            last: Duration::ZERO,
            arrives: None,
            replay: Replay {
                profile: profile.name.clone(),
                trace: header.clone(),
                polls: Vec::new(),
                decisions: Vec::new(),
                reviews: Vec::new(),
                length: Duration::ZERO,
            },
        };
        player.sensors.readings(Duration::ZERO);
        player.situation.site = player.site_of(place);
        player
    }

    fn site_of(&self, place: &str) -> String {
        self.situation.sites_of(place).first().map_or_else(|| place.to_owned(), Clone::clone)
    }

    fn line(&mut self, line: Line) -> Result<(), ReplayError> {
        // A poll at the time of an event sees it.
        if let Some(before) = line.at.checked_sub(Duration::from_nanos(1)) {
            self.polls_until(before)?;
        }
        self.last = line.at;
        if let Event::Restart { place: Some(place) } = &line.event {
            if self.arrives.take().is_some() {
                self.policy.moved(line.at, &Outcome::Arrived);
            }
            self.situation.site = self.site_of(place);
        }
        self.sensors.event(line.at, line.event);
        Ok(())
    }

    fn polls_until(&mut self, end: Duration) -> Result<(), ReplayError> {
        while self.next <= end {
            if self.replay.polls.len() == POLLS_MAX {
                return Err(ReplayError::Long);
            }
            let at = self.next;
            self.next += self.poll;
            self.one(at);
        }
        Ok(())
    }

    fn one(&mut self, at: Duration) {
        if let Some((arrival, site)) = self.arrives.take_if(|(arrival, _)| *arrival <= at) {
            self.situation.site = site;
            self.sensors.event(arrival, Event::Restart { place: None });
            self.policy.moved(arrival, &Outcome::Arrived);
        }
        let readings = self.sensors.readings(at);
        for (site, known) in &mut self.situation.sites {
            known.migration = (*site != self.situation.site).then_some(self.options.migration);
        }
        let decision = self.policy.step(at, &readings, &self.situation);
        if let Some(Decision { action: Action::Move { to }, .. }) = &decision {
            self.arrives = Some((at + self.options.migration, to.clone()));
        }
        self.replay.decisions.extend(decision);
        self.replay.reviews.extend(self.policy.reviews());
        self.replay.polls.push(Poll {
            at,
            readings,
            state: self.policy.state().to_owned(),
            site: self.situation.site.clone(),
            moving: self.arrives.is_some(),
        });
    }

    fn done(mut self) -> Replay {
        self.replay.length = self.last;
        self.replay
    }
}

/// All roles of a profile as the options have them, and the sites they stand for.
fn situation(profile: &Profile, options: &Options) -> Situation {
    let mut roles = options.roles.clone();
    for state in &profile.states {
        // The desk is at home unless it has a site of its own.
        if !(state.place == "desk" && roles.contains_key("home")) {
            roles.entry(state.place.clone()).or_insert_with(|| vec![state.place.clone()]);
        }
    }
    let fast: BTreeSet<&String> = profile
        .states
        .iter()
        .filter(|state| state.gain == crate::profile::Gain::Speed)
        .filter_map(|state| roles.get(&state.place))
        .flatten()
        .collect();
    let clock = |site: &String| {
        // A clock of 1000 for the slow ones: only the ratio counts.
        options.speedup.map(|speedup| if fast.contains(site) { (speedup * 1000.0).round() } else { 1000.0 })
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    let site = |site: &String| {
        let clock_mhz = clock(site).map(|clock| clock.clamp(1.0, 1e9) as u32);
        (site.clone(), Site { cpus: Some(1), clock_mhz, ..Site::default() })
    };
    let sites = roles.values().flatten().map(site).collect();
    Situation { vcpus: 1, sites, mode: Mode::Auto, site: String::new(), roles }
}
