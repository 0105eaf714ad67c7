//! A profile in words.

use std::fmt;

use super::{Gain, Profile};
use crate::words::spoken;

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.about)?;
        let (poll, window) = (spoken(self.settings.poll()), spoken(self.settings.window()));
        writeln!(f, "polls every {poll}, averages over {window}, stays {} at least", spoken(self.residence))?;
        writeln!(f, "\nstates (begins in {}):", self.state(self.start).name)?;
        for state in &self.states {
            let gain = match state.gain {
                Gain::Response => "for response",
                Gain::Speed => "for speed",
                Gain::Near => "for nearness",
            };
            write!(f, "  {:<16} at {}, {gain}", state.name, state.place)?;
            match state.expected {
                Some(expected) => writeln!(f, ", expected to last {}", spoken(expected))?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "\nrules (highest priority first, then in this order):")?;
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|rule| -rule.priority);
        for rule in rules {
            let from: Vec<&str> = rule.from.iter().map(|state| self.state(*state).name.as_str()).collect();
            let to = &self.state(rule.to).name;
            let held = if rule.hold > 1 { format!(" for {} polls", rule.hold) } else { String::new() };
            let text = rule.text.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(f, "  {:>4}  {} → {to}  when {text}{held}", rule.priority, from.join(", "))?;
        }
        for sensor in &self.sensors {
            writeln!(f, "\nsensor {}: {}", sensor.name, sensor.command)?;
        }
        Ok(())
    }
}
