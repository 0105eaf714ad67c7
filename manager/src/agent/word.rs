//! What was said about an agent at its home, as it travels with the agent: what may be done with it unasked, and which ports of home's lead
//! into it, and what was learnt of its phases and moves. (Anchors travel from switch to switch.) Pure.
//!
//! Home itself goes by its own list and its own switch. The word is for the site that takes the place of a home that is lost, and is what was
//! said before the agent, or news of it, left home last. What is too long to travel is left out.
//!
//! Invariants: of two words the one that was said at the later home counts, and of one home's the later; a word from elsewhere is bounded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::automatic::Settings;
use super::{Agent, FORMAT, is_name};
use crate::net::config::{FORWARDS_MAX, Forward};

/// No profile that travels is longer.
const PROFILE_MAX_BYTES: usize = 32 << 10;
/// Nor what was learnt.
const LEARNT_MAX_BYTES: usize = 16 << 10;
/// Roles, and sites that have one.
const ROLES_MAX: usize = 64;

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// How often its home had changed when it was said.
    pub home_changes: u32,
    /// How often the word has changed.
    pub changes: u32,
    /// What may be done unasked; `None`: nothing was said, or too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Ports of home's that lead into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forwards: Vec<Forward>,
    /// What was learnt, as the agent's watcher keeps it; `None`: nothing, or too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<Value>,
}

impl Word {
    /// The later of two has the larger.
    pub(super) fn age(&self) -> (u32, u32) {
        (self.home_changes, self.changes)
    }

    /// May it be one?
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.forwards.len() <= FORWARDS_MAX
            && self.settings.as_ref().is_none_or(travels)
            && self.learnt.as_ref().is_none_or(is_short)
    }
}

/// Is it short enough, and does it name what can be named?
fn travels(settings: &Settings) -> bool {
    let profile = settings.profile.as_ref().map_or(0, String::len);
    let mut names = settings.roles.keys().chain(settings.roles.values().flatten());
    let roles = settings.roles.len() + settings.roles.values().map(Vec::len).sum::<usize>();
    profile <= PROFILE_MAX_BYTES && roles <= ROLES_MAX && names.all(|name| is_name(name))
}

fn is_short(learnt: &Value) -> bool {
    learnt.to_string().len() <= LEARNT_MAX_BYTES
}

impl Agent {
    /// The same with something else said about it at its home.
    #[must_use]
    pub fn saying(&self, say: impl FnOnce(&mut Word)) -> Agent {
        let before = self.word.clone().unwrap_or_default();
        let mut word = before.clone();
        say(&mut word);
        word.settings = word.settings.filter(travels);
        word.learnt = word.learnt.filter(is_short);
        if word == before {
            return self.clone();
        }
        word.home_changes = self.home_changes;
        word.changes = before.changes.saturating_add(1);
        Agent { format: FORMAT, word: Some(word), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;
    use crate::policy::Mode;

    fn advises(word: &mut Word) {
        word.settings = Some(Settings { mode: Mode::Advise, ..Settings::default() });
    }

    #[test]
    fn the_later_word_counts_whoever_tells_first_and_that_of_the_later_home() {
        let silent = example();
        let first = silent.saying(advises);
        let second = first.saying(|word| word.forwards.extend(Forward::parse("8022:22")));
        assert_eq!(second.saying(advises), second, "it says nothing new");
        for (one, other) in [(&first, &second), (&second, &first), (&silent, &second), (&second, &silent)] {
            assert_eq!(one.joined(other).unwrap().word, second.word);
        }
        // A home that was taken for lost went on saying something.
        let heir = first.with_home("big").saying(|word| word.settings = None);
        for (one, other) in [(&heir, &second), (&second, &heir)] {
            let joined = one.joined(other).unwrap();
            assert_eq!((joined.home.as_str(), &joined.word), ("big", &heir.word));
        }
        assert_eq!(first.news_since(&silent), "what was said about it at its home is known here now");
        assert_eq!(Agent::from_json(&serde_json::to_string(&second).unwrap()).unwrap(), second);
    }

    #[test]
    fn what_is_too_long_stays_at_home_and_is_taken_from_nobody() {
        let long = || Settings { profile: Some("x".repeat(PROFILE_MAX_BYTES + 1)), ..Settings::default() };
        let said = example().saying(|word| {
            word.settings = Some(long());
            word.forwards.extend(Forward::parse("8022:22"));
            word.learnt = Some("x".repeat(LEARNT_MAX_BYTES).into());
        });
        let word = said.word.as_ref().unwrap();
        assert_eq!((&word.settings, word.forwards.len(), &word.learnt), (&None, 1, &None));
        let word = Some(Word { learnt: Some("x".repeat(LEARNT_MAX_BYTES).into()), ..Word::default() });
        assert!(Agent { word, ..example() }.check().is_err());
        let odd = Settings {
            roles: [("compute".to_owned(), vec!["../x".to_owned()])].into(),
            ..Settings::default()
        };
        for settings in [long(), odd] {
            let word = Some(Word { settings: Some(settings), ..Word::default() });
            let error = Agent { word, ..example() }.check().unwrap_err();
            assert!(error.to_string().contains("word of its home"), "{error}");
        }
    }
}
