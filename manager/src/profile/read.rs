//! Text to profile. What is not known is an error with line, column and what was probably meant.

use std::ops::Range;
use std::time::Duration;

use sensors::{Settings, valid_name};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::position;
use super::table::{Table, wrong};
use super::{External, Gain, Profile, ProfileError, Rule, State};
use crate::condition;
use crate::words::did_you_mean;

/// Longest profile, in bytes.
const LEN_MAX: usize = 256 << 10;
/// Most states, rules and external sensors.
const STATES_MAX: usize = 32;
const RULES_MAX: usize = 256;
const SENSORS_MAX: usize = 32;
/// Longest hold, in polls.
const HOLD_MAX: i64 = 3600;
/// Deepest brackets of an array or inline table: a profile has two.
const NESTED_MAX: usize = 16;

/// Reads a profile.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read(text: &str) -> Result<Profile, ProfileError> {
    if text.len() > LEN_MAX {
        return Err(ProfileError::Whole(format!("a profile is no longer than {LEN_MAX} bytes")));
    }
    if let Some(at) = nested_too_deep(text) {
        return Err(ProfileError::at(
            text,
            &(at..at),
            format!("brackets are nested deeper than {NESTED_MAX}"),
        ));
    }
    let document = DeTable::parse(text)
        .map_err(|e| ProfileError::at(text, &e.span().unwrap_or_default(), e.message().to_owned()))?;
    let root = Table::root(text, "a profile".to_owned(), document.get_ref(), 0..0);
    Reader { text }.profile(root)
}

/// The parser of TOML need not bear any nesting that a file can have.
fn nested_too_deep(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '\n' if depth <= 2 => depth = 0,
            _ => {}
        }
        if depth > NESTED_MAX {
            return Some(at);
        }
    }
    None
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn profile(&self, mut root: Table<'a>) -> Result<Profile, ProfileError> {
        if root.integer("version", 1..2)?.is_none() {
            return root
                .fail(&(0..0), "version is missing: a profile of this program begins with version = 1");
        }
        let name = root.string("name")?.map_or("unnamed", |(name, _)| name).to_owned();
        let about = root.string("about")?.map_or("", |(about, _)| about).to_owned();
        let settings = Self::settings(&mut root)?;
        let hold = root.integer("hold", 1..HOLD_MAX + 1)?.unwrap_or(1);
        let residence = root.time("residence")?.map_or(Duration::from_secs(60), |(time, _)| time);
        let start = root.string("start")?;
        let sensors = self.sensors(&mut root)?;
        let states = self.states(&mut root)?;
        let start = match start {
            Some((name, span)) => self.state(&states, name, &span)?,
            None => 0,
        };
        let rules = self.rules(&mut root, &states, &sensors, hold)?;
        root.end()?;
        Ok(Profile { name, about, settings, residence, states, start, rules, sensors })
    }

    fn settings(root: &mut Table<'a>) -> Result<Settings, ProfileError> {
        let default = Settings::default();
        let (poll, window) = (root.time("poll")?, root.time("window")?);
        let span = window.as_ref().or(poll.as_ref()).map_or(0..0, |(_, span)| span.clone());
        let poll = poll.map_or(default.poll(), |(time, _)| time);
        let window = window.map_or(default.window(), |(time, _)| time);
        Settings::new(poll, window).or_else(|e| root.fail(&span, e.to_string()))
    }

    fn sensors(&self, root: &mut Table<'a>) -> Result<Vec<External>, ProfileError> {
        let mut sensors = Vec::new();
        for (name, span, mut table) in root.entries("sensors")? {
            if !valid_name(name) || matches!(name, "and" | "or" | "not") || name.contains(':') {
                return table
                    .fail(&span, format!("{name:?} is no name for a sensor: letters, digits, _ - ."));
            }
            if condition::dimension(name).is_some() {
                return table
                    .fail(&span, format!("{name} is a sensor of Snowbird's own: give yours another name"));
            }
            if sensors.len() == SENSORS_MAX {
                return table.fail(&span, format!("more than {SENSORS_MAX} sensors"));
            }
            let (command, at) = table.required("command")?;
            if command.trim().is_empty() {
                return table.fail(&at, "the command is empty");
            }
            sensors.push(External { name: name.to_owned(), command: command.to_owned() });
            table.end()?;
        }
        Ok(sensors)
    }

    fn states(&self, root: &mut Table<'a>) -> Result<Vec<State>, ProfileError> {
        let mut states = Vec::new();
        for (name, span, mut table) in root.entries("states")? {
            if !valid_name(name) {
                return table
                    .fail(&span, format!("{name:?} is no name for a state: letters, digits, _ - . :"));
            }
            if states.len() == STATES_MAX {
                return table.fail(&span, format!("more than {STATES_MAX} states"));
            }
            let (place, at) = table.required("place")?;
            if !valid_name(place) {
                let fault =
                    format!("{place:?} is no place: desk, home, compute, data:NAME or a role of your own");
                return table.fail(&at, fault);
            }
            let expected = table.time("expected")?.map(|(time, _)| time);
            let gain = Self::gain(&mut table, place)?;
            let line = position(self.text, span.start).0;
            states.push(State { name: name.to_owned(), place: place.to_owned(), expected, gain, line });
            table.end()?;
        }
        if states.is_empty() {
            return root.fail(&(0..0), "a profile has one state at least: [states.NAME] with a place");
        }
        Ok(states)
    }

    fn gain(table: &mut Table<'a>, place: &str) -> Result<Gain, ProfileError> {
        match table.string("gain")? {
            None if matches!(place, "desk" | "home") => Ok(Gain::Response),
            None if place.starts_with("data:") => Ok(Gain::Near),
            None | Some(("speed", _)) => Ok(Gain::Speed),
            Some(("response", _)) => Ok(Gain::Response),
            Some(("near", _)) => Ok(Gain::Near),
            Some((other, span)) => {
                let meant = did_you_mean(other, ["response", "speed", "near"]);
                table.fail(&span, format!("no gain is called {other:?}{meant}"))
            }
        }
    }

    fn state(&self, states: &[State], name: &str, span: &Range<usize>) -> Result<usize, ProfileError> {
        let known = || states.iter().map(|state| state.name.as_str());
        states.iter().position(|state| state.name == name).ok_or_else(|| {
            let meant = did_you_mean(name, known());
            ProfileError::at(self.text, span, format!("no state is called {name:?}{meant}"))
        })
    }

    fn rules(
        &self,
        root: &mut Table<'a>,
        states: &[State],
        sensors: &[External],
        hold: i64,
    ) -> Result<Vec<Rule>, ProfileError> {
        let Some(value) = root.value("transitions") else { return Ok(Vec::new()) };
        let Some(array) = value.get_ref().as_array() else {
            return Err(wrong(
                self.text,
                &value.span(),
                "transitions",
                "a list: [[transitions]]",
                value.get_ref(),
            ));
        };
        if array.len() > RULES_MAX {
            return root.fail(&value.span(), format!("more than {RULES_MAX} transitions"));
        }
        let external: Vec<String> = sensors.iter().map(|sensor| sensor.name.clone()).collect();
        array.iter().map(|value| self.rule(value, states, &external, hold)).collect()
    }

    fn rule(
        &self,
        value: &'a Spanned<DeValue<'a>>,
        states: &[State],
        external: &[String],
        hold: i64,
    ) -> Result<Rule, ProfileError> {
        let mut table = Table::new(self.text, "a transition".to_owned(), value)?;
        let line = position(self.text, table.span().start).0;
        let (to, span) = table.required("to")?;
        let to = self.state(states, to, &span)?;
        let from = self.from(&mut table, states)?;
        let (when, span) = table.required("when")?;
        let parsed = condition::parse(when, external).map_err(|e| {
            let at = self.inside(when, &span, e.at);
            ProfileError::at(self.text, &(at..at), e.fault)
        })?;
        let priority = table.integer("priority", -1000..1001)?.unwrap_or(0);
        let hold = table.integer("hold", 1..HOLD_MAX + 1)?.unwrap_or(hold);
        table.end()?;
        let hold = u32::try_from(hold).unwrap_or(1);
        Ok(Rule { from, to, when: parsed, text: when.to_owned(), priority, hold, line })
    }

    /// `from`: a state, a list of states, or `"*"` for all.
    fn from(&self, table: &mut Table<'a>, states: &[State]) -> Result<Vec<usize>, ProfileError> {
        let Some(value) = table.value("from") else {
            return table.fail(
                &table.span().clone(),
                "a transition has no from: a state, a list of states, or \"*\"",
            );
        };
        let names: Vec<&Spanned<DeValue<'a>>> = match value.get_ref() {
            DeValue::String(all) if all == "*" => return Ok((0..states.len()).collect()),
            DeValue::Array(array) if array.is_empty() => {
                return table.fail(&value.span(), "from names no state");
            }
            DeValue::Array(array) => array.iter().collect(),
            _ => vec![value],
        };
        let mut from = Vec::new();
        for value in names {
            let Some(name) = value.get_ref().as_str() else {
                return Err(wrong(self.text, &value.span(), "from", "a state's name", value.get_ref()));
            };
            let state = self.state(states, name, &value.span())?;
            if !from.contains(&state) {
                from.push(state);
            }
        }
        Ok(from)
    }

    /// Where in the file byte `at` of a string's value is. Where the string has escapes, its beginning.
    fn inside(&self, string: &str, span: &Range<usize>, at: usize) -> usize {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        raw.find(string).map_or(span.start, |begin| span.start + begin + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"version = 1
poll = "1s"
[sensors.gpu]
command = "gpu-load"
[states.idle]
place = "home"
[states.work]
place = "compute"
expected = "5min"
[[transitions]]
from = "*"
to = "work"
when = "cpu >= 0.8 or gpu > 0.5"
[[transitions]]
from = ["work"]
to = "idle"
when = """cpu < 0.2
  and inputs < 3"""
priority = 3
hold = 4
"#;

    #[test]
    fn a_profile_is_what_it_says() {
        let profile = read(GOOD).unwrap();
        assert_eq!(profile.states[0].name, "idle");
        assert_eq!((profile.states[0].gain, profile.states[1].gain), (Gain::Response, Gain::Speed));
        assert_eq!((profile.rules[0].from.clone(), profile.rules[0].hold), (vec![0, 1], 1));
        assert_eq!((profile.rules[1].priority, profile.rules[1].hold, profile.rules[1].line), (3, 4, 14));
    }

    #[test]
    fn an_error_has_its_line_and_column_and_what_was_meant() {
        for (good, bad, place, part) in [
            ("poll =", "pol =", "line 2, column 1", "did you mean \"poll\"?"),
            ("\"1s\"", "\"1\"", "line 2, column 8", "is no time"),
            ("\"1s\"", "\"20s\"", "line 2, column 8", "shorter than the poll"),
            ("command", "comand", "line 3, column 1", "no command"),
            ("expected = \"5min\"", "expekted = \"5min\"", "line 9, column 1", "did you mean \"expected\"?"),
            ("to = \"work\"", "to = \"wrok\"", "line 12, column 6", "did you mean \"work\"?"),
            ("or gpu", "or gpuu", "line 13, column 23", "did you mean \"gpu\"?"),
            ("and inputs", "and input", "line 18, column 7", "did you mean \"inputs\"?"),
            ("[\"work\"]", "[5]", "line 15, column 9", "not integer"),
            ("hold = 4", "hold = 0", "line 20, column 8", "from 1 to 3600"),
            ("version = 1", "version = 2", "line 1, column 11", "from 1 to 1"),
            ("version = 1\n", "", "line 1, column 1", "version is missing"),
            ("place = \"home\"", "place = \"my home\"", "line 6, column 9", "is no place"),
            ("priority = 3", "priority = ", "line 19, column 12", ""),
            ("priority = 3", "priority = 3\nx.y = 1", "line 20, column 1", "no key \"x\""),
        ] {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good}");
            let error = read(&text).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn deep_and_long_profiles_are_refused() {
        assert!(read(&format!("a = {}", "[".repeat(100_000))).unwrap_err().to_string().contains("nested"));
        assert!(read(&" ".repeat(LEN_MAX + 1)).unwrap_err().to_string().contains("no longer"));
    }
}
