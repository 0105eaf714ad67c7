//! Rates, times, sizes and shares as a person writes them: `100mbit`, `66ms`, `64k`, `0.1%`.

use std::time::Duration;

/// Splits a number from its unit.
fn split(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    number.parse().map(|number| (number, unit)).map_err(|_| format!("{text:?} does not begin with a number"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates; never negative")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// Bits a second: `64kbit`, `100mbit`, `1gbit`.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err(format!("{text:?} is no rate: kbit, mbit or gbit must follow the number")),
    };
    match whole(number * scale) {
        rate @ 8_000..=100_000_000_000 => Ok(rate),
        _ => Err(format!("{text:?} is not between 8kbit and 100gbit")),
    }
}

/// A time of at most a minute: `250us`, `66ms`, `1s`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return Err(format!("{text:?} is no time: us, ms or s must follow the number")),
    };
    match Duration::from_nanos(whole(number * scale)) {
        time if time <= Duration::from_secs(60) => Ok(time),
        _ => Err(format!("{text:?} is more than a minute")),
    }
}

/// Bytes: `65536`, `64k`, `2m`, `2g` (powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(format!("{text:?} is no size: nothing, k, m or g may follow the number")),
    };
    Ok(whole(number * f64::from(1_u32 << shift)))
}

/// A share, 0 to 1: `0.001`, `0.1%`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = match split(text)? {
        (number, "") => number,
        (number, "%") => number / 100.0,
        _ => return Err(format!("{text:?} is no share")),
    };
    if share <= 1.0 { Ok(share) } else { Err(format!("{text:?} is more than all")) }
}

/// A rate for people.
pub(crate) fn show_rate(bits: f64) -> String {
    format!("{:.2} Mbit/s", bits / 1e6)
}

/// A time for people.
pub(crate) fn show_time(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(rate("100mbit"), Ok(100_000_000));
        assert_eq!(rate("2.5gbit"), Ok(2_500_000_000));
        assert_eq!(time("66ms"), Ok(Duration::from_millis(66)));
        assert_eq!(time("0.5ms"), Ok(Duration::from_micros(500)));
        assert_eq!(bytes("64k"), Ok(65536));
        assert_eq!(share("0.1%"), Ok(0.001));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "mbit", "100", "100mb", "0mbit", "999gbit", "1.2.3mbit", "-1mbit"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert!(time("61s").is_err() && time("5").is_err());
        assert!(bytes("5x").is_err() && share("101%").is_err() && share("2").is_err());
    }
}
