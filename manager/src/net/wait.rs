//! How long the agent waited for what comes from an anchor because that is far: what it would not wait if it were there. Pure.
//!
//! Of TCP alone, and of one site's anchors together. Counted is, up to each segment that comes with bytes in it:
//!
//! - *an answer*: the time since the agent asked (its first segment with bytes, or that begins a connection, after the last that came),
//!   but no more than twice the line's own way there and back. What takes longer is the other end's own time, anywhere.
//! - *a stream*, of which more comes without being asked for: the time that the line needs for what came before, but no more than has
//!   passed. At most [`WINDOW_BYTES`] of a connection are on their way at once, so a way there and back carries that much; a stream that has
//!   [`NEAR`] of it is as fast as can be, since both ends take their time, too.
//!
//! So who reads as fast as the way allows waits all the time, who is sent a tenth of that (a film, music) waits for less than a sixth,
//! and who thinks, computes or waits for a slow server waits little. What the agent sends is not looked at.
//!
//! Where windows are larger than that (a tap, many connections), a stream of some megabytes a second counts as one that is as fast as can be; where the line carries less
//! than such a window, too little is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::frame::segment_bytes;

/// Of a connection through libslirp, which scales no window.
const WINDOW_BYTES: f64 = 65_535.0;
/// Of a window in each way there and back.
const NEAR: f64 = 2.0 / 3.0;
/// Ways there and back of an answer, and of a pause in a stream.
const WAYS: u32 = 2;

/// The waits for one site's anchors.
#[derive(Debug, Default)]
struct Wait {
    /// Since when something that was asked for has not come.
    asked: Option<Duration>,
    came: Option<Duration>,
    /// What the line needs for what came, as far as it has not been counted.
    owed: Duration,
}

impl Wait {
    fn asks(&mut self, now: Duration) {
        self.asked.get_or_insert(now);
    }

    /// So many bytes came, by a line that is so long there and back; how long they were waited for.
    fn comes(&mut self, now: Duration, bytes: usize, way: Duration) -> Duration {
        let most = way * WAYS;
        let passed = self.came.map_or(Duration::MAX, |came| now.saturating_sub(came));
        let waited = if let Some(asked) = self.asked.take() {
            self.owed = Duration::ZERO;
            now.saturating_sub(asked).min(most)
        } else if passed <= most {
            passed.min(self.owed)
        } else {
            // Another stream; the one before had ended.
            self.owed = Duration::ZERO;
            Duration::ZERO
        };
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let needs = way.mul_f64(bytes / (WINDOW_BYTES * NEAR));
        self.owed = (self.owed.saturating_sub(waited) + needs).min(most);
        self.came = Some(now);
        waited
    }
}

/// The waits for all anchors that are elsewhere.
#[derive(Debug, Default)]
pub struct Waits {
    /// There and back, by the site to which there is a tunnel.
    ways: BTreeMap<String, Duration>,
    waits: BTreeMap<String, Wait>,
}

impl Waits {
    /// How long the way to a site is, there and back, without a queue.
    pub fn set_way(&mut self, site: &str, way: Duration) {
        self.ways.insert(site.to_owned(), way);
    }

    /// The agent sends a frame to what is anchored at this site.
    pub fn asks(&mut self, now: Duration, site: &str, frame: &[u8]) {
        if segment_bytes(frame) > 0 {
            self.waits.entry(site.to_owned()).or_default().asks(now);
        }
    }

    /// A frame comes for the agent from what is anchored at this site, by the tunnel to `hop`; how long the agent waited for it.
    pub fn comes(&mut self, now: Duration, site: &str, hop: &str, frame: &[u8]) -> Duration {
        let bytes = segment_bytes(frame);
        match self.ways.get(hop) {
            Some(way) if bytes > 0 => self.waits.entry(site.to_owned()).or_default().comes(now, bytes, *way),
            Some(_) => Duration::ZERO,
            None => {
                self.waits.remove(site);
                Duration::ZERO
            }
        }
    }

    /// The agent runs elsewhere: what it waited for is no more.
    pub fn forget(&mut self) {
        self.waits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Duration = Duration::from_millis(66);
    const SEGMENT: usize = 1460;
    const WINDOW: usize = 64 << 10;
    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// An agent that waits, with a clock.
    #[derive(Default)]
    struct Life {
        wait: Wait,
        now: Duration,
        waited: Duration,
    }

    impl Life {
        fn passes(&mut self, time: Duration) {
            self.now += time;
        }

        fn asks(&mut self) {
            self.wait.asks(self.now);
        }

        fn comes(&mut self, bytes: usize) {
            self.waited += self.wait.comes(self.now, bytes, WAY);
        }

        /// So many bytes, a window in each `way`, at 100 Mbit/s.
        fn stream(&mut self, bytes: usize, way: Duration) {
            for part in (0..bytes).step_by(WINDOW) {
                let due = self.now + way;
                let sent = WINDOW.min(bytes - part);
                for segment in (0..sent).step_by(SEGMENT) {
                    self.comes(SEGMENT.min(sent - segment));
                    self.passes(Duration::from_micros(117));
                }
                if part + sent < bytes {
                    self.now = due;
                }
            }
        }

        /// A file's piece of this many bytes, asked for and read as fast as that goes.
        fn reads(&mut self, bytes: usize) {
            self.asks();
            self.passes(WAY);
            self.stream(bytes, WAY);
        }

        /// The share of its time that it waited.
        fn share(&self) -> f64 {
            self.waited.as_secs_f64() / self.now.as_secs_f64()
        }
    }

    #[test]
    fn each_answer_is_waited_for_and_what_the_agent_does_between_is_its_own() {
        let mut life = Life::default();
        for _ in 0..10 {
            life.asks();
            // Asked in two pieces.
            life.passes(ms(1));
            life.asks();
            life.passes(ms(65));
            life.comes(120);
            life.passes(ms(34));
        }
        assert_eq!((life.waited, life.now), (ms(660), SECOND));
    }

    #[test]
    fn of_a_slow_server_only_the_way_counts() {
        let mut life = Life::default();
        for _ in 0..10 {
            life.asks();
            life.passes(SECOND);
            life.comes(120);
        }
        assert_eq!(life.waited, WAY * 20);
    }

    #[test]
    fn who_reads_as_fast_as_the_way_allows_waits_all_the_time() {
        let mut life = Life::default();
        (0..10).for_each(|_| life.reads(1 << 20));
        assert!((0.95..=1.0).contains(&life.share()), "{}", life.share());
        // A desk that is slow itself makes each way longer by a third.
        let mut slow = Life::default();
        slow.asks();
        slow.passes(WAY);
        slow.stream(10 << 20, WAY * 4 / 3);
        assert!((0.9..=1.0).contains(&slow.share()), "{}", slow.share());
    }

    #[test]
    fn a_film_that_is_sent_at_its_own_pace_is_waited_for_as_little_as_it_needs_of_the_way() {
        // 1 Mbit/s, a picture each 40 ms; and in pieces of 2 s.
        for (bytes, each) in [(5_000, ms(40)), (250_000, SECOND * 2)] {
            let mut life = Life::default();
            life.asks();
            life.passes(WAY);
            while life.now < SECOND * 60 {
                let next = life.now + each;
                life.stream(bytes, WAY);
                life.now = next;
            }
            assert!((0.08..0.22).contains(&life.share()), "{bytes}: {}", life.share());
        }
    }

    #[test]
    fn a_film_that_is_fetched_in_pieces_is_waited_for_while_these_come() {
        // 1 Mbit/s as files of 4 s.
        let mut life = Life::default();
        while life.now < SECOND * 60 {
            let next = life.now + SECOND * 4;
            life.reads(500_000);
            life.now = next;
        }
        assert!((0.1..0.2).contains(&life.share()), "{}", life.share());
    }

    #[test]
    fn news_that_nobody_asked_for_is_not_waited_for() {
        let mut life = Life::default();
        for _ in 0..100 {
            life.comes(900);
            life.passes(SECOND);
        }
        assert_eq!(life.waited, Duration::ZERO);
    }

    #[test]
    fn no_more_is_counted_than_has_passed() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut life = Life::default();
            for _ in 0..500 {
                match random.u8(0..4) {
                    0 => life.asks(),
                    1 => life.comes(random.usize(1..3000)),
                    _ => life.passes(Duration::from_micros(random.u64(0..200_000))),
                }
                assert!(life.waited <= life.now, "{:?} of {:?}", life.waited, life.now);
            }
        }
    }
}
