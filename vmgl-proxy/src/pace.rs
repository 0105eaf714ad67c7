//! When a server without continuous updates is asked for more: ahead, so that a distant one is never idle,
//! but no further ahead than the path's round trip needs.
//!
//! A pull client has one request on its way and gets one frame a round trip. Here a request goes out every
//! 1/60 s while fewer than `round trip * 60 + 2` are unanswered; on a path that is full, answers and so
//! requests come at the path's rate, and what waits in it stays bounded by that number of frames. Servers
//! may answer several requests with one update, so a request that is old counts no more.
//!
//! The round trip is the least time from a request to an update among recent ones. Times are from any
//! origin; there is no clock here. Invariant: never more than [`MOST`] requests count.

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
        let Some(sent) = self.unanswered.pop_front() else { return };
        self.trip(now.saturating_sub(sent));
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

    /// Frames in 10 s from a source of 60 Hz behind a path with this round trip and time a frame takes in
    /// it, and the greatest age of a frame when it arrives.
    fn run(round_trip: Duration, frame: Duration) -> (u32, Duration) {
        let step = Duration::from_micros(500);
        let (mut pace, mut frames, mut oldest) = (Pace::new(), 0, Duration::ZERO);
        let (mut requests, mut wire) = (VecDeque::new(), VecDeque::new());
        let (mut asked, mut shown, mut free) = (false, 0, Duration::ZERO);
        for now in (0..20_000).map(|n| step * n) {
            if pace.due(now) {
                pace.asked(now);
                requests.push_back(now + round_trip / 2);
            }
            while requests.front().is_some_and(|at| *at <= now) {
                requests.pop_front();
                asked = true;
            }
            let source = now.as_micros() / INTERVAL.as_micros();
            if asked && source > shown {
                (asked, shown) = (false, source);
                free = free.max(now) + frame;
                wire.push_back((now, free + round_trip / 2));
            }
            while let Some((made, _)) = wire.pop_front_if(|(_, at)| *at <= now) {
                pace.answered(now);
                frames += 1;
                oldest = oldest.max(now - made);
            }
        }
        (frames, oldest)
    }

    #[test]
    fn sixty_frames_a_second_come_at_any_distance() {
        for millis in [0, 33, 66, 100, 300] {
            let (frames, _) = run(Duration::from_millis(millis), Duration::from_micros(100));
            assert!(frames >= 540, "{frames} in 10 s at {millis} ms");
        }
    }

    #[test]
    fn on_a_full_path_frames_do_not_grow_older() {
        let (round_trip, frame) = (Duration::from_millis(66), Duration::from_millis(40));
        let (frames, oldest) = run(round_trip, frame);
        assert!(frames >= 230, "the path takes 250: {frames}");
        assert!(oldest <= round_trip + frame * 8, "{oldest:?}");
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
