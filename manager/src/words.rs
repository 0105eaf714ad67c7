//! Words for people: what a misspelt name was meant to be, errors with their causes, times and lists.

use std::time::Duration;

/// `: did you mean "…"?` if one of the known names is near, else a list of them if it is short.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    match near {
        Some((_, candidate)) => format!(": did you mean {candidate:?}?"),
        None if known.is_empty() || known.len() > 24 => String::new(),
        None => format!(" (known: {})", known.join(", ")),
    }
}

/// An error with its causes, in a line.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Did it fail for want of room in a file system?
pub(crate) fn wants_room(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(StorageFull | QuotaExceeded | FileTooLarge)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The longest sentence of somebody else's that is passed on, in characters.
const HEARD_MAX: usize = 1000;

/// What somebody else said, as it may be shown to people and kept: no longer than a sentence, and nothing in it steers a terminal or
/// begins a line.
pub(crate) fn heard(said: &str) -> String {
    let said = said.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let mut text: String =
        said.chars().take(HEARD_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if said.chars().nth(HEARD_MAX).is_some() {
        text.push('…');
    }
    text
}

/// A time as people say it: `850 ms`, `12.5 s`, `4 min 30 s`, `2 h 5 min`.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time.subsec_millis() > 0 => format!("{} ms", time.as_millis()),
        0..100 if time.subsec_millis() >= 50 => format!("{:.1} s", time.as_secs_f64()),
        0..100 => format!("{seconds} s"),
        100..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        100..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// An amount as people say it: `850 B`, `12.5 MiB`.
pub(crate) fn spoken_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while amount >= 1000.0
        && let Some(next) = units.next()
    {
        (amount, unit) = (amount / 1024.0, Some(next));
    }
    format!("{amount:.1} {}", unit.copied().unwrap_or_default())
}

/// Reads a time as profiles and command lines write it: a number with `ms`, `s`, `min` or `h`.
///
/// # Errors
/// What is wrong, for people. No time is longer than 30 days.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{text:?} is no time: write a number with ms, s, min or h, as 10s")),
    };
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no time: {number:?} is no number"))?;
    let time = Duration::try_from_secs_f64(number * factor).map_err(|e| format!("{text:?}: {e}"))?;
    if time > Duration::from_secs(30 * 86_400) {
        Err(format!("{text:?} is longer than 30 days"))
    } else {
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_said() {
        for (text, said) in [
            ("250ms", "250 ms"),
            ("1s", "1 s"),
            ("2.5 s", "2.5 s"),
            ("5min", "5 min"),
            ("271s", "4 min 31 s"),
            ("2h", "2 h 0 min"),
        ] {
            assert_eq!(spoken(duration(text).unwrap()), said);
        }
        for bad in ["", "5", "s", "-1s", "1 hour", "1e99s", "1000000h", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn amounts_are_said_in_the_unit_that_fits() {
        let said =
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1023 << 10, "1.0 MiB"), (5 << 40, "5.0 TiB")];
        for (bytes, words) in said {
            assert_eq!(spoken_bytes(bytes), words);
        }
    }

    #[test]
    fn what_others_say_is_bounded_and_steers_no_terminal() {
        assert_eq!(heard(" no\u{1b}[2J\nroom\u{9b} "), "no [2J room");
        assert_eq!(heard(&"é".repeat(1001)).chars().count(), HEARD_MAX + 1);
    }

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("reponse", ["fps", "response"]), ": did you mean \"response\"?");
        assert_eq!(did_you_mean("zzz", ["fps", "response"]), " (known: fps, response)");
    }
}
