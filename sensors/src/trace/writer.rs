//! Writes traces.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Header, TIME_MAX};
use crate::Event;
use crate::event::micros;

#[derive(Serialize)]
struct Timed<'a> {
    t: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// Writes one trace. Lines go to the writer as they come; whoever wants a buffer gives one.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    before: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(mut output: W, header: &Header) -> io::Result<Writer<W>> {
        line(&mut output, header)?;
        Ok(Writer { output, before: 0 })
    }

    /// Writes an event that happened `at` after the trace began; if that is before the last one, at the last one's time.
    ///
    /// # Errors
    /// What writing gives; when the trace is longer than 30 days; when the event is one that no reader would take
    /// ([`Event::check`]).
    pub fn event(&mut self, at: Duration, event: &Event) -> io::Result<()> {
        event.check().map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        let t = micros(at).max(self.before);
        if t > TIME_MAX {
            return Err(io::Error::other("a trace is no longer than 30 days"));
        }
        self.before = t;
        line(&mut self.output, &Timed { t, event })
    }

    /// Gives back what was written to, after flushing it.
    ///
    /// # Errors
    /// What flushing gives.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// One write a line, so that a reader beside never sees half of one.
fn line(output: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    output.write_all(&bytes)
}
