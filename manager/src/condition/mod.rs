//! Conditions over readings: comparisons joined by `and`, `or`, `not` and parentheses.
//!
//! A reading may be missing. A comparison with it is neither true nor false, and neither is what depends on it, `not`
//! included: a rule fires only when its condition is certain.
//!
//! A sensor of an anchor may be that of the place to which a rule leads: `demand:there`. Which site that is, is said by whoever asks, for
//! each site that has the role: what is waited for at one of them is no reason to go to another.

mod parse;
mod quantity;
mod range;

use std::borrow::Cow;

use sensors::Readings;

pub use parse::{ConditionError, parse};
pub use quantity::{Dimension, dimension, sensors};
pub use range::{Ranges, satisfiable};

/// Instead of an anchor: the site in question.
const THERE: &str = "there";

/// The sensor that is meant where the site in question is this one; `None` if that is not known and would have to be.
#[must_use]
pub fn meant<'a>(sensor: &'a str, there: Option<&str>) -> Option<Cow<'a, str>> {
    match sensor.split_once(':') {
        Some((of, THERE)) => there.map(|site| format!("{of}:{site}").into()),
        _ => Some(sensor.into()),
    }
}

/// How a reading is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Op {
    /// The comparison that is true when this is false.
    #[must_use]
    pub fn inverse(self) -> Op {
        match self {
            Op::Less => Op::AtLeast,
            Op::AtMost => Op::More,
            Op::More => Op::AtMost,
            Op::AtLeast => Op::Less,
        }
    }

    fn holds(self, reading: f64, value: f64) -> bool {
        match self {
            Op::Less => reading < value,
            Op::AtMost => reading <= value,
            Op::More => reading > value,
            Op::AtLeast => reading >= value,
        }
    }
}

/// A condition over readings.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A reading compared with a value, in the reading's own unit.
    Compare {
        /// The sensor.
        sensor: String,
        /// How.
        op: Op,
        /// With what.
        value: f64,
    },
    /// All of them.
    All(Vec<Condition>),
    /// One of them at least.
    Any(Vec<Condition>),
    /// Not that.
    Not(Box<Condition>),
}

impl Condition {
    /// Whether the condition holds, for a move to `there`; `None` when that depends on a reading that is missing.
    #[must_use]
    pub fn holds(&self, readings: &Readings, there: Option<&str>) -> Option<bool> {
        match self {
            Condition::Compare { sensor, op, value } => {
                readings.get(&meant(sensor, there)?).map(|reading| op.holds(reading, *value))
            }
            Condition::Not(inner) => inner.holds(readings, there).map(|holds| !holds),
            Condition::All(parts) => joined(parts, readings, there, false),
            Condition::Any(parts) => joined(parts, readings, there, true),
        }
    }
}

/// `decisive` in one part decides; else it is open if one part is.
fn joined(parts: &[Condition], readings: &Readings, there: Option<&str>, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for part in parts {
        match part.holds(readings, there) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, inputs: Option<f64>, response: Option<f64>) -> Option<bool> {
        let condition = parse(text, &[]).unwrap();
        condition.holds(&Readings { inputs, response, ..Readings::default() }, None)
    }

    #[test]
    fn and_or_not_are_as_in_logic() {
        let both = "inputs >= 15 and response > 80ms";
        assert_eq!(holds(both, Some(15.0), Some(80.5)), Some(true));
        assert_eq!(holds(both, Some(15.0), Some(80.0)), Some(false));
        assert_eq!(holds("not inputs >= 15", Some(14.0), None), Some(true));
        // `and` binds closer than `or`.
        assert_eq!(holds("inputs > 9 or inputs > 5 and inputs > 7", Some(10.0), None), Some(true));
        assert_eq!(holds("(inputs > 9 or inputs > 5) and inputs > 7", Some(6.0), None), Some(false));
    }

    #[test]
    fn what_is_asked_of_there_is_a_reading_of_the_site_in_question() {
        let condition = parse("net_wait:there > 50% and not net_in:there < 1MB/s", &[]).unwrap();
        let far = |waited| sensors::Net { inward: 2e6, outward: 0.0, waited };
        let net = [("a".to_owned(), far(0.6)), ("b".to_owned(), far(0.1))].into();
        let readings = Readings { net, ..Readings::default() };
        let of = |there| condition.holds(&readings, there);
        assert_eq!(
            (of(Some("a")), of(Some("b")), of(Some("c")), of(None)),
            (Some(true), Some(false), None, None)
        );
    }

    #[test]
    fn what_depends_on_a_missing_reading_is_open() {
        assert_eq!(holds("inputs >= 15 and response > 80ms", Some(20.0), None), None);
        assert_eq!(holds("inputs >= 15 and response > 80ms", Some(2.0), None), Some(false));
        assert_eq!(holds("inputs >= 15 or response > 80ms", Some(20.0), None), Some(true));
        assert_eq!(holds("not response > 80ms", Some(20.0), None), None);
    }
}
