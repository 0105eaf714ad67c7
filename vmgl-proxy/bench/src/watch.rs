//! A viewer that looks at stamped frames: which came, when, and how old they were.
//!
//! It asks as a plain viewer does, for more when it has got an update, or has updates sent by themselves.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use vmgl_proxy::Address;
use vmgl_rfb::{ClientMessage, Encoding, Fence, Framebuffer, ServerEvent, pseudo};

use crate::connection::Connection;
use crate::stamp::{Seen, Stamp, now_us};

/// What was seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// How long it looked, in seconds.
    pub seconds: f64,
    /// Frames that came whole: number, when it was made, when it had come, in microseconds of one clock.
    pub frames: Vec<(u32, u64, u64)>,
    /// Updates that showed parts of two frames.
    pub torn: u64,
    /// When updates were complete that changed the first pixel of the screen, stamped or not.
    pub changes: Vec<u64>,
    /// Bytes that came.
    pub bytes: u64,
    /// Why it ended before its time.
    pub ended: Option<String>,
}

impl Report {
    /// Frames a second that came whole.
    #[must_use]
    pub fn frames_per_second(&self) -> f64 {
        self.frames.len() as f64 / self.seconds
    }

    /// How old frames were when they had come, in microseconds, in the order they came.
    #[must_use]
    pub fn ages_us(&self) -> Vec<u64> {
        self.frames.iter().map(|(_, made, came)| came.saturating_sub(*made)).collect()
    }
}

/// How to look.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How pixels come.
    pub encoding: Encoding,
    /// Updates come by themselves.
    pub pushes: bool,
    /// So long before it counts.
    pub before: Duration,
    /// So long.
    pub time: Duration,
}

/// Longest wait before the clock is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Looks at a server.
///
/// # Errors
/// When it cannot be reached or does not keep to the protocol; a connection that ends is in the report.
pub fn look(to: &Address, settings: Settings) -> Result<Report> {
    let mut known = vec![settings.encoding.number()];
    if settings.pushes {
        known.extend([pseudo::FENCE, pseudo::CONTINUOUS_UPDATES]);
    }
    let mut at = Connection::open(to, &known)?;
    let mut seer = Seer::default();
    let mut began = Instant::now();
    loop {
        if !seer.counts && began.elapsed() >= settings.before {
            (seer.counts, began) = (true, Instant::now());
        }
        if seer.counts && began.elapsed() >= settings.time {
            break;
        }
        match at.wait(LOOK) {
            Ok(Some(bytes)) if seer.counts => seer.report.bytes += bytes as u64,
            Ok(_) => {}
            Err(why) => {
                seer.report.ended = Some(why.to_string());
                break;
            }
        }
        while let Some(event) = at.event()? {
            seer.hear(event, &mut at, settings.pushes)?;
        }
    }
    seer.report.seconds = began.elapsed().as_secs_f64();
    Ok(seer.report)
}

#[derive(Default)]
struct Seer {
    pushed: bool,
    last: Option<u32>,
    pixel: Option<u32>,
    counts: bool,
    report: Report,
}

impl Seer {
    fn hear(&mut self, event: ServerEvent, at: &mut Connection, pushes: bool) -> Result<()> {
        match event {
            ServerEvent::UpdateEnd => {
                self.see(&at.picture);
                if !self.pushed {
                    at.ask(true)?;
                }
            }
            ServerEvent::EndOfContinuousUpdates if pushes && !self.pushed => {
                self.pushed = true;
                let rect = at.picture.bounds();
                at.say(&ClientMessage::ContinuousUpdates { enable: true, rect })?;
            }
            ServerEvent::Fence(asked) if asked.flags & Fence::REQUEST != 0 => {
                at.say(&ClientMessage::Fence(asked.answer()))?;
            }
            ServerEvent::DesktopSize { .. } => at.ask(false)?,
            _ => {}
        }
        Ok(())
    }

    fn see(&mut self, picture: &Framebuffer) {
        let now = now_us();
        let pixel = picture.row(0, 0, 1).first().copied();
        let seen = Stamp::seen(picture);
        let new = match seen {
            Seen::Whole(stamp) => self.last.replace(stamp.number) != Some(stamp.number),
            _ => false,
        };
        let changed = std::mem::replace(&mut self.pixel, pixel) != pixel;
        if !self.counts {
            return;
        }
        match seen {
            Seen::Whole(stamp) if new => self.report.frames.push((stamp.number, stamp.made_us, now)),
            Seen::Torn => self.report.torn += 1,
            _ => {}
        }
        if changed {
            self.report.changes.push(now);
        }
    }
}
