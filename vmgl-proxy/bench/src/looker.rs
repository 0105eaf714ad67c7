//! A viewer that knows nothing of what it looks at: how often its picture changed, what came for that, how it looked at the
//! end, and how long a key took to be seen.
//!
//! It asks as a plain viewer does, for more when it has got an update. An update that changed no pixel is none.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use vmgl_proxy::Address;
use vmgl_rfb::{ClientMessage, Encoding, Framebuffer, ServerEvent};

use crate::connection::Connection;

/// A picture that does not change for so long stands still.
const STILL: Duration = Duration::from_millis(700);
/// Longest wait for a picture to begin to move, or to come to a stand.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Looked {
    /// How long it looked.
    pub seconds: f64,
    /// Updates that changed the picture.
    pub changes: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// The longest time between two of them.
    pub longest_ms: f64,
}

/// How long keys took to be seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pressed {
    /// From the key that stops what moves to the last picture that it still drew.
    pub stops_ms: Vec<f64>,
    /// From the key that lets it move again to its first picture.
    pub starts_ms: Vec<f64>,
}

/// The viewer.
#[derive(Debug)]
pub struct Looker {
    at: Connection,
    before: Vec<u32>,
    bytes: u64,
}

impl Looker {
    /// Connects, and has pixels sent in that encoding.
    ///
    /// # Errors
    /// When the server cannot be reached or does not keep to the protocol.
    pub fn open(to: &Address, encoding: Encoding) -> Result<Self> {
        Ok(Self { at: Connection::open(to, &[encoding.number()])?, before: Vec::new(), bytes: 0 })
    }

    /// What it shows.
    #[must_use]
    pub fn picture(&self) -> &Framebuffer {
        &self.at.picture
    }

    /// When the picture changed next; `None` if it did not until then.
    fn change(&mut self, until: Instant) -> Result<Option<Instant>> {
        loop {
            while let Some(event) = self.at.event()? {
                match event {
                    ServerEvent::UpdateEnd => {
                        let now = Instant::now();
                        self.at.ask(true)?;
                        if self.at.picture.pixels() != self.before {
                            self.before.clear();
                            self.before.extend_from_slice(self.at.picture.pixels());
                            return Ok(Some(now));
                        }
                    }
                    ServerEvent::DesktopSize { .. } => self.at.ask(false)?,
                    _ => {}
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(bytes) = self.at.wait(left)? {
                self.bytes += bytes as u64;
            }
        }
    }

    /// Looks for so long, and counts after a while.
    ///
    /// # Errors
    /// When the server ends or does not keep to the protocol.
    pub fn look(&mut self, before: Duration, time: Duration) -> Result<Looked> {
        let begins = Instant::now() + before;
        while self.change(begins)?.is_some() {}
        let (bytes, began) = (self.bytes, Instant::now());
        let (mut changes, mut last, mut longest) = (0, None::<Instant>, Duration::ZERO);
        while let Some(at) = self.change(began + time)? {
            changes += 1;
            longest = longest.max(last.map_or(Duration::ZERO, |last| at - last));
            last = Some(at);
        }
        Ok(Looked {
            seconds: began.elapsed().as_secs_f64(),
            changes,
            bytes: self.bytes - bytes,
            longest_ms: longest.as_secs_f64() * 1e3,
        })
    }

    /// Has the pointer at a place and presses a key there, so often, that stops what moves and lets it move again.
    ///
    /// # Errors
    /// When the server ends, or the picture neither moves nor stands as it should.
    pub fn press(&mut self, (x, y): (u16, u16), keysym: u32, times: usize, seed: u64) -> Result<Pressed> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pressed = Pressed::default();
        self.at.say(&ClientMessage::Pointer { buttons: 0, x, y })?;
        self.moves(Instant::now())?;
        for _ in 0..times {
            // At no moment of a frame's rather than at another.
            let pause = Instant::now() + Duration::from_millis(random.u64(600..700));
            while self.change(pause)?.is_some() {}
            let began = self.key(keysym)?;
            let mut last = began;
            while let Some(at) = self.change(last + STILL)? {
                last = at;
                ensure!(last - began < PATIENCE, "the picture does not come to a stand");
            }
            pressed.stops_ms.push((last - began).as_secs_f64() * 1e3);
            let began = self.key(keysym)?;
            pressed.starts_ms.push((self.moves(began)? - began).as_secs_f64() * 1e3);
        }
        Ok(pressed)
    }

    fn key(&mut self, keysym: u32) -> Result<Instant> {
        let began = Instant::now();
        for down in [true, false] {
            self.at.say(&ClientMessage::Key { down, keysym })?;
        }
        Ok(began)
    }

    fn moves(&mut self, began: Instant) -> Result<Instant> {
        let at = self.change(began + PATIENCE)?;
        at.ok_or_else(|| anyhow::anyhow!("the picture does not move"))
    }
}

/// Writes a picture as a portable pixmap.
///
/// # Errors
/// What writing gives.
pub fn write_ppm(picture: &Framebuffer, file: &Path) -> io::Result<()> {
    let mut bytes = format!("P6\n{} {}\n255\n", picture.width(), picture.height()).into_bytes();
    for pixel in picture.pixels() {
        let [_, red, green, blue] = pixel.to_be_bytes();
        bytes.extend([red, green, blue]);
    }
    std::fs::File::create(file)?.write_all(&bytes)
}
