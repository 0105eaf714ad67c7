//! How many pictures may be on their way: enough that the line is never the reason to wait, and few enough that the user
//! sees what was drawn just now: as many as the line holds while each is made and shown, and two.
//!
//! A picture takes as long as the slower of those who work on it, the program or whoever shows it (the renderer, and the
//! screen where it is waited for). Neither time has what it waited for the other in it: of the program's, what it was
//! held here is left out; of the times between two pictures that are shown the longest are, in which the line was empty. So
//! a bound that is too low does not keep itself low.
//!
//! Pure: moments come from outside.
//!
//! Invariant: the bound does not change with each picture: it becomes one less only after several pictures for which that
//! is enough.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::trip::Trip;

/// Never more than this.
const MOST: u32 = 64;
/// Beyond those that the line holds: one being drawn there, one being made here.
const SPARE: u32 = 2;
/// As long as it is not known: a frame of a screen.
const FRAME: Duration = Duration::from_nanos(16_666_667);
/// A part of a picture for which there is not another one on its way.
const PART: f64 = 0.05;
/// Times that are remembered; of these the middle half is believed.
const TIMES: usize = 16;
/// So many in a row that are less than half of what is usual, or more than twice, are what is usual from now on.
const OTHERS: usize = 4;
/// Pictures after which one less is on its way, if all of them would have had enough with that.
const ENOUGH: usize = 8;

/// The last times that something took.
#[derive(Debug, Default)]
struct Times(VecDeque<Duration>);

impl Times {
    fn add(&mut self, took: Duration) {
        self.0.truncate(TIMES - 1);
        self.0.push_front(took);
        let Some(usual) = self.usual() else { return };
        let last = || self.0.iter().take(OTHERS);
        if last().all(|took| *took * 2 < usual) || last().all(|took| *took > usual * 2) {
            self.0.truncate(OTHERS);
        }
    }

    /// The mean of the middle half, once there is one.
    fn usual(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let aside = sorted.len() / 4;
        let middle = sorted.get(aside..sorted.len() - aside).filter(|_| aside > 0)?;
        let count = u32::try_from(middle.len()).ok().filter(|count| *count > 0)?;
        Some(middle.iter().sum::<Duration>() / count)
    }
}

/// What the renderer says of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// When it was shown, by the renderer's clock.
    pub(crate) at: Duration,
    /// How long the renderer had had it.
    pub(crate) held: Duration,
}

/// The pictures of one drawable.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    on_their_way: VecDeque<(u32, Instant)>,
    /// Since when the program makes the next one.
    begun: Option<Instant>,
    made: Times,
    last_shown: Option<Duration>,
    shown: Times,
    /// As many as the line holds.
    held: u32,
    /// Pictures that were seen since one less is enough.
    enough: usize,
}

impl Pace {
    /// A picture goes off.
    pub(crate) fn sent(&mut self, serial: u32, now: Instant) {
        if let Some(begun) = self.begun.replace(now) {
            self.made.add(now.saturating_duration_since(begun));
        }
        self.on_their_way.push_back((serial, now));
    }

    /// A picture was shown, and all before it.
    pub(crate) fn seen(&mut self, serial: u32, now: Instant, shown: Shown, trip: &mut Trip) {
        let Some(place) = self.on_their_way.iter().position(|(sent, _)| *sent == serial) else { return };
        let was_held = !self.may_go_on();
        let Some((_, sent)) = self.on_their_way.drain(..=place).next_back() else { return };
        if let Some(before) = self.last_shown.replace(shown.at)
            && let Ok(pictures) = u32::try_from(place + 1)
        {
            self.shown.add(shown.at.saturating_sub(before) / pictures);
        }
        let took = now.saturating_duration_since(sent).saturating_sub(shown.held);
        trip.took((sent, now), took, self.frame() * self.bound());
        self.hold(trip.takes());
        if was_held && self.may_go_on() {
            self.begun = Some(now);
        }
    }

    /// Whether the program may begin another one.
    pub(crate) fn may_go_on(&self) -> bool {
        self.on_their_way.len() < usize::try_from(self.bound()).unwrap_or(usize::MAX)
    }

    /// As many may be on their way.
    fn bound(&self) -> u32 {
        self.held.saturating_add(SPARE).min(MOST)
    }

    /// How long a picture takes.
    fn frame(&self) -> Duration {
        self.made.usual().max(self.shown.usual()).unwrap_or(FRAME).max(Duration::from_micros(1))
    }

    fn hold(&mut self, trip: Duration) {
        let holds = trip.as_secs_f64() / self.frame().as_secs_f64() - PART;
        let holds = (0..MOST).find(|count| f64::from(*count) >= holds).unwrap_or(MOST);
        self.enough = if holds + 1 == self.held { self.enough + 1 } else { 0 };
        if self.enough == 0 || self.enough >= ENOUGH {
            (self.held, self.enough) = (holds, 0);
        }
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
