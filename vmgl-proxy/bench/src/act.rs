//! A viewer that works: clicks once, then types lines as fast as people do, and looks meanwhile.
//!
//! The times between keys are random with a seed, so that the same script is the same work.

use std::time::{Duration, Instant};

use anyhow::Result;
use vmgl_proxy::Address;
use vmgl_rfb::{ClientMessage, Encoding, ServerEvent};

use crate::connection::Connection;

/// X's number of the return key.
const RETURN: u32 = 0xff0d;
/// Where it clicks.
const PLACE: (u16, u16) = (120, 90);
/// From a click or a line's end to the next key.
const LOOKS: Duration = Duration::from_millis(1500);

/// Works at a server: each line is typed and ended by return.
///
/// # Errors
/// When the server cannot be reached or ends.
pub fn work(to: &Address, lines: &[String], seed: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = Connection::open(to, &[Encoding::Zrle.number()])?;
    at.rest(Duration::from_millis(500))?;
    let (x, y) = PLACE;
    for buttons in [0, 1, 0] {
        at.say(&ClientMessage::Pointer { buttons, x, y })?;
        at.rest(Duration::from_millis(random.u64(80..140)))?;
    }
    for line in lines {
        at.rest(LOOKS)?;
        for keysym in line.bytes().map(u32::from).chain([RETURN]) {
            at.say(&ClientMessage::Key { down: true, keysym })?;
            at.rest(Duration::from_millis(random.u64(30..70)))?;
            at.say(&ClientMessage::Key { down: false, keysym })?;
            at.rest(Duration::from_millis(random.u64(50..150)))?;
        }
    }
    at.rest(LOOKS)
}

impl Connection {
    /// Looks for so long.
    fn rest(&mut self, time: Duration) -> Result<()> {
        let began = Instant::now();
        while let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            self.wait(left)?;
            while let Some(event) = self.event()? {
                if event == ServerEvent::UpdateEnd {
                    self.ask(true)?;
                }
            }
        }
        Ok(())
    }
}
