//! Reads traces, line by line, in bounded memory.

use std::io::{BufRead, Read};
use std::time::Duration;

use serde::Deserialize;

use super::{EVENTS_MAX, Fault, Header, KIND, LINE_MAX, TIME_MAX, TraceError, VERSION};
use crate::Event;

/// One event of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Since the trace began.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// Reads one trace. After an error it gives nothing more.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    header: Header,
    line: usize,
    before: u64,
    over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When the first line is no header, or of another version.
    pub fn new(mut input: R) -> Result<Reader<R>, TraceError> {
        let at = |fault| TraceError { line: 1, fault };
        let first = read_line(&mut input).map_err(at)?.ok_or(at(Fault::NoHeader))?;
        let header: Header = serde_json::from_slice(&first).map_err(|_| at(Fault::NoHeader))?;
        if header.trace != KIND {
            return Err(at(Fault::NoHeader));
        }
        if header.version != VERSION {
            return Err(at(Fault::Version(header.version)));
        }
        Ok(Reader { input, header, line: 1, before: 0, over: false })
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn event(&mut self) -> Result<Option<Line>, Fault> {
        let Some(bytes) = read_line(&mut self.input)? else { return Ok(None) };
        if self.line > EVENTS_MAX + 1 {
            return Err(Fault::Many);
        }
        let (time, event) = parse(&bytes)?;
        let time = time.ok_or_else(|| Fault::Event("it has no time \"t\"".to_owned()))?;
        if time < self.before {
            return Err(Fault::Back { at: time, before: self.before });
        }
        self.before = time;
        Ok(Some(Line { at: Duration::from_micros(time), event }))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        self.line += 1;
        let next = self.event().map_err(|fault| TraceError { line: self.line, fault }).transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Parses a line that was printed by itself, such as an external sensor's: the time may be missing.
///
/// # Errors
/// When it is no event, or too long.
pub fn parse_line(line: &[u8]) -> Result<(Option<Duration>, Event), Fault> {
    if line.len() > LINE_MAX {
        return Err(Fault::Long);
    }
    let (time, event) = parse(line)?;
    Ok((time.map(Duration::from_micros), event))
}

fn parse(line: &[u8]) -> Result<(Option<u64>, Event), Fault> {
    let fault = |e: serde_json::Error| Fault::Event(e.to_string());
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(fault)?;
    let time = fields.remove("t").map(u64::deserialize).transpose().map_err(fault)?;
    if let Some(late) = time.filter(|time| *time > TIME_MAX) {
        return Err(Fault::Late(late));
    }
    let event = Event::deserialize(serde_json::Value::Object(fields)).map_err(fault)?;
    Ok((time, event))
}

/// A line without its end; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Fault> {
    let mut line = Vec::new();
    input.by_ref().take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Err(if line.len() >= LINE_MAX { Fault::Long } else { Fault::Cut });
    }
    Ok(Some(line))
}
