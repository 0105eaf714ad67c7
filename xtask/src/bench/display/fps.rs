//! Frames a second at a distance, through the proxy and by a viewer that pulls, beside the same source at 0 ms.

use std::time::Duration;

use anyhow::Result;

use super::bar::{Bar, median};
use super::stage::{FAST, Look, Seen, Server, Stage};

/// Round trips, in milliseconds.
pub(crate) const TRIPS: [u64; 3] = [33, 66, 100];
/// Bytes a frame.
pub(crate) const BYTES: u64 = 12_000;

/// Frames a second of one source.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// At 0 ms, without a line.
    pub(crate) near: f64,
    /// At each round trip: a viewer that pulls, and the same viewer at the proxy.
    pub(crate) far: Vec<(u64, f64, f64)>,
}

impl Table {
    /// Lines for people.
    pub(crate) fn print(&self) {
        println!(
            "\n{}: frames a second; the same source at 0 ms without a line: {:.1}",
            self.name, self.near
        );
        println!("  round trip   viewer that pulls   through the proxy   of 0 ms");
        for (trip, pull, proxy) in &self.far {
            println!("  {trip:>7} ms {pull:>19.1} {proxy:>19.1} {:>9.2}", proxy / self.near);
        }
    }

    /// A bar a round trip.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let bar = |(trip, _, proxy): &(u64, f64, f64)| {
            Bar::at_least(format!("{}, {trip} ms: FPS of those at 0 ms", self.name), proxy / self.near, 0.95)
        };
        self.far.iter().map(bar).collect()
    }
}

/// Xvnc with the light program.
pub(crate) fn xvnc(stage: &Stage, runs: usize, seconds: f64) -> Result<Table> {
    let screen = stage.xvnc("640x480")?;
    let _paints = stage.paint(&screen, BYTES)?;
    table(stage, "Xvnc", &screen.server, runs, seconds, |seen| seen.frames_per_second)
}

/// QEMU, which looks for changes about 33 times a second.
pub(super) fn qemu(stage: &Stage, runs: usize, seconds: f64) -> Result<Table> {
    let server = stage.qemu()?;
    // Until the guest has booted.
    stage.look(&server.at, Look { seconds: 3.0, push: false })?;
    table(stage, "QEMU", &server, runs, seconds, |seen| seen.changes_per_second)
}

fn table(
    stage: &Stage,
    name: &'static str,
    source: &Server,
    runs: usize,
    seconds: f64,
    of: fn(&Seen) -> f64,
) -> Result<Table> {
    let look = Look { seconds, push: false };
    let mut lines = Vec::new();
    for trip in TRIPS {
        let line = stage.line(&source.at, Duration::from_millis(trip), FAST)?;
        let proxy = stage.proxy(&line.at)?;
        lines.push((trip, line, proxy));
    }
    let mut near = Vec::new();
    let mut far: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); TRIPS.len()];
    for _ in 0..runs {
        near.push(of(&stage.look(&source.at, look)?));
        for ((_, line, proxy), (pulls, proxied)) in lines.iter().zip(&mut far) {
            pulls.push(of(&stage.look(&line.at, look)?));
            proxied.push(of(&stage.look(proxy.at(), look)?));
        }
    }
    let far = TRIPS.into_iter().zip(far).map(|(trip, (pull, proxy))| (trip, median(pull), median(proxy)));
    Ok(Table { name, near: median(near), far: far.collect() })
}
