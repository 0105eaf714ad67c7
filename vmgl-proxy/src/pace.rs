//! When a server without continuous updates is asked for more: ahead, so that a distant one is never idle,
//! but neither faster nor further ahead than the path carries.
//!
//! A pull client has one request on its way and gets one frame a round trip. Here a request goes out every
//! 1/60 s, or as often as updates have come through the path when it is full, while fewer are unanswered
//! than one round trip holds and [`MORE`]. So what waits in the path is bounded by a few updates, and with
//! it the age of what is shown. Servers answer several requests with one update: all that had come when it
//! was taken, so those that were sent a round trip before it began to arrive, unless it waited on its way.
//!
//! The round trip is the least of the last few that were measured without doubt: steps of the handshake,
//! fences, and words that a server owes to each request for pixels (its size). To measure one that does
//! not wait behind pictures the path is let run empty first, each [`MEASURED`]: a path that is full is
//! so told from a distant one. What pictures take is learnt as they come, beginning with one: when they
//! become larger at once, those that were asked for already are late once. Times are from any origin;
//! there is no clock here.
//!
//! Invariant: never more than [`MOST`] requests count.

use std::collections::VecDeque;
use std::time::Duration;

/// Time between requests.
pub const INTERVAL: Duration = Duration::from_micros(16_667);
/// Most requests ahead: enough for 1 s.
pub const MOST: usize = 64;
/// Requests beyond those that one round trip holds.
const MORE: usize = 2;
/// A request this much older than two round trips counts as answered together with another.
const OLD: Duration = Duration::from_secs(1);
/// How many round trips are remembered.
const RECENT: usize = 4;
/// Time between measurements of the round trip.
const MEASURED: Duration = Duration::from_secs(10);
/// A request this late is one of a new row; those before kept to the beat of one that went on.
const LATE: Duration = Duration::from_millis(4);
/// An update that begins so soon after another came right behind it.
const BEHIND: Duration = Duration::from_millis(3);

/// Requests on their way, and what is known of the path.
#[derive(Debug, Default)]
pub struct Pace {
    /// Never ask ahead: one request at a time, the next when it is answered.
    pull: bool,
    unanswered: VecDeque<Duration>,
    last: Option<Duration>,
    trips: VecDeque<Duration>,
    measured: Option<Duration>,
    /// How long an update takes through the path, on average of some.
    passage: Option<Duration>,
    ended: Duration,
    /// Updates that came so far, as far as that many requests may be ahead.
    came: usize,
}

impl Pace {
    /// Nothing asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Pace::new`], but asking as a plain viewer does: again when an answer came, never ahead.
    #[must_use]
    pub fn pull() -> Self {
        Self { pull: true, ..Self::default() }
    }

    /// Whether to ask now.
    #[must_use]
    pub fn due(&mut self, now: Duration) -> bool {
        self.forget(now);
        if self.pull {
            return self.unanswered.is_empty();
        }
        !self.wants_trip(now)
            && self.last.is_none_or(|last| now.saturating_sub(last) >= self.interval())
            && self.unanswered.len() < self.ahead()
    }

    /// Whether to measure the round trip now: it is time, and nothing is on its way that was not sent before.
    #[must_use]
    pub fn trip_due(&mut self, now: Duration) -> bool {
        self.forget(now);
        !self.pull && self.wants_trip(now) && self.unanswered.is_empty()
    }

    /// When [`Pace::due`] or [`Pace::trip_due`] comes true if nothing more is answered; what is past is now.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let forgotten = |sent: Option<&Duration>| sent.map(|sent| *sent + self.old());
        if self.pull {
            return Some(forgotten(self.unanswered.front()).unwrap_or(now));
        }
        // Measured is when nothing is on its way any more; from that moment on nothing is asked.
        let measure = self.measured.map(|measured| measured + MEASURED);
        let trip = measure.map(|at| forgotten(self.unanswered.back()).map_or(at, |idle| at.max(idle)));
        let ask = match self.unanswered.len().checked_sub(self.ahead()) {
            None => Some(self.last.map_or(now, |last| last + self.interval())),
            Some(first) => forgotten(self.unanswered.get(first)),
        };
        let ask = ask.filter(|ask| measure.is_none_or(|measure| (*ask).max(now) < measure));
        ask.into_iter().chain(trip).min()
    }

    /// A measurement has begun, or cannot be made.
    pub fn measuring(&mut self, now: Duration) {
        self.measured = Some(now);
    }

    /// A request was sent. One that went out a little late makes the next no later.
    pub fn asked(&mut self, now: Duration) {
        let due = self.last.map(|last| last + self.interval());
        self.last = Some(due.filter(|due| now.saturating_sub(*due) < LATE).map_or(now, |due| due.min(now)));
        self.unanswered.push_back(now);
        if self.unanswered.len() > MOST {
            self.unanswered.pop_front();
        }
    }

    /// An update is complete, of which the first bytes came at `began`.
    pub fn answered(&mut self, began: Duration, now: Duration) {
        let behind = began.saturating_sub(self.ended) < BEHIND;
        let passage = now.saturating_sub(if behind { self.ended } else { began });
        let ended = std::mem::replace(&mut self.ended, now);
        let passage = passage.min(OLD);
        self.passage = Some(self.passage.map_or(passage, |before| (before * 3 + passage) / 4));
        self.came = (self.came + 1).min(MOST);
        if self.pull {
            self.unanswered.clear();
            return;
        }
        let trip = self.round_trip().unwrap_or_default();
        // One that waited behind another was taken nobody knows when, but one request it did answer. On a path
        // that delivers in bursts (a tunnel's records) what waited begins up to a burst after the other's end.
        let near = began.saturating_sub(ended) < passage.min(INTERVAL / 2);
        let most = if behind || near { 1 } else { MOST };
        for _ in 0..most {
            self.unanswered.pop_front_if(|sent| began.saturating_sub(*sent) >= trip);
        }
    }

    /// A round trip was measured.
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

    fn forget(&mut self, now: Duration) {
        let old = self.old();
        while self.unanswered.front().is_some_and(|sent| now.saturating_sub(*sent) >= old) {
            self.unanswered.pop_front();
        }
    }

    /// When a request is so old nothing comes for it alone.
    fn old(&self) -> Duration {
        (self.round_trip().unwrap_or_default() + self.passage()) * 2 + OLD
    }

    fn wants_trip(&self, now: Duration) -> bool {
        self.measured.is_some_and(|measured| now.saturating_sub(measured) >= MEASURED)
    }

    /// A little more than the passage, so that what waits in the path becomes less.
    fn interval(&self) -> Duration {
        INTERVAL.max(self.passage() * 17 / 16)
    }

    fn passage(&self) -> Duration {
        self.passage.unwrap_or_default()
    }

    fn ahead(&self) -> usize {
        let trips = self.round_trip().unwrap_or_default().as_micros().div_ceil(self.interval().as_micros());
        usize::try_from(trips).unwrap_or(MOST).saturating_add(MORE).min(MOST).min(self.came + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source of 60 Hz behind a path with this round trip, on which an update takes so long.
    struct Seen {
        /// Frames in 25 s, after five to begin.
        frames: u32,
        /// The oldest frame that was shown.
        oldest: Duration,
    }

    fn run(round_trip: Duration, passage: Duration) -> Seen {
        let step = Duration::from_micros(500);
        let mut pace = Pace::new();
        pace.trip(round_trip);
        pace.measuring(Duration::ZERO);
        let mut seen = Seen { frames: 0, oldest: Duration::ZERO };
        // What is on its way: requests; updates with when they were taken, began and ended to arrive.
        let (mut requests, mut wire) = (VecDeque::new(), VecDeque::new());
        let (mut asked, mut shown, mut free) = (false, 0, Duration::ZERO);
        let mut trips = VecDeque::new();
        for now in (0..60_000).map(|n| step * n) {
            if pace.trip_due(now) {
                pace.measuring(now);
                trips.push_back((now, (now + round_trip).max(free + round_trip / 2)));
            }
            while let Some((sent, _)) = trips.pop_front_if(|(_, at)| *at <= now) {
                pace.trip(now - sent);
            }
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
                let begins = now.max(free);
                free = begins + passage;
                wire.push_back((now, begins + round_trip / 2, free + round_trip / 2));
            }
            while let Some((taken, began, _)) = wire.pop_front_if(|(.., ended)| *ended <= now) {
                pace.answered(began, now);
                seen.frames += u32::from(now > Duration::from_secs(5));
                seen.oldest = seen.oldest.max(now - taken);
            }
        }
        seen
    }

    #[test]
    fn sixty_frames_a_second_come_at_any_distance() {
        for millis in [0, 33, 66, 100, 300] {
            let frames = run(Duration::from_millis(millis), Duration::ZERO).frames;
            assert!(frames >= 25 * 56, "{frames} in 25 s at {millis} ms");
        }
    }

    #[test]
    fn a_full_path_is_kept_full_and_frames_do_not_grow_old_in_it() {
        for trip in [0, 10, 33, 66, 100, 300].map(Duration::from_millis) {
            for passage in [5, 17, 20, 33, 50, 100, 250].map(Duration::from_millis) {
                let Seen { frames, oldest } = run(trip, passage);
                let bound = trip + 2 * INTERVAL.max(passage);
                assert!(oldest <= bound, "{oldest:?} > {bound:?} at {trip:?}, {passage:?} an update");
                let most = 25.0 / INTERVAL.max(passage).as_secs_f64();
                assert!(f64::from(frames) >= 0.85 * most, "{frames} of {most} at {trip:?}, {passage:?}");
            }
        }
    }

    #[test]
    fn who_pulls_has_one_request_on_its_way_and_asks_again_when_one_was_lost() {
        let mut pace = Pace::pull();
        pace.trip(Duration::from_millis(100));
        let at = Duration::from_millis;
        for now in [at(0), at(100)] {
            assert!(pace.due(now));
            pace.asked(now);
            assert!(!pace.due(now + at(99)));
            pace.answered(now + at(99), now + at(100));
        }
        assert!(pace.due(at(200)));
        pace.asked(at(200));
        assert!(!pace.due(at(1000)) && pace.due(at(3000)));
    }

    #[test]
    fn nothing_comes_due_before_it_was_said_to_and_then_it_does() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut pace = Pace::new();
        pace.trip(Duration::from_millis(40));
        pace.measuring(Duration::ZERO);
        let (mut now, mut asked, mut measured) = (Duration::ZERO, 0, 0);
        while now < Duration::from_secs(60) {
            let next = pace.next(now).expect("something is always due some time");
            let answer = now + Duration::from_millis(random.u64(1..400));
            if answer < next {
                now = answer;
                assert!(!pace.due(now) && !pace.trip_due(now), "due at {now:?}, said was {next:?}");
                pace.answered(now, now);
                continue;
            }
            now = now.max(next);
            if pace.trip_due(now) {
                pace.measuring(now);
                measured += 1;
            } else {
                assert!(pace.due(now), "not due at {now:?}, which was said");
                pace.asked(now);
                asked += 1;
            }
        }
        assert!(measured >= 5 && asked > 100, "{measured} {asked}");
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
        assert!((10..=600).contains(&asked), "{asked}");
    }
}
