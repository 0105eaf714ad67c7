//! How many pictures may be on their way: enough that the line is never the reason to wait, and few enough that the user
//! sees what was drawn just now.
//!
//! Pure: moments come from outside.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Never more than this.
const MOST: u32 = 64;
/// Beyond those that the line holds: one being drawn there, one being made here.
const SPARE: u32 = 2;
/// A frame takes at least a sixtieth of a second where the screen is waited for, and for the bound we say it always does:
/// a program that draws faster has as many on their way as a slower one, and sends them later.
const FRAME: Duration = Duration::from_nanos(16_666_667);

/// The pictures of one drawable.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    on_their_way: VecDeque<(u32, Instant)>,
}

impl Pace {
    /// A picture goes off.
    pub(crate) fn sent(&mut self, serial: u32, now: Instant) {
        self.on_their_way.push_back((serial, now));
    }

    /// A picture was shown, and all before it; how long it took to hear of that.
    pub(crate) fn seen(&mut self, serial: u32, now: Instant) -> Option<Duration> {
        let place = self.on_their_way.iter().position(|(sent, _)| *sent == serial)?;
        let (_, sent) = self.on_their_way.drain(..=place).next_back()?;
        Some(now.saturating_duration_since(sent))
    }

    /// Whether the program may begin another one.
    pub(crate) fn may_go_on(&self, round_trip: Duration) -> bool {
        self.on_their_way.len() < usize::try_from(window(round_trip)).unwrap_or(usize::MAX)
    }
}

fn window(round_trip: Duration) -> u32 {
    let held = round_trip.as_nanos().div_ceil(FRAME.as_nanos());
    u32::try_from(held).unwrap_or(MOST).saturating_add(SPARE).min(MOST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use std::time::{Duration, Instant};

    use super::{MOST, Pace, window};

    #[test]
    fn as_many_are_on_their_way_as_the_line_holds_and_two() {
        assert_eq!(window(Duration::ZERO), 2);
        assert_eq!(window(Duration::from_millis(100)), 8);
        assert_eq!(window(Duration::from_secs(60)), MOST);
    }

    #[test]
    fn the_program_waits_when_they_are_and_goes_on_when_one_was_seen() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.sent(1, start);
        assert!(pace.may_go_on(Duration::ZERO));
        pace.sent(2, start);
        assert!(!pace.may_go_on(Duration::ZERO));
        let took = pace.seen(1, start + Duration::from_millis(5)).unwrap();
        assert_eq!(took, Duration::from_millis(5));
        assert!(pace.may_go_on(Duration::ZERO));
        assert_eq!(pace.seen(1, start), None);
    }

    #[test]
    fn a_picture_that_was_seen_stands_for_all_before_it() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        (1..=3).for_each(|serial| pace.sent(serial, start));
        assert!(pace.seen(3, start).is_some());
        assert!(pace.may_go_on(Duration::ZERO));
    }
}
