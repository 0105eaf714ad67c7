//! The parts scripts are made of: users, screens, vCPUs, networks, each over a stretch of time.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use sensors::trace::{Header, Phase, Writer};
use sensors::{Event, Input};

/// A trace in the making. Times are seconds.
pub(super) struct Script {
    rng: Rng,
    header: Header,
    events: Vec<(Duration, Event)>,
}

fn time(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

impl Script {
    pub(super) fn new(seed: u64, place: &str, made: &str) -> Script {
        let made = format!("scripted (examples/traces, seed {seed}): {made}");
        let header = Header::new(made, Some(place.to_owned()));
        Script { rng: Rng::with_seed(seed), header, events: Vec::new() }
    }

    fn push(&mut self, at: f64, event: Event) {
        self.events.push((time(at), event));
    }

    /// A number about `mean`, at most `spread` away.
    fn about(&mut self, mean: f64, spread: f64) -> f64 {
        mean + (self.rng.f64() * 2.0 - 1.0) * spread
    }

    /// From here on the agent really is in this phase.
    pub(super) fn phase(&mut self, at: u64, state: &str) {
        self.header.phases.push(Phase { t: at * 1_000_000, state: state.to_owned() });
    }

    /// The agent has come to another place.
    pub(super) fn arrives(&mut self, at: f64, place: &str) {
        self.push(at, Event::Restart { place: Some(place.to_owned()) });
    }

    /// vCPUs that want these shares, as sampled once a second. What becomes 1 has no jitter above.
    pub(super) fn load(&mut self, during: Range<u64>, shares: &[f64]) {
        for second in during {
            let wall = Duration::from_micros(1_000_000 + self.rng.u64(0..900));
            let busy =
                shares.iter().map(|share| wall.mul_f64(self.about(*share, 0.03).clamp(0.0, 1.0))).collect();
            let at = self.about(0.0005, 0.0005);
            #[expect(clippy::cast_precision_loss, reason = "seconds of a short trace")]
            self.push(second as f64 + 1.0 + at, Event::Cpu { wall, busy });
        }
    }

    /// The path's round trip, measured every 5 s.
    pub(super) fn path(&mut self, during: Range<f64>, rtt: f64) {
        let mut at = during.start;
        while at < during.end {
            let measured = time(self.about(rtt * 1.02, rtt * 0.02));
            self.push(at, Event::Rtt(measured));
            at += 5.0;
        }
    }

    /// Bytes per second through an anchor.
    pub(super) fn net(&mut self, during: Range<u64>, anchor: &str, inward: u64, outward: u64) {
        for second in during {
            let part = 900 + self.rng.u64(0..200);
            let (inward, outward) = (inward * part / 1000, outward * part / 1000);
            #[expect(clippy::cast_precision_loss, reason = "seconds of a short trace")]
            self.push(second as f64 + 1.001, Event::Net { anchor: anchor.to_owned(), inward, outward });
        }
    }

    /// The pointer drags a view: motion 15 times a second, frames at `fps` after the path and `work`.
    pub(super) fn drags(&mut self, during: Range<f64>, fps: f64, rtt: f64, work: f64) {
        self.push(during.start, Event::Input(Input::Button { down: true }));
        self.push(during.end, Event::Input(Input::Button { down: false }));
        let mut at = during.start + 0.02;
        while at < during.end {
            self.push(at, Event::Input(Input::Motion));
            at += self.about(1.0 / 15.0, 0.01);
        }
        let mut frame = during.start + 0.02;
        while frame < during.end {
            let shown = frame + rtt + self.about(work, work * 0.2);
            self.push(shown, Event::Update { area: 360_000 });
            frame += 1.0 / fps;
        }
    }

    /// Writes the trace.
    pub(super) fn write(mut self, folder: &Path, name: &str) -> Result<()> {
        self.events.sort_by_key(|(at, _)| *at);
        let file = BufWriter::new(File::create(folder.join(format!("{name}.jsonl")))?);
        let mut writer = Writer::new(file, &self.header)?;
        for (at, event) in &self.events {
            writer.event(*at, event)?;
        }
        writer.finish()?;
        Ok(())
    }
}
