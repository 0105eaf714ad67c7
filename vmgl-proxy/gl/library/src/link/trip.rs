//! How long the line takes, there and back, by what pictures tell: from when one was sent until it was heard that it is shown,
//! without the time that the renderer says to have had it for. (RTCP does the same with its reports.)
//!
//! The line may become a shorter or a longer one while the connection stays: a gateway holds it while its agent moves. A
//! shorter time is believed at once. A longer one may be pictures that wait for each other on a narrow line, which
//! more of them would only make wait longer; so it is believed where those that may be on their way do not explain it, and
//! where that is so for a round trip. What was sent before a connection was taken up again tells nothing.
//!
//! Pure: moments come from outside.

use std::time::{Duration, Instant};

/// What pictures on their way do not explain: longer than all of them take, by a tenth.
const BEYOND: f64 = 1.1;

/// The line of a program.
#[derive(Debug, Default)]
pub(crate) struct Trip {
    /// When the connection was last taken up again.
    again: Option<Instant>,
    least: Option<Duration>,
    longer: Option<Longer>,
}

#[derive(Debug)]
struct Longer {
    since: Instant,
    least: Duration,
}

impl Trip {
    /// There and back; nothing as long as no picture told it.
    pub(crate) fn takes(&self) -> Duration {
        self.least.unwrap_or_default()
    }

    /// The connection was broken until now.
    pub(crate) fn again(&mut self, now: Instant) {
        (self.again, self.longer) = (Some(now), None);
    }

    /// A picture that was sent then is heard of now; without the renderer's part it took so long. As many as may be on
    /// their way are shown in `covered`.
    pub(crate) fn took(&mut self, (sent, now): (Instant, Instant), took: Duration, covered: Duration) {
        if self.again.is_some_and(|again| sent < again) {
            return;
        }
        if self.least.is_none_or(|least| took < least) {
            self.least = Some(took);
        }
        if took <= covered.mul_f64(BEYOND) {
            self.longer = None;
            return;
        }
        let longer = self.longer.get_or_insert(Longer { since: now, least: took });
        longer.least = longer.least.min(took);
        if sent >= longer.since {
            self.least = Some(longer.least);
            self.longer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Trip;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Tells of pictures one after the other: when each was sent and how long the line took, in milliseconds.
    fn told(trip: &mut Trip, start: Instant, pictures: &[(u64, u64)]) -> Duration {
        for &(sent, took) in pictures {
            trip.took((start + ms(sent), start + ms(sent + took)), ms(took), ms(50));
        }
        trip.takes()
    }

    #[test]
    fn it_takes_as_long_as_the_quickest_picture() {
        let (mut trip, start) = (Trip::default(), Instant::now());
        assert_eq!(trip.takes(), Duration::ZERO);
        assert_eq!(told(&mut trip, start, &[(0, 40), (10, 31), (20, 54)]), ms(31));
    }

    #[test]
    fn a_longer_line_is_believed_after_a_round_trip_of_it() {
        let (mut trip, start) = (Trip::default(), Instant::now());
        told(&mut trip, start, &[(0, 10), (100, 90), (120, 95)]);
        assert_eq!(trip.takes(), ms(10));
        // The first that was sent after the first late one was heard of.
        assert_eq!(told(&mut trip, start, &[(190, 92)]), ms(90));
    }

    #[test]
    fn late_pictures_of_a_moment_are_not_the_line() {
        let (mut trip, start) = (Trip::default(), Instant::now());
        assert_eq!(
            told(&mut trip, start, &[(0, 10), (10, 2000), (20, 1990), (2020, 11), (2030, 200)]),
            ms(10)
        );
    }

    #[test]
    fn what_was_sent_while_the_connection_was_broken_tells_nothing_however_often_it_breaks() {
        let (mut trip, start) = (Trip::default(), Instant::now());
        told(&mut trip, start, &[(0, 10)]);
        for sent in (100..2000).step_by(300) {
            trip.again(start + ms(sent + 250));
            assert_eq!(told(&mut trip, start, &[(sent, 260), (sent + 10, 255)]), ms(10));
        }
        assert_eq!(told(&mut trip, start, &[(3000, 90), (3100, 90)]), ms(90));
    }
}
