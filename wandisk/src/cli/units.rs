//! Sizes and times as people write them.

use std::time::Duration;

/// Bytes fetched ahead of demand and not wanted yet, at most, unless told otherwise.
const PREFETCH_DEFAULT: u64 = 256 << 20;

/// `512`, `4K`, `128K`, `10G`, `1T`, `1.5G`: powers of 1024, with or without a final `B` or `iB`.
///
/// # Errors
/// A sentence.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: write bytes, or a number with K, M, G or T");
    let trimmed = text.trim().trim_end_matches('B').trim_end_matches('i');
    let (digits, shift) = match trimmed.char_indices().last().ok_or_else(wrong)? {
        (at, 'k' | 'K') => (&trimmed[..at], 10),
        (at, 'm' | 'M') => (&trimmed[..at], 20),
        (at, 'g' | 'G') => (&trimmed[..at], 30),
        (at, 't' | 'T') => (&trimmed[..at], 40),
        (at, 'p' | 'P') => (&trimmed[..at], 50),
        _ => (trimmed, 0),
    };
    if let Some((whole, part)) = digits.split_once('.') {
        let scale = 10u64.checked_pow(u32::try_from(part.len()).map_err(|_| wrong())?).ok_or_else(wrong)?;
        let tenths: u64 = format!("{whole}{part}").parse().map_err(|_| wrong())?;
        let bytes = u128::from(tenths) << shift;
        return u64::try_from(bytes / u128::from(scale)).map_err(|_| wrong());
    }
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A chunk size.
///
/// # Errors
/// A sentence.
pub(super) fn parse_chunk_size(text: &str) -> Result<u32, String> {
    let size = u32::try_from(parse_size(text)?).unwrap_or(0);
    let range = wandisk_store::meta::CHUNK_SIZE_RANGE;
    if size.is_power_of_two() && range.contains(&size) {
        return Ok(size);
    }
    Err("a chunk size is a power of two from 4K to 4M".to_owned())
}

/// `500ms`, `30s`, `5m`, `1h`.
///
/// # Errors
/// A sentence.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time: write for example 500ms, 30s or 5m");
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at(at);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// `on`, `off` or a size: bytes that may lie there fetched ahead and not wanted yet.
///
/// # Errors
/// A sentence.
pub(super) fn parse_prefetch(text: &str) -> Result<u64, String> {
    match text {
        "on" => Ok(PREFETCH_DEFAULT),
        "off" => Ok(0),
        _ => parse_size(text).map_err(|_| format!("{text:?} is neither on nor off nor a size")),
    }
}

/// `off` (0) or a time in milliseconds.
///
/// # Errors
/// A sentence.
pub(super) fn parse_period(text: &str) -> Result<u64, String> {
    if text == "off" {
        return Ok(0);
    }
    let time =
        parse_duration(text).map_err(|_| format!("{text:?} is neither off nor a time such as 30d or 12h"))?;
    u64::try_from(time.as_millis()).map_err(|_| format!("{text:?} is too long"))
}

/// Bytes for people.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in
            [("512", 512), ("4K", 4096), ("1.5G", 3 << 29), ("1T", 1 << 40), ("10MiB", 10 << 20)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "K", "-1", "1X", "99999999P", "1.2.3G"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_powers_of_two_in_range_are_chunk_sizes() {
        assert_eq!(parse_chunk_size("128K"), Ok(128 << 10));
        for bad in ["0", "3", "1G", "5K", "2K", "8M"] {
            assert!(parse_chunk_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_duration("5").is_err() && parse_duration("s").is_err());
    }
}
