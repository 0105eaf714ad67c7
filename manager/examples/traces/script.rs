//! The parts scripts are made of: users, screens, vCPUs, networks, each over a stretch of time.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use manager::net::wait::Waits;
use sensors::trace::{Header, Phase, Writer};
use sensors::{Event, Input};

/// Of a film, a second.
const PICTURES: u16 = 24;
/// Of a connection that scales no window, and of a segment.
const WINDOW: usize = 64 << 10;
const SEGMENT: usize = 1460;
/// Bytes a second.
const LINE: f64 = 12.5e6;

/// A frame with a TCP segment of so many bytes.
fn segment(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; 54 + bytes];
    frame[12] = 8;
    frame[14] = 0x45;
    let all = u16::try_from(40 + bytes).unwrap_or(u16::MAX).to_be_bytes();
    frame[16..18].copy_from_slice(&all);
    frame[23] = 6;
    frame[46] = 0x50;
    frame
}

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
            self.push(
                second as f64 + 1.001,
                Event::Net { anchor: anchor.to_owned(), inward, outward, waited: Duration::ZERO },
            );
        }
    }

    /// A film of this many bytes a second that is shown, from an anchor that is `way` seconds away: each second of it is asked for by its
    /// player, or all of it is sent at its own pace. What is waited for is what a switch counts.
    pub(super) fn film(&mut self, during: Range<u64>, anchor: &str, bytes: usize, way: f64, asked_for: bool) {
        let mut waits = Waits::default();
        waits.set_way(anchor, time(way));
        for second in during {
            let begin = second as f64;
            let (mut at, mut waited) = (begin, Duration::ZERO);
            let (piece, pause) = if asked_for {
                waits.asks(time(at), anchor, &segment(150));
                at += way;
                (WINDOW, way)
            } else {
                (bytes.div_ceil(PICTURES.into()), 1.0 / f64::from(PICTURES))
            };
            for part in (0..bytes).step_by(piece) {
                let size = piece.min(bytes - part);
                for sent in (0..size).step_by(SEGMENT) {
                    let comes = time(at + sent as f64 / LINE);
                    waited += waits.comes(comes, anchor, anchor, &segment(SEGMENT.min(size - sent)));
                }
                at += pause;
            }
            let (inward, outward) = (bytes as u64, bytes as u64 / 40);
            self.push(begin + 1.001, Event::Net { anchor: anchor.to_owned(), inward, outward, waited });
            for picture in 0..PICTURES {
                let late = self.about(0.004, 0.004);
                let shown = begin + f64::from(picture) / f64::from(PICTURES) + late;
                self.push(shown, Event::Update { area: 640 * 360 });
            }
        }
    }

    /// A key.
    pub(super) fn types(&mut self, at: f64) {
        self.push(at, Event::Input(Input::Key { down: true }));
        self.push(at + 0.09, Event::Input(Input::Key { down: false }));
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
