//! When a server without continuous updates is asked for more: ahead, so that a distant one is never idle,
//! but no further ahead than the path's round trip needs.
//!
//! A pull client has one request on its way and gets one frame a round trip. Here a request goes out every
//! 1/60 s while fewer than `round trip * 60 + 2` are unanswered. Servers may answer several requests with
//! one update: it answers all that were sent a round trip ago or earlier.
//!
//! The round trip is the least time from a request to an update among recent ones. A path that is full is
//! not told from a distant one, so there frames can grow older, by what the path itself holds back. Times
//! are from any origin; there is no clock here. Invariant: never more than [`MOST`] requests count.

use std::collections::VecDeque;
use std::time::Duration;

/// Time between requests.
pub const INTERVAL: Duration = Duration::from_micros(16_667);
/// Most requests ahead: enough for 1 s.
pub const MOST: usize = 64;
/// A request this much older than two round trips counts as answered together with another.
const OLD: Duration = Duration::from_millis(200);
/// How many round trips are remembered.
const RECENT: usize = 128;

/// Requests on their way, and what is known of the path.
#[derive(Debug, Default)]
pub struct Pace {
    unanswered: VecDeque<Duration>,
    last: Option<Duration>,
    trips: VecDeque<Duration>,
}

impl Pace {
    /// Nothing asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to ask now.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> bool {
        let old = self.round_trip().unwrap_or_default() * 2 + OLD;
        while self.unanswered.front().is_some_and(|sent| now.saturating_sub(*sent) > old) {
            self.unanswered.pop_front();
        }
        self.last.is_none_or(|last| now.saturating_sub(last) >= INTERVAL)
            && self.unanswered.len() < self.ahead()
    }

    /// A request was sent.
    pub fn asked(&mut self, now: Duration) {
        self.last = Some(now);
        self.unanswered.push_back(now);
        if self.unanswered.len() > MOST {
            self.unanswered.pop_front();
        }
    }

    /// An update is complete.
    pub fn answered(&mut self, now: Duration) {
        let Some(sent) = self.unanswered.front() else { return };
        self.trip(now.saturating_sub(*sent));
        let trip = self.round_trip().unwrap_or_default();
        while self.unanswered.front().is_some_and(|sent| now.saturating_sub(*sent) >= trip) {
            self.unanswered.pop_front();
        }
    }

    /// A round trip was measured some other way (a fence).
    pub fn trip(&mut self, trip: Duration) {
        if self.trips.len() == RECENT {
            self.trips.pop_front();
        }
        self.trips.push_back(trip);
    }

    /// The least recent round trip.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.trips.iter().min().copied()
    }

    fn ahead(&self) -> usize {
        let trips = self.round_trip().unwrap_or_default().as_micros().div_ceil(INTERVAL.as_micros());
        usize::try_from(trips).unwrap_or(MOST).saturating_add(2).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in 10 s from a source of 60 Hz behind a path with this round trip.
    fn run(round_trip: Duration) -> u32 {
        let step = Duration::from_micros(500);
        let (mut pace, mut frames) = (Pace::new(), 0);
        let (mut requests, mut wire) = (VecDeque::new(), VecDeque::new());
        let (mut asked, mut shown) = (false, 0);
        for now in (0..20_000).map(|n| step * n) {
            if pace.due(now) {
                pace.asked(now);
                requests.push_back(now + round_trip / 2);
            }
            while requests.pop_front_if(|at| *at <= now).is_some() {
                asked = true;
            }
            let source = now.as_micros() / INTERVAL.as_micros();
            if asked && source > shown {
                (asked, shown) = (false, source);
                wire.push_back(now + round_trip / 2);
            }
            while wire.pop_front_if(|at| *at <= now).is_some() {
                pace.answered(now);
                frames += 1;
            }
        }
        frames
    }

    #[test]
    fn sixty_frames_a_second_come_at_any_distance() {
        for millis in [0, 33, 66, 100, 300] {
            let frames = run(Duration::from_millis(millis));
            assert!(frames >= 540, "{frames} in 10 s at {millis} ms");
        }
    }

    #[test]
    fn a_still_screen_is_asked_about_no_more_than_the_pace() {
        let mut pace = Pace::new();
        let mut asked = 0;
        for now in (0..10_000).map(Duration::from_millis) {
            if pace.due(now) {
                pace.asked(now);
                asked += 1;
            }
        }
        assert!((20..=600).contains(&asked), "{asked}");
    }
}
