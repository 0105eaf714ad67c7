//! Quantities: what each sensor measures, which values it can have, and how values are written.

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// A number without a unit.
    Number,
    /// A part of a whole: 0 to 1, or with `%`.
    Share,
    /// Time, read in milliseconds: `ms` or `s`.
    Time,
    /// Bytes per second: `B/s`, `kB/s`, `MB/s`, `GB/s`, `KiB/s`, `MiB/s`, `GiB/s`, `kbit/s`, `Mbit/s`, `Gbit/s`.
    Rate,
}

/// Built-in sensors: name, dimension, greatest value (the least is 0).
const SENSORS: [(&str, Dimension, f64); 13] = [
    ("inputs", Dimension::Number, f64::INFINITY),
    ("fps", Dimension::Number, 60.0),
    ("fps_paper", Dimension::Number, f64::INFINITY),
    ("updates", Dimension::Number, f64::INFINITY),
    ("response", Dimension::Time, 1000.0),
    ("cpu", Dimension::Share, 1.0),
    ("busiest", Dimension::Share, 1.0),
    ("host", Dimension::Share, 1.0),
    ("rtt", Dimension::Time, f64::INFINITY),
    ("net_in", Dimension::Rate, f64::INFINITY),
    ("net_out", Dimension::Rate, f64::INFINITY),
    ("net_wait", Dimension::Share, 1.0),
    ("demand", Dimension::Share, 1.0),
];
/// Those of which there is one for each anchor, too.
const OF_ANCHORS: [&str; 4] = ["net_in", "net_out", "net_wait", "demand"];

/// Names of the built-in sensors.
pub fn sensors() -> impl Iterator<Item = &'static str> {
    SENSORS.iter().map(|(name, ..)| *name)
}

/// What a sensor measures; `None` for no built-in one (an anchor's traffic is: `net_in:home`, and `net_in:there`).
#[must_use]
pub fn dimension(sensor: &str) -> Option<Dimension> {
    entry(sensor).map(|(_, dimension, _)| *dimension)
}

fn entry(sensor: &str) -> Option<&'static (&'static str, Dimension, f64)> {
    let name = match sensor.split_once(':') {
        Some((name, anchor)) if OF_ANCHORS.contains(&name) && sensors::valid_name(anchor) => name,
        _ => sensor,
    };
    SENSORS.iter().find(|(known, ..)| *known == name)
}

/// The least and the greatest value a sensor can have.
pub(super) fn domain(sensor: &str) -> (f64, f64) {
    entry(sensor).map_or((f64::NEG_INFINITY, f64::INFINITY), |(_, _, most)| (0.0, *most))
}

/// A number with a unit, in the sensor's own unit.
pub(super) fn value(number: f64, unit: &str, dimension: Dimension) -> Result<f64, String> {
    let factor = match (dimension, unit) {
        (Dimension::Number | Dimension::Share, "") | (Dimension::Time, "ms") | (Dimension::Rate, "B/s") => {
            1.0
        }
        (Dimension::Number | Dimension::Share, "%") => 0.01,
        (Dimension::Time, "s") | (Dimension::Rate, "kB/s") => 1e3,
        (Dimension::Rate, "MB/s") => 1e6,
        (Dimension::Rate, "GB/s") => 1e9,
        (Dimension::Rate, "KiB/s") => 1024.0,
        (Dimension::Rate, "MiB/s") => 1024.0 * 1024.0,
        (Dimension::Rate, "GiB/s") => 1024.0 * 1024.0 * 1024.0,
        (Dimension::Rate, "kbit/s") => 1e3 / 8.0,
        (Dimension::Rate, "Mbit/s") => 1e6 / 8.0,
        (Dimension::Rate, "Gbit/s") => 1e9 / 8.0,
        (Dimension::Time, "") => return Err(format!("{number} has no unit: write {number}ms or {number}s")),
        (Dimension::Rate, "") => {
            return Err(format!("{number} has no unit: write {number}MB/s or {number}Mbit/s"));
        }
        (Dimension::Number, _) => {
            return Err(format!("unit {unit:?} does not fit: this sensor is a plain number"));
        }
        (Dimension::Share, _) => {
            return Err(format!("unit {unit:?} does not fit: this sensor is a share, as 0.8 or 80%"));
        }
        (Dimension::Time, _) => {
            return Err(format!("unit {unit:?} does not fit: this sensor is a time, in ms or s"));
        }
        (Dimension::Rate, _) => {
            return Err(format!(
                "unit {unit:?} does not fit: this sensor is bytes per second, as 2MB/s or 16Mbit/s"
            ));
        }
    };
    Ok(number * factor)
}
