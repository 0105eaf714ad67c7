//! Profiles: which phases an agent has, by which readings they are told, and where it should be in each.
//!
//! A profile is data: a table of states and rules that [`crate::policy`] runs. It names places (`desk`, `home`, `compute`,
//! `data:NAME`, any role); which sites these are is the user's business and not in it.

mod check;
mod error;
mod read;
mod show;
mod table;

use std::time::Duration;

use sensors::Settings;

pub use check::{Warning, WarningKind, check};
pub use error::ProfileError;
pub use read::read;

use crate::condition::Condition;

/// What moving to a state's place is for, and so how its gain is reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gain {
    /// Crispness: each second of the phase at the place is gained.
    Response,
    /// Computing time: speed-up learnt, else by vCPUs and clock.
    Speed,
    /// Nearness to data: speed-up learnt, else unknown.
    Near,
}

/// A state: a phase of the agent.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Where the agent should be in it.
    pub place: String,
    /// How long it lasts, as long as nothing is learnt.
    pub expected: Option<Duration>,
    /// What moving there is for.
    pub gain: Gain,
    /// Line of the profile.
    pub line: usize,
}

/// A transition. States are indexes into [`Profile::states`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// States in which it applies.
    pub from: Vec<usize>,
    /// The state it leads to. If that is the state itself, the rule holds the agent there.
    pub to: usize,
    /// When.
    pub when: Condition,
    /// When, as written.
    pub text: String,
    /// Of rules that hold together the highest priority wins, then the first.
    pub priority: i64,
    /// Polls for which it must have held.
    pub hold: u32,
    /// Line of the profile.
    pub line: usize,
}

/// An external sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Its name, as conditions use it.
    pub name: String,
    /// The command that prints its readings.
    pub command: String,
}

/// A profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Poll interval and window.
    pub settings: Settings,
    /// Least time between the end of a move and the next.
    pub residence: Duration,
    /// In the order of the file.
    pub states: Vec<State>,
    /// The state an agent begins in.
    pub start: usize,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// External sensors, by name.
    pub sensors: Vec<External>,
}

impl Profile {
    /// Profiles that are part of the program: name and text.
    pub const EMBEDDED: [(&str, &str); 3] = [
        ("builtin", include_str!("../../profiles/builtin.toml")),
        ("data", include_str!("../../profiles/data.toml")),
        ("tuned", include_str!("../../profiles/tuned.toml")),
    ];

    /// A profile that is part of the program, by name.
    ///
    /// # Errors
    /// When there is none of that name, with those there are.
    pub fn embedded(name: &str) -> Result<Profile, ProfileError> {
        read(Profile::embedded_text(name)?)
    }

    /// Its text.
    ///
    /// # Errors
    /// As for [`Profile::embedded`].
    pub fn embedded_text(name: &str) -> Result<&'static str, ProfileError> {
        let found = Profile::EMBEDDED.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| *text).ok_or_else(|| ProfileError::no_such(name))
    }

    /// The state of an index; the first if there is none, which a profile that was read never asks for.
    pub(crate) fn state(&self, index: usize) -> &State {
        &self.states[index.min(self.states.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_profiles_are_read_and_nothing_is_wrong_with_them() {
        for (name, _) in Profile::EMBEDDED {
            let profile = Profile::embedded(name).unwrap();
            assert_eq!(profile.name, name);
            let warnings = check(&profile);
            assert!(warnings.is_empty(), "{name}: {warnings:?}");
        }
        assert_eq!(Profile::embedded("builtin").unwrap().settings, Settings::default());
        let error = Profile::embedded("bultin").unwrap_err();
        assert!(error.to_string().contains("did you mean \"builtin\"?"), "{error}");
    }
}
