//! Text to condition. Recursive descent; every error knows where it is.
//!
//! ```text
//! any     = all { "or" all }
//! all     = one { "and" one }
//! one     = "not" one | "(" any ")" | SENSOR OP NUMBER[UNIT]
//! OP      = "<" | "<=" | ">" | ">="
//! ```

use thiserror::Error;

use super::quantity::{Dimension, dimension, sensors, value};
use super::{Condition, Op};
use crate::words::did_you_mean;

/// Longest text, in bytes.
const LEN_MAX: usize = 4096;
/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 32;

/// What is wrong with a condition.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{fault}")]
pub struct ConditionError {
    /// Byte of the text at which it is wrong.
    pub at: usize,
    /// What is wrong, for people.
    pub fault: String,
}

/// Parses a condition. Besides the built-in sensors it may use `external` ones.
///
/// # Errors
/// What is wrong and where.
pub fn parse(text: &str, external: &[String]) -> Result<Condition, ConditionError> {
    if text.len() > LEN_MAX {
        let fault = format!("is longer than {LEN_MAX} bytes");
        return Err(ConditionError { at: 0, fault });
    }
    let mut parser = Parser { text, at: 0, depth: 0, external };
    let condition = parser.any()?;
    match parser.token() {
        (_, "") => Ok(condition),
        (at, token) => fail(at, format!("{token:?} is not expected here: join conditions by and, or")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    external: &'a [String],
}

fn fail<T>(at: usize, fault: impl Into<String>) -> Result<T, ConditionError> {
    Err(ConditionError { at, fault: fault.into() })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.:%/".contains(c)
}

impl<'a> Parser<'a> {
    /// The next token and where it begins, without taking it; empty at the end.
    fn token(&self) -> (usize, &'a str) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        let at = self.text.len() - trimmed.len();
        let word = trimmed.find(|c| !is_word(c)).unwrap_or(trimmed.len());
        let length = match trimmed.chars().next() {
            None => 0,
            Some(c) if is_word(c) => word,
            Some('<' | '>') if trimmed[1..].starts_with('=') => 2,
            Some(c) => c.len_utf8(),
        };
        (at, &trimmed[..length])
    }

    fn take(&mut self) -> (usize, &'a str) {
        let (at, token) = self.token();
        self.at = at + token.len();
        (at, token)
    }

    fn any(&mut self) -> Result<Condition, ConditionError> {
        self.joined("or", Parser::all, Condition::Any)
    }

    fn all(&mut self) -> Result<Condition, ConditionError> {
        self.joined("and", Parser::one, Condition::All)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Condition, ConditionError>,
        join: fn(Vec<Condition>) -> Condition,
    ) -> Result<Condition, ConditionError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.token().1 == word {
            self.take();
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { join(parts) })
    }

    fn one(&mut self) -> Result<Condition, ConditionError> {
        let (at, token) = self.take();
        if self.depth == DEPTH_MAX {
            return fail(at, format!("is nested deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let condition = match token {
            "not" => Condition::Not(Box::new(self.one()?)),
            "(" => {
                let inner = self.any()?;
                match self.take() {
                    (_, ")") => inner,
                    (end, _) => return fail(end, "a \")\" is missing"),
                }
            }
            "" => {
                return fail(
                    at,
                    "a condition is missing: a sensor, a comparison and a value, as inputs >= 15",
                );
            }
            sensor => self.comparison(at, sensor)?,
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self, at: usize, sensor: &str) -> Result<Condition, ConditionError> {
        let dimension = self.dimension(at, sensor)?;
        let (at, token) = self.take();
        let op = match token {
            "<" => Op::Less,
            "<=" => Op::AtMost,
            ">" => Op::More,
            ">=" => Op::AtLeast,
            "=" => return fail(at, "readings are averages and equal nothing: use <= or >="),
            _ => return fail(at, format!("after {sensor} comes <, <=, > or >=")),
        };
        let (at, token) = self.take();
        let digits = token.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(token.len());
        let (number, mut unit) = token.split_at(digits);
        let Ok(number) = number.parse::<f64>() else {
            return fail(at, format!("after {sensor} {} comes a number", symbol(op)));
        };
        // A unit may stand apart: `80 ms`. A word that joins conditions is none.
        if unit.is_empty() && !matches!(self.token().1, "and" | "or" | ")" | "" | "(" | "not") {
            unit = self.take().1;
        }
        let value = value(number, unit, dimension).or_else(|fault| fail(at, fault))?;
        Ok(Condition::Compare { sensor: sensor.to_owned(), op, value })
    }

    fn dimension(&self, at: usize, sensor: &str) -> Result<Dimension, ConditionError> {
        if let Some(dimension) = dimension(sensor) {
            return Ok(dimension);
        }
        if self.external.iter().any(|name| name == sensor) {
            return Ok(Dimension::Number);
        }
        if !sensor.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return fail(at, format!("{sensor:?} is not expected here: a comparison begins with a sensor"));
        }
        let mut known: Vec<&str> = sensors().collect();
        known.extend(self.external.iter().map(String::as_str));
        fail(at, format!("no sensor is called {sensor:?}{}", did_you_mean(sensor, known)))
    }
}

fn symbol(op: Op) -> &'static str {
    match op {
        Op::Less => "<",
        Op::AtMost => "<=",
        Op::More => ">",
        Op::AtLeast => ">=",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_in_the_sensors_unit() {
        for (text, expected) in [
            ("response > 80ms", 80.0),
            ("response > 1.5 s", 1500.0),
            ("cpu > 80%", 0.8),
            ("net_in:home > 16Mbit/s", 2e6),
            ("net_out>2 MiB/s", 2097152.0),
            ("demand:there >= 75%", 0.75),
            ("gpu > 3", 3.0),
        ] {
            let Condition::Compare { value, .. } = parse(text, &["gpu".to_owned()]).unwrap() else {
                panic!("{text}")
            };
            assert!((value - expected).abs() < 1e-9, "{text}: {value}");
        }
    }

    #[test]
    fn an_error_says_where_and_what_was_meant() {
        for (text, at, part) in [
            ("inputs >= 15 and input > 3", 17, "did you mean \"inputs\"?"),
            ("cpu >= 80ms", 7, "is a share"),
            ("response > 80", 11, "write 80ms"),
            ("inputs >= 15 inputs < 3", 10, "plain number"),
            ("inputs >= 15 and", 16, "a condition is missing"),
            ("(inputs >= 15", 13, "\")\" is missing"),
            ("inputs = 15", 7, "use <= or >="),
            ("inputs >= x", 10, "comes a number"),
            ("inputs >= 15)", 12, "not expected"),
            ("é", 0, "not expected"),
            ("", 0, "a condition is missing"),
        ] {
            let error = parse(text, &[]).unwrap_err();
            assert!(error.at == at && error.fault.contains(part), "{text}: {error:?}");
        }
        let deep = "(".repeat(5000);
        assert!(parse(&deep, &[]).unwrap_err().fault.contains("longer"));
        assert!(parse(&deep[..100], &[]).unwrap_err().fault.contains("nested"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_at_a_place_in_it(text in "[a-z(<>=0-9 .é%]{0,40}|(inputs|and|or|not|>=|15|ms|\\(|\\)| ){0,12}") {
            if let Err(error) = parse(&text, &[]) {
                prop_assert!(text.is_char_boundary(error.at), "{error:?}");
            }
        }
    }
}
