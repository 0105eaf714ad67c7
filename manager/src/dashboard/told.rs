//! What the page says of an agent, from what its supervisor, its watcher and the sensors say. Pure.

use std::time::Duration;

use sensors::Readings;
use serde_json::{Value, json};

use crate::words::spoken;

/// Above this a processor is said to compute.
const COMPUTES: f64 = 0.8;
/// From so many inputs in 10 s on somebody is said to work with it.
const IN_USE: f64 = 1.0;
/// QEMU's pages.
const PAGE_BYTES: u64 = 4096;

/// What an agent does now, in a few words.
#[must_use]
pub fn does(status: &Value, readings: &Readings) -> String {
    if let Some(why) = status["paused_because"].as_str() {
        return format!("stands: {why}");
    }
    if status["state"] != "running" {
        return status["told"].as_str().unwrap_or("not known").to_owned();
    }
    let used = readings.inputs.is_some_and(|inputs| inputs >= IN_USE);
    match readings.busiest {
        None => "running".to_owned(),
        Some(share) if share >= COMPUTES && used => "computing while somebody works with it".to_owned(),
        Some(share) if share >= COMPUTES => "computing".to_owned(),
        Some(_) if used => "somebody works with it".to_owned(),
        Some(_) => "idle".to_owned(),
    }
}

/// A move with what is still to come, of the supervisor's status; nothing where it is not being moved.
#[must_use]
pub fn moving(status: &Value) -> Value {
    let (moving, news) = (&status["moving"], &status["migration"]);
    let Some(to) = moving["to"].as_str() else { return Value::Null };
    let remaining = news["remaining_bytes"].as_u64();
    let rate = news["mbit_per_s"].as_f64().filter(|rate| *rate > 0.0).map(|mbit| mbit * 1e6 / 8.0);
    let dirty = news["dirty_pages_per_s"].as_u64().map(|pages| pages.saturating_mul(PAGE_BYTES));
    json!({
        "from": status["site"],
        "to": to,
        "step": status["told"].as_str().and_then(|told| told.split_once(": ")).map(|(_, step)| step),
        "stands": moving["stands"],
        "percent": news["percent"],
        "sent_bytes": news["bytes"],
        "remaining_bytes": remaining,
        "bytes_per_s": rate.map(f64::round),
        "dirty_bytes_per_s": dirty,
        "left": remaining.zip(rate).and_then(|(remaining, rate)| left(remaining, rate, dirty.unwrap_or(0), moving["stands"] == true)),
    })
}

/// How long the copying takes at this rate, while the agent writes at that one; in words.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn left(remaining_bytes: u64, bytes_per_s: f64, dirty_bytes_per_s: u64, stands: bool) -> Option<String> {
    let gain = if stands { bytes_per_s } else { bytes_per_s - dirty_bytes_per_s as f64 };
    if gain <= bytes_per_s / 100.0 {
        return Some("it writes as fast as the line carries".to_owned());
    }
    let time = Duration::try_from_secs_f64((remaining_bytes as f64 / gain).max(1.0)).ok()?;
    Some(format!("about {}", spoken(Duration::from_secs(time.as_secs()))))
}

/// One point of the charts: processors, the busiest one, the host (shares), bytes a second to and from the agent, frames a
/// second, inputs in 10 s, milliseconds to an answer, the share of waiting for what is far. `null` is not known.
#[must_use]
pub fn point(readings: &Readings) -> Value {
    let share = |value: Option<f64>| value.map(|share| (share * 1000.0).round() / 1000.0);
    let tenth = |value: Option<f64>| value.map(|value| (value * 10.0).round() / 10.0);
    let of = |name: &str| readings.get(name);
    json!([
        share(of("cpu")),
        share(of("busiest")),
        share(of("host")),
        of("net_in").map(f64::round),
        of("net_out").map(f64::round),
        tenth(of("fps")),
        tenth(of("inputs")),
        tenth(of("response")),
        share(of("net_wait")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_does_is_said_by_its_state_first_and_its_readings_then() {
        let read = |busiest, inputs| Readings { busiest, inputs, ..Readings::default() };
        let runs = json!({ "state": "running", "told": "running" });
        for (readings, said) in [
            (read(None, None), "running"),
            (read(Some(0.1), None), "idle"),
            (read(Some(0.95), Some(0.0)), "computing"),
            (read(Some(0.1), Some(4.0)), "somebody works with it"),
            (read(Some(0.9), Some(4.0)), "computing while somebody works with it"),
        ] {
            assert_eq!(does(&runs, &readings), said);
        }
        let off = json!({ "state": "off", "told": "off: it was killed" });
        assert_eq!(does(&off, &read(Some(1.0), None)), "off: it was killed");
        let stands = json!({ "state": "paused", "paused_because": "b does not answer" });
        assert_eq!(does(&stands, &read(None, None)), "stands: b does not answer");
    }

    #[test]
    fn the_rest_of_a_move_is_what_remains_by_what_is_gained_on_the_writer() {
        let status = |mbit: f64, dirty: u64, stands: bool| {
            json!({
                "site": "a", "told": "moving to b: memory is copied",
                "moving": { "to": "b", "listens": true, "stands": stands },
                "migration": { "percent": 50, "bytes": 9, "remaining_bytes": 100_000_000, "mbit_per_s": mbit, "dirty_pages_per_s": dirty },
            })
        };
        let told = moving(&status(80.0, 0, false));
        assert_eq!(
            (told["left"].as_str(), told["step"].as_str()),
            (Some("about 10 s"), Some("memory is copied"))
        );
        assert_eq!(told["bytes_per_s"], 1e7);
        // Half of what goes comes again.
        assert_eq!(moving(&status(80.0, 1221, false))["left"], "about 20 s");
        assert_eq!(moving(&status(80.0, 5000, false))["left"], "it writes as fast as the line carries");
        assert_eq!(moving(&status(80.0, 5000, true))["left"], "about 10 s");
        assert!(moving(&status(0.0, 0, false))["left"].is_null());
        assert!(moving(&json!({ "state": "running", "moving": null })).is_null());
        assert_eq!(moving(&json!({ "site": "a", "moving": { "to": "b" } }))["to"], "b");
    }

    #[test]
    fn what_is_not_known_is_a_gap_of_the_chart() {
        let point = point(&Readings { busiest: Some(0.123_456), fps: Some(9.99), ..Readings::default() });
        assert_eq!(point, json!([null, 0.123, null, null, null, 10.0, null, null, null]));
    }
}
