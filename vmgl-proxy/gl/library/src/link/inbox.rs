//! What the renderer has said and nobody has looked at yet, and how the stream stands.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use vmgl_gl_stream::{Event, limits};

use super::pace::Shown;
use super::trip::Trip;
use super::{Answer, Next, Pace, Place, log};

/// How the stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The renderer has it, though the connection may be broken.
    #[default]
    Live,
    /// No renderer knows it: a new one is being rebuilt from the shadow.
    Lost,
    /// For good: nothing more is drawn.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pieces: HashMap<u32, Vec<u8>>,
    pub(super) answers: HashMap<u32, Answer>,
    pub(super) disregarded: HashSet<u32>,
    pub(super) paces: HashMap<u32, Pace>,
    pub(super) errors: Vec<(u32, u32)>,
    pub(super) trip: Trip,
    pub(super) phase: Phase,
    /// Counts streams.
    pub(super) generation: u64,
    /// Counts connections with which a stream went on.
    pub(super) resumed: u64,
    /// It is being rebuilt just now.
    pub(super) restoring: bool,
    /// The last ping that was answered.
    pub(super) pong: u32,
    /// The renderer will be replaced, and nobody has been told.
    pub(super) leave: Option<Next>,
}

impl Inbox {
    /// Whether it makes sense to wait for an answer.
    pub(super) fn answers_come(&self) -> bool {
        match self.phase {
            Phase::Live => true,
            Phase::Lost => self.restoring,
            Phase::Gone => false,
        }
    }

    /// Another stream begins: nothing of the old one comes any more.
    pub(super) fn begin_anew(&mut self) {
        self.phase = Phase::Lost;
        self.generation += 1;
        self.restoring = false;
        self.pieces.clear();
        self.paces.clear();
        self.trip = Trip::default();
        self.errors.clear();
        self.disregarded.clear();
        self.leave = None;
    }

    pub(super) fn heard(&mut self, event: &Event<'_>, now: Instant) {
        match *event {
            Event::Reply { reply, more, value, data } => {
                let gathered = self.pieces.entry(reply).or_default();
                if gathered.len() + data.len() <= limits::ANSWER + (1 << 20) {
                    gathered.extend_from_slice(data);
                }
                if more == 0 {
                    let data = self.pieces.remove(&reply).unwrap_or_default();
                    if !self.disregarded.remove(&reply) {
                        self.answers.insert(reply, Answer { value, data });
                    }
                }
            }
            Event::Swapped { drawable, serial, micros, held } => {
                let shown = Shown { at: Duration::from_micros(micros), held: Duration::from_micros(held) };
                if let Some(pace) = self.paces.get_mut(&drawable) {
                    pace.seen(serial, now, shown, &mut self.trip);
                }
            }
            Event::GlError { context, error, .. } => {
                if self.errors.len() < 64 {
                    self.errors.push((context, error));
                }
            }
            Event::Pong { serial } => self.pong = serial,
            Event::Leave { away: 0, to: b"" } => self.leave = Some(Next::Another),
            Event::Leave { away: 1.., .. } => self.leave = Some(Next::Away),
            Event::Leave { to, .. } => match str::from_utf8(to).ok().and_then(|to| Place::of(Some(to))) {
                Some(place) => self.leave = Some(Next::To(place)),
                None => log(format_args!("the renderer names a place that is none: nobody goes there")),
            },
            Event::Lost { what } => log(format_args!("the renderer lost what was drawn ({what})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_goes_where_it_is_told_to_and_nowhere_if_that_is_no_place() {
        let told = |away, to| {
            let mut inbox = Inbox::default();
            inbox.heard(&Event::Leave { away, to }, Instant::now());
            inbox.leave
        };
        assert!(matches!(told(0, b""), Some(Next::Another)));
        assert!(matches!(told(1, b""), Some(Next::Away)));
        let there = Place::Tcp("desk:7300".to_owned());
        assert!(matches!(told(0, b"tcp:desk:7300"), Some(Next::To(place)) if place == there));
        for wrong in [&b"tcp:desk"[..], b"desk:7300", b"unix:", b"\xff"] {
            assert!(told(0, wrong).is_none(), "{wrong:?}");
        }
    }
}
