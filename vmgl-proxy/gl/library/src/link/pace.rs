//! How many pictures may be on their way: enough that the line is never the reason to wait, and few enough that the user
//! sees what was drawn just now.
//!
//! A program that waits for the screen has as many on their way as the line holds at sixty a second, and two. One that does
//! not has more, as long as they do not wait for each other: how many wait is told by how much longer than a round trip it
//! takes to hear of a picture, as TCP Vegas knows it of its packets.
//!
//! Pure: moments come from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Never more than this.
const MOST: u32 = 64;
/// Beyond those that the line holds: one being drawn there, one being made here.
const SPARE: u32 = 2;
/// A frame takes at least a sixtieth of a second where the screen is waited for: who does not wait for it begins as if it did.
const FRAME: Duration = Duration::from_nanos(16_666_667);
/// Where more than so many wait for each other the user sees what is old.
const OLD: f64 = 2.0;
/// Where fewer wait there may be another one in each round trip …
const ROOM: f64 = 1.0;
/// … and where next to none waits, a quarter more of them.
const IDLE: f64 = 0.5;
const QUARTER: f64 = 0.25;

/// The pictures of one drawable.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    on_their_way: VecDeque<(u32, Instant)>,
    /// Above those that a program has that waits for the screen.
    more: f64,
}

impl Pace {
    /// A picture goes off.
    pub(crate) fn sent(&mut self, serial: u32, now: Instant) {
        self.on_their_way.push_back((serial, now));
    }

    /// A picture was shown, and all before it; how long it took to hear of that, where a round trip takes so long.
    pub(crate) fn seen(&mut self, serial: u32, now: Instant, round_trip: Duration) -> Option<Duration> {
        let place = self.on_their_way.iter().position(|(sent, _)| *sent == serial)?;
        let all = self.on_their_way.len();
        let (_, sent) = self.on_their_way.drain(..=place).next_back()?;
        let took = now.saturating_duration_since(sent);
        // A program that has fewer on their way than it might is slower than all this.
        let is_full = all as f64 >= self.window(round_trip);
        let waited = took.saturating_sub(round_trip).as_secs_f64();
        let waiting = all as f64 * waited / took.as_secs_f64().max(f64::MIN_POSITIVE);
        if waiting > OLD {
            self.more = (self.more - (waiting - OLD) / all as f64).max(0.0);
        } else if is_full && waiting < ROOM {
            let step = if waiting < IDLE { QUARTER } else { 1.0 / all as f64 };
            self.more = (self.more + step).min(f64::from(MOST));
        }
        Some(took)
    }

    /// Whether the program may begin another one.
    pub(crate) fn may_go_on(&self, round_trip: Duration) -> bool {
        self.on_their_way.len() as f64 + 1.0 <= self.window(round_trip)
    }

    /// As many may be on their way; a whole number of them, and its rest has no effect yet.
    fn window(&self, round_trip: Duration) -> f64 {
        (f64::from(least(round_trip)) + self.more).min(f64::from(MOST)).floor()
    }
}

fn least(round_trip: Duration) -> u32 {
    let held = round_trip.as_nanos().div_ceil(FRAME.as_nanos());
    u32::try_from(held).unwrap_or(MOST).saturating_add(SPARE).min(MOST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use std::collections::VecDeque;
    use std::time::{Duration, Instant};

    use super::{MOST, Pace, least};

    const TRIP: Duration = Duration::from_millis(100);

    #[test]
    fn as_many_are_on_their_way_as_the_line_holds_and_two() {
        assert_eq!(least(Duration::ZERO), 2);
        assert_eq!(least(TRIP), 8);
        assert_eq!(least(Duration::from_secs(60)), MOST);
    }

    #[test]
    fn the_program_waits_when_they_are_and_goes_on_when_one_was_seen() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.sent(1, start);
        assert!(pace.may_go_on(Duration::ZERO));
        pace.sent(2, start);
        assert!(!pace.may_go_on(Duration::ZERO));
        let took = pace.seen(1, start + Duration::from_millis(5), Duration::ZERO).unwrap();
        assert_eq!(took, Duration::from_millis(5));
        assert!(pace.may_go_on(Duration::ZERO));
        assert_eq!(pace.seen(1, start, Duration::ZERO), None);
    }

    #[test]
    fn a_picture_that_was_seen_stands_for_all_before_it() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        (1..=3).for_each(|serial| pace.sent(serial, start));
        assert!(pace.seen(3, start, Duration::ZERO).is_some());
        assert!(pace.may_go_on(Duration::ZERO));
    }

    /// A program that draws each picture in no time, for seconds, at a renderer that takes `each` for it and shows no more
    /// than one an `interval`: pictures that were seen in the last second, and the longest on its way then.
    fn plays(each: Duration, interval: Duration) -> (usize, Duration) {
        let (mut pace, start, mut now) = (Pace::default(), Instant::now(), Duration::ZERO);
        let (mut serial, mut free) = (0, Duration::ZERO);
        let mut back: VecDeque<(u32, Duration)> = VecDeque::new();
        let (mut seen, mut longest) = (0, Duration::ZERO);
        while now < Duration::from_secs(10) {
            while pace.may_go_on(TRIP) {
                serial += 1;
                pace.sent(serial, start + now);
                free = (now + TRIP / 2).max(free) + each.max(interval);
                back.push_back((serial, free + TRIP / 2));
            }
            let (last, at) = back.pop_front().unwrap();
            now = at;
            let took = pace.seen(last, start + now, TRIP).unwrap();
            if now > Duration::from_secs(9) {
                seen += 1;
                longest = longest.max(took);
            }
        }
        (seen, longest)
    }

    #[test]
    fn who_waits_for_the_screen_has_no_more_on_their_way_and_sixty_a_second() {
        let (seen, longest) = plays(Duration::from_millis(3), Duration::from_micros(16_667));
        assert!((59..=61).contains(&seen), "{seen}");
        assert!(longest < TRIP + Duration::from_millis(40), "{longest:?}");
    }

    #[test]
    fn who_does_not_is_held_by_the_renderer_and_not_by_the_line() {
        let (seen, longest) = plays(Duration::from_millis(4), Duration::ZERO);
        assert!(seen > 235, "{seen} of 250");
        assert!(longest < TRIP + Duration::from_millis(20), "{longest:?}");
    }

    #[test]
    fn a_renderer_that_is_slower_than_the_screen_is_not_buried() {
        let (seen, longest) = plays(Duration::from_millis(50), Duration::ZERO);
        assert!((19..=21).contains(&seen), "{seen}");
        assert!(longest <= 8 * Duration::from_millis(50), "{longest:?}");
    }
}
