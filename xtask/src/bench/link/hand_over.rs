//! The hand-over of a large sparse disk of which many chunks have changed since the other site was complete.
//!
//! How long writes are held is taken apart: two round trips, the bytes that go meanwhile, each sync that either site made in that time
//! (the keepers time them, `wandisk move --json` tells them), and the rest, for which there is a bar.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Arguments, Bench, median};
use crate::process;
use crate::wan::{self, show_time};

/// The disk, and how many of its chunks are written between two hand-overs.
const SIZE: &str = "1T";
const CHANGED: usize = 10_000;
/// What a hand-over may take beside the line's and the media's time, in milliseconds.
const BAR_MS: f64 = 10.0;

/// How long writes were held, and for what.
struct Held {
    all_ms: f64,
    round_trips_ms: f64,
    bytes_ms: f64,
    syncs_ms: Vec<f64>,
    far_syncs_ms: Vec<f64>,
}

impl Held {
    /// Of a move that is over, on a line of this round trip and rate.
    fn of(moved: &Value, round_trip: Duration, bits_a_second: u64) -> Result<Held> {
        let syncs = |key: &str| -> Result<Vec<f64>> {
            let told = moved[key].as_array().with_context(|| format!("move told no {key}: {moved}"))?;
            Ok(told.iter().filter_map(Value::as_f64).collect())
        };
        Ok(Held {
            all_ms: number(moved, "freeze_ms")?,
            round_trips_ms: 2e3 * round_trip.as_secs_f64(),
            bytes_ms: number(moved, "held_bytes")? * 8e3 / bits_a_second as f64,
            syncs_ms: syncs("syncs_ms")?,
            far_syncs_ms: syncs("far_syncs_ms")?,
        })
    }

    fn in_syncs_ms(&self) -> f64 {
        self.syncs_ms.iter().chain(&self.far_syncs_ms).sum()
    }

    /// What is neither the line's time nor the media's.
    fn rest_ms(&self) -> f64 {
        self.all_ms - self.round_trips_ms - self.bytes_ms - self.in_syncs_ms()
    }

    fn is_met(&self) -> bool {
        self.rest_ms() <= BAR_MS
    }

    fn show(&self) -> String {
        let each = |syncs: &[f64]| {
            let shown: Vec<String> = syncs.iter().map(|ms| format!("{ms:.2}")).collect();
            shown.join(" + ")
        };
        format!(
            "writes held {:.1} ms = two round trips {:.1} + bytes {:.2} + syncs {:.2} (source {}; target {}) + rest {:.2}: {}",
            self.all_ms,
            self.round_trips_ms,
            self.bytes_ms,
            self.in_syncs_ms(),
            each(&self.syncs_ms),
            each(&self.far_syncs_ms),
            self.rest_ms(),
            if self.is_met() { "met" } else { "missed" }
        )
    }
}

fn number(told: &Value, key: &str) -> Result<f64> {
    told[key].as_f64().with_context(|| format!("move told no {key}: {told}"))
}

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    a.wandisk(&["create", "large", "--size", SIZE])?;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let (mut bytes, mut wire) = (Vec::new(), Vec::new());
    let round_trip = || wan::ping(&a.side(), &b.side());
    for run in 0..=arguments.runs {
        let report = a.ask(&["attach", "large", "--nbd"])?;
        let uri = report["uri"].as_str().context("attach names no URI")?;
        let mut fio = Command::new("fio");
        fio.args(["--name=change", "--ioengine=nbd", "--rw=randwrite", "--bs=4k", "--blockalign=128k"]);
        fio.args(["--iodepth=16", "--output=/dev/null", "--norandommap", "--end_fsync=1"]);
        // The same chunks each time: the other site has rows of all of them.
        fio.arg(format!("--uri={uri}")).arg("--size=1t").arg(format!("--number_ios={CHANGED}"));
        process::output(&mut fio)?;
        if run == 0 {
            // What was never given away keeps its version when it is written again: that would be no change.
            a.ask(&["sync", "large", "--site", "b"])?;
            a.ask(&["detach", "large"])?;
            continue;
        }
        let trip = round_trip()?;
        let before = bench.sites.moved()?;
        let moved = a.ask(&["move", "large", "--to", "b"])?;
        wire.push((bench.sites.moved()? - before) as f64);
        if number(&moved, "rows")? < CHANGED as f64 * 0.95 {
            bail!("too few chunks changed: {moved}");
        }
        bytes.push(number(&moved, "bytes")?);
        let held = Held::of(&moved, trip, arguments.wan.rate)?;
        println!("run {run}, there: {}", held.show());
        there.push(held);
        let trip = round_trip()?;
        let held = Held::of(&b.ask(&["move", "large", "--to", "a"])?, trip, arguments.wan.rate)?;
        println!("run {run}, back, nothing changed: {}", held.show());
        back.push(held);
        a.ask(&["sync", "large", "--site", "b"])?;
    }
    println!("\nround trip {}; {CHANGED} chunks of a disk of {SIZE} changed", show_time(round_trip()?));
    for (way, held) in [("there", &there), ("back", &back)] {
        let median = |part: fn(&Held) -> f64| median(&mut held.iter().map(part).collect::<Vec<_>>());
        println!(
            "{way}, medians: writes held {:.1} ms, of which syncs {:.2} ms; beside round trips, bytes and syncs {:.2} ms (bar: {BAR_MS} ms), met {} of {} times",
            median(|held| held.all_ms),
            median(Held::in_syncs_ms),
            median(Held::rest_ms),
            held.iter().filter(|held| held.is_met()).count(),
            held.len()
        );
    }
    let (bytes, wire) = (median(&mut bytes), median(&mut wire));
    println!(
        "rows: {bytes:.0} bytes, {:.1} a chunk; on the wire, both ways: {wire:.0}",
        bytes / CHANGED as f64
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn held(syncs_ms: &[f64]) -> Held {
        let moved = json!({
            "freeze_ms": 150.0, "held_bytes": 12_500, "syncs_ms": syncs_ms, "far_syncs_ms": [4.0],
        });
        Held::of(&moved, Duration::from_millis(66), 100_000_000).unwrap()
    }

    #[test]
    fn what_is_neither_the_lines_nor_the_media_s_is_the_rest() {
        // 150 - 132 of the line - 1 of bytes - 4 and 2 of syncs.
        assert!((held(&[2.0]).rest_ms() - 11.0).abs() < 1e-6);
        assert!(!held(&[2.0]).is_met() && held(&[2.0, 1.5]).is_met());
    }

    #[test]
    fn a_move_that_tells_of_no_syncs_is_not_taken_for_one_without() {
        let moved = json!({"freeze_ms": 140.0, "held_bytes": 0});
        assert!(Held::of(&moved, Duration::from_millis(66), 1).is_err());
    }
}
