//! How many chunks are asked for at a time: what comes in about a second, within bounds.
//!
//! Fewer leave a long fat line empty for a part of each round trip. More than a slow line brings in time would only
//! wait at the far side until their own time-outs end the sync. Both show in one number, the rate at which chunks come,
//! and asking for more than comes makes it grow up to what the line gives. How long the first of them took is no part of it: that
//! is the line's length, not its width.
//!
//! Pure: moments are told.

use std::time::{Duration, Instant};

/// The rate is looked at this often, and whenever as many have come as may be under way.
const LOOK: Duration = Duration::from_millis(100);
/// How much larger the window becomes at a look: what came in a short time may have come at once by chance.
const GROWTH: usize = 8;
/// What is asked for at first, and always at least, in bytes; a chunk or two where these are larger.
const LEAST: u64 = 1 << 20;
/// What is asked for at most, in bytes: 1 Gbit/s over a third of a second. Of chunks that come as a few kilobytes of delta it is
/// what a line of 100 Mbit/s brings in a round trip of 66 ms and the time for the far side's commits.
const MOST: u64 = 48 << 20;

/// The number of chunks asked for at a time.
#[derive(Debug)]
pub(super) struct Window {
    chunks: usize,
    least: usize,
    most: usize,
    came: usize,
    /// When the chunk came before the first of those; none: no chunk has come.
    since: Option<Instant>,
}

impl Window {
    /// For chunks of so many bytes.
    pub(super) fn new(chunk_size: u32) -> Window {
        let within = |bytes: u64| usize::try_from(bytes / u64::from(chunk_size.max(1))).unwrap_or(usize::MAX);
        let (least, most) = (within(LEAST).max(2), within(MOST).max(2));
        Window { chunks: within(4 * LEAST).clamp(least, most), least, most, came: 0, since: None }
    }

    /// How many may be under way.
    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// One came.
    pub(super) fn came(&mut self, now: Instant) {
        let Some(since) = self.since else {
            self.since = Some(now);
            return;
        };
        self.came += 1;
        let took = now.saturating_duration_since(since);
        if took < LOOK && self.came + 1 < self.chunks {
            return;
        }
        // Not too soon of too few: the first chunk of a slow line says nothing of the second.
        let a_second = (self.came as f64 / took.as_secs_f64().max(1e-3)).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the clamp")]
        let wanted = a_second.min(1e9) as usize;
        self.chunks = wanted.min(self.chunks.saturating_mul(GROWTH)).clamp(self.least, self.most);
        (self.came, self.since) = (0, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks that a line of so many bytes a second and such a round trip brings in some seconds, and the window then.
    fn after(seconds: f64, rate: f64, round_trip: f64, chunk_size: u32) -> (f64, usize) {
        let began = Instant::now();
        let mut window = Window::new(chunk_size);
        let (mut now, mut came) = (0.0, 0.0);
        while now < seconds {
            // The line takes turns of one window each: all that is asked for comes one round trip or its sending later.
            let asked = window.chunks();
            let sending = asked as f64 * f64::from(chunk_size) / rate;
            let turn = sending.max(round_trip);
            for at in 1..=asked {
                window.came(began + Duration::from_secs_f64(now + turn * at as f64 / asked as f64));
            }
            (now, came) = (now + turn, came + asked as f64);
        }
        (came * f64::from(chunk_size) / now / rate, window.chunks())
    }

    #[test]
    fn a_long_fat_line_is_filled_within_seconds() {
        let (share, _) = after(10.0, 125e6, 0.1, 128 << 10);
        assert!(share > 0.95, "{share}");
    }

    #[test]
    fn a_slow_line_is_asked_for_what_comes_within_ten_seconds() {
        for (rate, chunk_size) in [(1e6 / 8.0, 128 << 10), (10e6 / 8.0, 4 << 20)] {
            let (_, chunks) = after(60.0, rate, 0.3, chunk_size);
            let seconds = chunks as f64 * f64::from(chunk_size) / rate;
            assert!(seconds < 10.0, "{chunks} chunks of {chunk_size} bytes take {seconds} s");
        }
    }

    #[test]
    fn chunks_that_come_as_a_few_kilobytes_fill_the_line_a_round_trip_after_the_first_of_them() {
        // 100 Mbit/s, 4.4 kB a chunk: what is asked for comes a round trip later, and no faster than the line brings it.
        let (began, mut window, mut free_at) = (Instant::now(), Window::new(128 << 10), 0.0);
        let mut coming = std::collections::VecDeque::new();
        let mut now = 0.0;
        while now < 0.066 * 2.5 {
            while coming.len() < window.chunks() {
                free_at = f64::max(free_at, now + 0.066) + 4.4e3 / 12.5e6;
                coming.push_back(free_at);
            }
            now = coming.pop_front().unwrap();
            window.came(began + Duration::from_secs_f64(now));
        }
        // What the line brings in a round trip.
        assert!(window.chunks() >= 187, "{}", window.chunks());
    }

    #[test]
    fn a_first_chunk_that_was_long_on_its_way_says_nothing() {
        let (began, mut window) = (Instant::now(), Window::new(128 << 10));
        let at_first = window.chunks();
        window.came(began + Duration::from_secs(3));
        assert_eq!(window.chunks(), at_first);
    }

    #[test]
    fn memory_is_bounded_however_fast_chunks_come() {
        for chunk_size in [64 << 10, 128 << 10, 4 << 20] {
            let (_, chunks) = after(5.0, 10e9, 0.001, chunk_size);
            assert!(chunks as u64 * u64::from(chunk_size) <= MOST, "{chunks} chunks of {chunk_size}");
            assert!(chunks >= 2);
        }
    }
}
