//! Which readings satisfy conditions: whether there are any at all.
//!
//! A condition is brought into alternatives, each an interval for each sensor. What a missing reading does is left out:
//! a condition that can never hold with all readings there holds with fewer of them only less.

use std::collections::BTreeMap;

use super::quantity::domain;
use super::{Condition, Op};

/// Most alternatives: beyond that nothing is said.
const ALTERNATIVES_MAX: usize = 2048;

/// The values of one sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    low: f64,
    low_open: bool,
    high: f64,
    high_open: bool,
}

impl Interval {
    fn with(mut self, op: Op, value: f64) -> Interval {
        match op {
            Op::More | Op::AtLeast if value > self.low || (value == self.low && op == Op::More) => {
                (self.low, self.low_open) = (value, op == Op::More);
            }
            Op::Less | Op::AtMost if value < self.high || (value == self.high && op == Op::Less) => {
                (self.high, self.high_open) = (value, op == Op::Less);
            }
            _ => {}
        }
        self
    }

    fn is_empty(&self) -> bool {
        self.low > self.high || (self.low == self.high && (self.low_open || self.high_open))
    }
}

/// One alternative: a sensor that is not named may have any value.
type Alternative = BTreeMap<String, Interval>;

/// The readings that satisfy what was asked for.
#[derive(Debug, Clone)]
pub struct Ranges(Vec<Alternative>);

impl Default for Ranges {
    /// All readings.
    fn default() -> Ranges {
        Ranges(vec![Alternative::new()])
    }
}

impl Ranges {
    /// Those that satisfy `condition` too, or do not (`holds` false). `None`: too many alternatives to tell.
    #[must_use]
    pub fn and(self, condition: &Condition, holds: bool) -> Option<Ranges> {
        match (condition, holds) {
            (Condition::Not(inner), _) => self.and(inner, !holds),
            (Condition::Compare { sensor, op, value }, _) => {
                let op = if holds { *op } else { op.inverse() };
                Some(Ranges(self.0.into_iter().filter_map(|a| narrowed(a, sensor, op, *value)).collect()))
            }
            (Condition::All(parts), true) | (Condition::Any(parts), false) => {
                parts.iter().try_fold(self, |ranges, part| ranges.and(part, holds))
            }
            (Condition::Any(parts), true) | (Condition::All(parts), false) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.clone().and(part, holds)?.0);
                    if all.len() > ALTERNATIVES_MAX {
                        return None;
                    }
                }
                Some(Ranges(all))
            }
        }
    }

    /// How many alternatives they are: what working with them costs.
    #[must_use]
    pub fn alternatives(&self) -> usize {
        self.0.len()
    }

    /// Whether no reading is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn narrowed(mut alternative: Alternative, sensor: &str, op: Op, value: f64) -> Option<Alternative> {
    let interval = alternative.entry(sensor.to_owned()).or_insert_with(|| {
        let (low, high) = domain(sensor);
        Interval { low, low_open: false, high, high_open: false }
    });
    *interval = interval.with(op, value);
    let empty = interval.is_empty();
    (!empty).then_some(alternative)
}

/// Whether some readings satisfy all of `conditions`; `None` when that cannot be told.
pub fn satisfiable<'a>(conditions: impl IntoIterator<Item = &'a Condition>) -> Option<bool> {
    let ranges = conditions.into_iter().try_fold(Ranges::default(), |ranges, c| ranges.and(c, true))?;
    Some(!ranges.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::parse;
    use proptest::prelude::*;
    use sensors::Readings;

    #[test]
    fn contradictions_and_limits_are_seen() {
        for (text, expected) in [
            ("cpu > 0.5 and cpu < 0.6", true),
            ("cpu > 0.5 and cpu <= 0.5", false),
            ("cpu >= 0.5 and cpu <= 0.5", true),
            ("cpu > 100%", false),
            ("cpu < 0", false),
            ("not (inputs >= 15 or inputs < 15)", false),
            ("(cpu > 0.8 or inputs > 3) and not cpu > 0.8 and inputs < 2", false),
            ("fps > 60", false),
        ] {
            assert_eq!(satisfiable([&parse(text, &[]).unwrap()]), Some(expected), "{text}");
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let leaf = (0..3usize, 0..4usize, 0..5u8).prop_map(|(sensor, op, value)| Condition::Compare {
            sensor: ["cpu", "busiest", "host"][sensor].to_owned(),
            op: [Op::Less, Op::AtMost, Op::More, Op::AtLeast][op],
            value: f64::from(value) / 4.0,
        });
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::All),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Any),
                inner.prop_map(|c| Condition::Not(Box::new(c))),
            ]
        })
    }

    proptest! {
        /// All readings that can matter are tried: each value used, and one between each two.
        #[test]
        fn satisfiable_is_what_trying_finds(condition in condition()) {
            let steps: Vec<f64> = (0..=8u8).map(|i| f64::from(i) / 8.0).collect();
            let mut found = false;
            for cpu in &steps { for busiest in &steps { for host in &steps {
                let readings = Readings { cpu: Some(*cpu), busiest: Some(*busiest), host: Some(*host), ..Readings::default() };
                found |= condition.holds(&readings, None) == Some(true);
            }}}
            prop_assert_eq!(satisfiable([&condition]), Some(found));
        }
    }
}
