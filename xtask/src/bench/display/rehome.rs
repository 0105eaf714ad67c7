//! A hundred changes of the server under load: what viewers see of them.
//!
//! The shown server stops as a whole (SIGSTOP), as an agent does that moves, and after a while the other one is
//! there. The outage is the time from the stop to the order to re-home; the gap is the longest time between two
//! frames at a viewer around that.

use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::bar::{Bar, part};
use super::fps::BYTES;
use super::stage::{FAST, Look, Stage};

const TRIP: u64 = 66;
/// How long no server is there.
const OUTAGE: Duration = Duration::from_millis(100);
/// Between two changes; viewers see frames of the new server for so long.
const BETWEEN: Duration = Duration::from_millis(350);

#[derive(Debug, Clone, Copy)]
struct Change {
    prepared: bool,
    stopped_us: u64,
    outage_ms: f64,
}

/// Changes the server so many times, every other time prepared.
pub(super) fn measure(stage: &Stage, times: usize) -> Result<Vec<Bar>> {
    let sources = [stage.source(BYTES, false)?, stage.source(BYTES, false)?];
    let trip = Duration::from_millis(TRIP);
    let [a, b] = &sources;
    let lines = [stage.line(&a.at, trip, FAST)?, stage.line(&b.at, trip, FAST)?];
    let proxy = stage.proxy(&lines[0].at)?;
    let seconds = times as f64 * (OUTAGE + BETWEEN + 6 * trip).as_secs_f64() + 1.0;
    let viewers = [
        stage.looking(proxy.at(), Look { seconds, push: false })?,
        stage.looking(proxy.at(), Look { seconds, push: true })?,
    ];
    sleep(Duration::from_secs(2));
    let mut changes = Vec::new();
    for time in 0..times {
        let (old, to) = (&sources[time % 2], &lines[(time + 1) % 2].at);
        let prepared = time / 2 % 2 == 0;
        if prepared {
            proxy.ask(&json!({ "do": "prepare", "to": to })).context("preparing")?;
        }
        let (began, stopped_us) = (Instant::now(), now_us());
        old.running.signal(Signal::STOP)?;
        sleep(OUTAGE);
        let outage_ms = began.elapsed().as_secs_f64() * 1e3;
        let order = if prepared { json!({ "do": "rehome" }) } else { json!({ "do": "rehome", "to": to }) };
        proxy.ask(&order).context("re-homing")?;
        old.running.signal(Signal::CONT)?;
        changes.push(Change { prepared, stopped_us, outage_ms });
        sleep(BETWEEN);
    }
    let mut bars = Vec::new();
    let (mut ended, mut gaps) = (0.0, [Vec::new(), Vec::new()]);
    for viewer in viewers {
        let seen = viewer.done()?;
        ended += f64::from(u8::from(seen.ended.is_some()));
        let ends = changes.iter().skip(1).map(|next| next.stopped_us).chain([u64::MAX]);
        for (change, end) in changes.iter().zip(ends) {
            let gap = gap_ms(&seen.frames, change.stopped_us..end);
            gaps[usize::from(change.prepared)].push(gap - change.outage_ms);
        }
    }
    println!(
        "\n{times} changes of the server at {TRIP} ms, 60 frames a second of {} KB; 2 viewers",
        BYTES / 1000
    );
    bars.push(Bar::at_most(format!("viewers disconnected in {times} re-homes under load"), ended, "", 0.0));
    // The refresh is one frame of the source: the rest of its screen is black.
    let frame = 1000.0 / 60.0 + BYTES as f64 / FAST as f64 * 1e3;
    for (name, trips, mut gaps) in [("with prepare", 1.0, gaps[1].clone()), ("without", 5.0, gaps[0].clone())]
    {
        gaps.sort_by(f64::total_cmp);
        let bound = trips * TRIP as f64 + frame;
        println!(
            "  {name:>12}: gap less outage, ms: median {:.1}, 99 of 100 {:.1}, longest {:.1}",
            part(&gaps, 0.5),
            part(&gaps, 0.99),
            part(&gaps, 1.0)
        );
        bars.push(Bar::at_most(
            format!("re-home {name}: gap less outage, 99 of 100"),
            part(&gaps, 0.99),
            " ms",
            bound,
        ));
    }
    Ok(bars)
}

/// The longest time between frames of which the second came within that time.
fn gap_ms(frames: &[(u64, u64)], within: Range<u64>) -> f64 {
    let around = frames.windows(2).filter(|pair| matches!(pair, [_, (_, came)] if within.contains(came)));
    let gaps = around.map(|pair| pair[1].1.saturating_sub(pair[0].1));
    gaps.max().map_or(f64::NAN, |gap| gap as f64 / 1e3)
}

fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000 + part(now.tv_nsec) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_the_longest_that_ends_before_the_next_change() {
        let frames = [0, 10, 20, 70, 80, 200].map(|came| (0, came * 1000));
        assert_eq!(gap_ms(&frames, 15_000..100_000), 50.0);
        assert_eq!(gap_ms(&frames, 75_000..u64::MAX), 120.0);
        assert!(gap_ms(&frames, 300_000..u64::MAX).is_nan());
    }
}
