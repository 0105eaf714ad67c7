//! What a profile says that nobody can have meant: found by looking at its rules, before any reading.

use std::cell::Cell;
use std::collections::BTreeSet;

use thiserror::Error;

use super::{Profile, Rule};
use crate::condition::{Ranges, satisfiable};

/// Most steps of the search for loops.
const STEPS_MAX: usize = 20_000;
/// Most alternatives that are looked at altogether: the profiles that are part of the program need a few dozen.
const WORK_MAX: usize = 100_000;

/// A thing to look at, with its line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct Warning {
    /// Line of the profile.
    pub line: usize,
    /// What it is.
    pub kind: WarningKind,
}

/// What can be odd about a profile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WarningKind {
    /// No rule leads to a state.
    #[error("unreachable: no rules lead from {start:?} to state {state:?}")]
    Unreachable {
        /// The state.
        state: String,
        /// The one an agent begins in.
        start: String,
    },
    /// A condition that contradicts itself or a sensor's range.
    #[error("never true: no readings satisfy {when:?}")]
    Never {
        /// The condition.
        when: String,
    },
    /// A condition that says nothing.
    #[error("always true: all readings satisfy {when:?}")]
    Always {
        /// The condition.
        when: String,
    },
    /// Rules of higher priority hold whenever this one does.
    #[error("overruled: in state {state:?} rules of higher priority hold whenever {when:?} does")]
    Overruled {
        /// Where.
        state: String,
        /// The condition.
        when: String,
    },
    /// Two rules of one priority lead apart.
    #[error(
        "overlapping: in state {state:?} the rule to {to:?} and that of line {other} to {other_to:?} can both hold, with the same priority"
    )]
    Overlapping {
        /// Where.
        state: String,
        /// This rule's end.
        to: String,
        /// Line of the other.
        other: usize,
        /// Its end.
        other_to: String,
    },
    /// The same readings lead round in a circle.
    #[error("loop: the same readings lead {}", path.join(" → "))]
    Loop {
        /// States, the first one again at the end.
        path: Vec<String>,
    },
    /// The profile is too large to be judged.
    #[error("not judged: {what} has too many alternatives")]
    NotJudged {
        /// What.
        what: String,
    },
}

/// Everything odd about a profile, by line.
#[must_use]
pub fn check(profile: &Profile) -> Vec<Warning> {
    let mut found = Found { profile, warnings: Vec::new(), work: Cell::new(0) };
    found.unreachable();
    found.conditions();
    found.overlapping();
    found.loops();
    if found.work.get() > WORK_MAX {
        found.warn(1, WarningKind::NotJudged { what: "the profile as a whole".to_owned() });
    }
    found.warnings.sort_by_key(|warning| warning.line);
    found.warnings.dedup();
    found.warnings
}

struct Found<'a> {
    profile: &'a Profile,
    warnings: Vec<Warning>,
    work: Cell<usize>,
}

impl<'a> Found<'a> {
    fn warn(&mut self, line: usize, kind: WarningKind) {
        self.warnings.push(Warning { line, kind });
    }

    fn name(&self, state: usize) -> String {
        self.profile.state(state).name.clone()
    }

    fn of(&self, state: usize) -> impl Iterator<Item = &'a Rule> {
        self.profile.rules.iter().filter(move |rule| rule.from.contains(&state))
    }

    fn unreachable(&mut self) {
        let mut reached = BTreeSet::from([self.profile.start]);
        let mut open = vec![self.profile.start];
        while let Some(state) = open.pop() {
            let next: Vec<usize> =
                self.of(state).filter(|r| satisfiable([&r.when]) != Some(false)).map(|r| r.to).collect();
            open.extend(next.into_iter().filter(|to| reached.insert(*to)));
        }
        for (index, state) in self.profile.states.iter().enumerate() {
            if !reached.contains(&index) {
                let start = self.name(self.profile.start);
                self.warn(state.line, WarningKind::Unreachable { state: state.name.clone(), start });
            }
        }
    }

    fn conditions(&mut self) {
        for rule in &self.profile.rules {
            let when = rule.text.clone();
            match Ranges::default().and(&rule.when, true).map(|ranges| ranges.is_empty()) {
                None => self.warn(rule.line, WarningKind::NotJudged { what: format!("{when:?}") }),
                Some(true) => {
                    self.warn(rule.line, WarningKind::Never { when });
                    continue;
                }
                Some(false) => {}
            }
            if Ranges::default().and(&rule.when, false).is_some_and(|ranges| ranges.is_empty()) {
                self.warn(rule.line, WarningKind::Always { when: rule.text.clone() });
            }
            for state in &rule.from {
                if self
                    .takes_its_turn(*state, rule, Ranges::default())
                    .is_some_and(|ranges| ranges.is_empty())
                {
                    let (state, when) = (self.name(*state), rule.text.clone());
                    self.warn(rule.line, WarningKind::Overruled { state, when });
                }
            }
        }
    }

    /// Of `ranges` the readings with which the rule is the one that is taken in a state.
    fn takes_its_turn(&self, state: usize, rule: &Rule, ranges: Ranges) -> Option<Ranges> {
        if self.work.get() > WORK_MAX {
            return None;
        }
        let mut above = self.of(state).filter(|other| other.priority > rule.priority);
        above.try_fold(ranges.and(&rule.when, true)?, |ranges, other| {
            self.work.set(self.work.get() + 1 + ranges.alternatives());
            if self.work.get() > WORK_MAX { None } else { ranges.and(&other.when, false) }
        })
    }

    fn overlapping(&mut self) {
        for state in 0..self.profile.states.len() {
            let rules: Vec<&Rule> = self.of(state).collect();
            for (index, rule) in rules.iter().enumerate() {
                for other in rules.iter().take(index) {
                    if rule.priority != other.priority || rule.to == other.to {
                        continue;
                    }
                    let both = self
                        .takes_its_turn(state, rule, Ranges::default())
                        .and_then(|ranges| ranges.and(&other.when, true));
                    if both.is_some_and(|ranges| !ranges.is_empty()) {
                        let kind = WarningKind::Overlapping {
                            state: self.name(state),
                            to: self.name(rule.to),
                            other: other.line,
                            other_to: self.name(other.to),
                        };
                        self.warn(rule.line, kind);
                    }
                }
            }
        }
    }

    /// Loops are sought from each state, over states of higher index only, so that each is found once.
    fn loops(&mut self) {
        let mut steps = 0;
        for first in 0..self.profile.states.len() {
            self.follow(first, &mut vec![first], &Ranges::default(), &mut steps);
        }
        if steps > STEPS_MAX {
            self.warn(1, WarningKind::NotJudged { what: "the search for loops".to_owned() });
        }
    }

    fn follow(&mut self, first: usize, path: &mut Vec<usize>, ranges: &Ranges, steps: &mut usize) {
        let Some(&state) = path.last() else { return };
        let rules: Vec<&Rule> = self.of(state).filter(|rule| rule.to != state && rule.to >= first).collect();
        for rule in rules {
            *steps += 1;
            if *steps > STEPS_MAX {
                return;
            }
            let Some(ranges) = self.takes_its_turn(state, rule, ranges.clone()) else { continue };
            if ranges.is_empty() {
                continue;
            }
            if rule.to == first {
                let names = path.iter().chain([&first]).map(|state| self.name(*state)).collect();
                self.warn(rule.line, WarningKind::Loop { path: names });
            } else if !path.contains(&rule.to) {
                path.push(rule.to);
                self.follow(first, path, &ranges, steps);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::read;

    /// Three states, and rules as `from to priority: condition`.
    fn warnings(rules: &[&str]) -> Vec<String> {
        let mut text = "version = 1\nstart = \"a\"\n".to_owned();
        for (name, place) in [("a", "desk"), ("b", "compute"), ("c", "data:x")] {
            text += &format!("[states.{name}]\nplace = \"{place}\"\n");
        }
        for rule in rules {
            let (head, when) = rule.split_once(": ").unwrap();
            let head: Vec<&str> = head.split(' ').collect();
            text += &format!(
                "[[transitions]]\nfrom = \"{}\"\nto = \"{}\"\npriority = {}\nwhen = \"{when}\"\n",
                head[0], head[1], head[2]
            );
        }
        check(&read(&text).unwrap()).into_iter().map(|warning| warning.to_string()).collect()
    }

    const FINE: [&str; 3] =
        ["a b 0: cpu >= 0.8", "b c 0: cpu < 0.5 and net_in > 1MB/s", "c a 0: net_in < 1kB/s"];

    #[test]
    fn a_profile_without_oddities_has_no_warning() {
        assert_eq!(warnings(&FINE), [""; 0]);
    }

    #[test]
    fn each_oddity_is_named_with_its_line() {
        for (rules, expected) in [
            (vec!["a b 0: cpu > 0.8"], "line 7: unreachable: no rules lead from \"a\" to state \"c\""),
            (vec!["b a 1: cpu > 0.8 and cpu < 0.7"], "line 24: never true"),
            (vec!["b a 1: cpu > 0.1 or cpu <= 0.1"], "line 24: always true"),
            (vec!["b a 1: cpu < 0.6"], "line 14: overruled: in state \"b\""),
            (
                vec!["b a 0: cpu < 0.6"],
                "line 24: overlapping: in state \"b\" the rule to \"a\" and that of line 14 to \"c\"",
            ),
            (vec!["b a -1: cpu > 0.7"], "line 24: loop: the same readings lead a → b → a"),
            (
                vec!["b c -1: cpu >= 0.9", "c a 1: busiest > 0.1"],
                "loop: the same readings lead a → b → c → a",
            ),
        ] {
            let rules =
                if expected.contains("unreachable") { rules } else { [FINE.to_vec(), rules].concat() };
            let found = warnings(&rules);
            assert!(found.iter().any(|warning| warning.contains(expected)), "{rules:?}: {found:?}");
        }
    }

    /// Hundreds of rules that overrule each other everywhere, each of many alternatives.
    #[test]
    fn a_profile_too_large_to_judge_is_told_so_soon() {
        let mut text = "version = 1\n".to_owned();
        for state in 0..32 {
            text += &format!("[states.s{state}]\nplace = \"p{state}\"\n");
        }
        for rule in 0..250u32 {
            let when = format!(
                "(cpu > 0.{rule:03} or host > 0.5) and (fps < 20 or inputs > {rule}) and rtt > {rule}ms"
            );
            let to = rule % 32;
            text += &format!(
                "[[transitions]]\nfrom = \"*\"\nto = \"s{to}\"\npriority = {rule}\nwhen = \"{when}\"\n"
            );
        }
        let began = std::time::Instant::now();
        let found = check(&read(&text).unwrap());
        let told = |w: &Warning| matches!(&w.kind, WarningKind::NotJudged { what } if what.contains("whole"));
        assert!(found.iter().any(told), "{found:?}");
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
    }

    #[test]
    fn a_rule_that_holds_the_agent_ends_a_loop() {
        let looping = [FINE[0], FINE[1], FINE[2], "b a 5: inputs >= 15"];
        assert!(warnings(&looping).iter().any(|warning| warning.contains("a → b → a")));
        let held = [&looping[..], &["a a 5: inputs >= 15"]].concat();
        assert_eq!(warnings(&held), [""; 0]);
    }
}
