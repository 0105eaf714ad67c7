//! Traces: events as lines of JSON, to be played again.
//!
//! The first line says that it is a trace, of which version, and how it was made; each line after it is an event with the
//! time in microseconds since the trace began. The form is described in `docs/trace.md`. What is read is checked: lines
//! are bounded, time never goes back, and an error says in which line it is.

mod reader;
mod writer;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use reader::{Line, Reader, parse_line};
pub use writer::Writer;

/// The version this crate writes and reads.
pub const VERSION: u32 = 1;
/// What the header's `trace` says.
pub const KIND: &str = "snowbird";
/// Longest line, in bytes, without its line feed.
pub const LINE_MAX: usize = 16 << 10;
/// Most events of a trace.
pub const EVENTS_MAX: usize = 10_000_000;
/// Longest trace: 30 days, in microseconds.
pub const TIME_MAX: u64 = 30 * 86_400 * 1_000_000;

/// The first line of a trace. Fields that are not known are ignored, so that a later writer may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`KIND`].
    pub trace: String,
    /// [`VERSION`].
    pub version: u32,
    /// How it was made, for people.
    #[serde(default)]
    pub made: String,
    /// The place at which the agent was when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the agent really did, if whoever made the trace knows: to judge what a profile made of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
}

/// A phase of the agent, from its time to the next one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// When it began, in microseconds since the trace did.
    pub t: u64,
    /// The state that a profile should tell it as; empty where it is nobody's.
    pub state: String,
}

impl Phase {
    /// When it began, since the trace did.
    #[must_use]
    pub fn at(&self) -> Duration {
        Duration::from_micros(self.t)
    }
}

impl Header {
    /// A header of this version.
    #[must_use]
    pub fn new(made: impl Into<String>, place: Option<String>) -> Header {
        Header { trace: KIND.to_owned(), version: VERSION, made: made.into(), place, phases: Vec::new() }
    }
}

/// What is wrong with a trace, and where.
#[derive(Debug, Error)]
#[error("line {line}: {fault}")]
pub struct TraceError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a line.
#[derive(Debug, Error)]
pub enum Fault {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// There is no header.
    #[error("is no trace: the first line must be {{\"trace\":\"{KIND}\",\"version\":{VERSION},…}}")]
    NoHeader,
    /// A trace of another version.
    #[error("version {0} of traces is not known here (known: {VERSION})")]
    Version(u32),
    /// Too long.
    #[error("longer than {LINE_MAX} bytes")]
    Long,
    /// Too many events.
    #[error("more than {EVENTS_MAX} events")]
    Many,
    /// No event.
    #[error("is no event: {0}")]
    Event(String),
    /// Time went back.
    #[error("goes back in time: {at} µs after {before} µs")]
    Back {
        /// Its time.
        at: u64,
        /// The time of the line before.
        before: u64,
    },
    /// Time beyond what a trace may have.
    #[error("its time, {0} µs, is beyond 30 days")]
    Late(u64),
    /// The file ends within a line.
    #[error("is cut off: the last line has no end")]
    Cut,
}
