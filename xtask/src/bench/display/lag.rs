//! Whether frames grow old on a line that is too thin for all of them.

use std::time::Duration;

use anyhow::Result;

use super::bar::{Bar, part};
use super::stage::{Look, Stage, THIN};

/// Bytes a frame: at 20 Mbit/s 41 of 60 a second fit.
const BYTES: u64 = 60_000;

/// Looks at both kinds of servers at this round trip.
pub(super) fn measure(stage: &Stage, trip: u64, seconds: f64) -> Result<Vec<Bar>> {
    let screen = stage.xvnc("640x480")?;
    let _paints = stage.paint(&screen, BYTES)?;
    let plain = stage.source(BYTES, true)?;
    let mut bars = Vec::new();
    for (name, at) in [("Xvnc", &screen.server.at), ("a server that has to be asked", &plain.at)] {
        bars.push(one(stage, name, at, trip, seconds)?);
    }
    Ok(bars)
}

fn one(stage: &Stage, name: &str, at: &str, trip: u64, seconds: f64) -> Result<Bar> {
    let line = stage.line(at, Duration::from_millis(trip), THIN)?;
    let proxy = stage.proxy(&line.at)?;
    let seen = stage.look(proxy.at(), Look { seconds, push: false })?;
    let sending = BYTES as f64 / THIN as f64 * 1e3;
    let bound = trip as f64 + 2.0 * f64::max(1000.0 / 60.0, sending);
    println!(
        "\n{name}, {trip} ms, 20 Mbit/s, {} KB a frame ({sending:.0} ms): {:.1} FPS, {} torn; age in ms:",
        BYTES / 1000,
        seen.frames_per_second,
        seen.torn
    );
    let first = seen.frames.first().map_or(0, |(_, came)| *came);
    for second in 0..seen.frames.last().map_or(0, |(_, came)| (came - first) / 1_000_000 + 1) {
        let within = |(_, came): &&(u64, u64)| (came - first) / 1_000_000 == second;
        let mut ages: Vec<f64> =
            seen.frames.iter().filter(within).map(|(made, came)| (came - made) as f64 / 1e3).collect();
        ages.sort_by(f64::total_cmp);
        println!("  second {second:>2}: median {:>6.1}, oldest {:>6.1}", part(&ages, 0.5), part(&ages, 1.0));
    }
    let ages = seen.ages_ms();
    let within = ages.iter().filter(|age| **age <= bound).count() as f64 / ages.len() as f64;
    println!(
        "  all: median {:.1}, 99 of 100 {:.1}, oldest {:.1}; {:.1} % within {bound:.0} ms",
        part(&ages, 0.5),
        part(&ages, 0.99),
        part(&ages, 1.0),
        within * 100.0
    );
    Ok(Bar::at_most(
        format!("{name}, {trip} ms, 20 Mbit/s: age of 99 of 100 frames"),
        part(&ages, 0.99),
        " ms",
        bound,
    ))
}
