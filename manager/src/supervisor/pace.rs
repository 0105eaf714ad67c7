//! How fast a migration's stream may go while somebody looks at the agent over the same line: at most 85 % of what the line
//! was measured to carry. Pure: round trips and bytes in, allowance out; time is the caller's, from any origin.
//!
//! The line is measured by what it does to somebody else: a small echo on a connection of its own. While nothing queues the
//! rate grows, at first by half; where echoes come late twice one after the other, the line is full, and what went then
//! is what it carries. The stream pauses until the queue is empty, and goes on at 85 % of that, and no faster; after
//! [`HOLDS`] it is tried whether the line has become better.
//!
//! Invariant: a pause has an end ([`PAUSE_MAX`]), and no more than [`BURST`] of time's worth goes at once.

use std::time::Duration;

/// The share of the line.
const SHARE: f64 = 0.85;
/// An echo so much later than the quickest one has waited in a queue.
const LATE: Duration = Duration::from_millis(12);
/// The first rate, and the least, in bytes a second.
const FIRST: f64 = 500e3;
const LEAST: f64 = 128e3;
/// What a line is taken to carry before it was seen full.
const MOST: f64 = 1e12;
/// What may go at once, in time.
const BURST: Duration = Duration::from_millis(5);
/// Its least, in bytes.
const BURST_BYTES: f64 = 16e3;
/// Time between two echoes.
pub(super) const ECHO: Duration = Duration::from_millis(25);
/// How the rate grows at first, from one echo that tells of it to the next, and later in a second, up to its limit.
const LEAPS: f64 = 1.5;
const GROWS: f64 = 1.2;
/// How long a measure of the line holds, and how it grows in a second after that.
const HOLDS: Duration = Duration::from_secs(20);
const HOPE: f64 = 1.1;
/// No queue is waited for longer.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The pace of one stream.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bytes a second that may go now.
    rate: f64,
    /// Bytes a second that the line was seen to carry.
    line: f64,
    /// No queue was seen yet.
    leaps: bool,
    /// The quickest echo.
    quickest: Option<Duration>,
    /// The echo before was late.
    late: bool,
    /// The line was full, and no echo was in time since.
    full: bool,
    /// The queue, in time, when it was found full last.
    queue: Duration,
    /// When that was.
    measured: Duration,
    /// Echoes that were sent before then tell of the rate before.
    settles: Duration,
    heard: Duration,
    allowance: f64,
    filled: Duration,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Pace {
        Pace {
            rate: FIRST,
            line: MOST,
            leaps: true,
            quickest: None,
            late: false,
            full: false,
            queue: Duration::ZERO,
            measured: now,
            settles: now,
            heard: now,
            allowance: 0.0,
            filled: now,
        }
    }

    /// An echo is back, that was sent at `sent`.
    pub(super) fn echo(&mut self, sent: Duration, now: Duration) {
        let trip = now.saturating_sub(sent);
        let quickest = *self.quickest.insert(self.quickest.map_or(trip, |least| least.min(trip)));
        let late = trip > quickest + LATE;
        let quiet = now.saturating_sub(std::mem::replace(&mut self.heard, now)).as_secs_f64().min(1.0);
        if sent < self.settles {
            return;
        }
        if late && std::mem::replace(&mut self.late, true) {
            self.line_is_full(now, trip - quickest, trip);
        } else if !late {
            (self.late, self.full) = (false, false);
            if self.leaps {
                self.rate = (self.rate * LEAPS).min(MOST);
                // What comes back before then says nothing of this rate.
                self.settles = now;
                return;
            }
            if now.saturating_sub(self.measured) > HOLDS {
                self.line = (self.line * HOPE.powf(quiet)).min(MOST);
            }
            self.rate = (self.rate * GROWS.powf(quiet)).min(self.line * SHARE).max(LEAST);
        }
    }

    /// It is, at this rate; `queue` is the time that it takes to empty.
    fn line_is_full(&mut self, now: Duration, queue: Duration, trip: Duration) {
        // A queue that has become shorter is what was left of it: no new measure.
        if !self.full || queue >= self.queue.mul_f64(0.8) {
            self.line = self.rate;
            // Less than the last leap queued nothing. And where less than before is too much, it is far too much.
            let share = if self.leaps || self.full { SHARE / 2.0 } else { SHARE };
            self.rate = (self.rate * share).max(LEAST);
            self.measured = now;
        }
        self.queue = queue;
        // After a leap the queue has grown while the echo was on its way.
        let pause = if self.leaps { queue + trip } else { queue };
        let pause = pause.min(PAUSE_MAX);
        (self.leaps, self.late, self.full) = (false, false, true);
        self.allowance = -self.rate * pause.as_secs_f64();
        self.settles = now + pause;
    }

    /// How many bytes may go now; what goes is told to [`Pace::went`].
    pub(super) fn allows(&mut self, now: Duration) -> usize {
        let burst = (self.rate * BURST.as_secs_f64()).max(BURST_BYTES);
        let passed = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        self.allowance = (self.allowance + self.rate * passed.as_secs_f64()).min(burst);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the burst, and not negative"
        )]
        let bytes = self.allowance.max(0.0) as usize;
        bytes
    }

    /// So many bytes went.
    pub(super) fn went(&mut self, bytes: usize) {
        self.allowance -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// A line with one queue for all: its rate may change at a time. Gives, for each echo that came back after `from`, how long it
    /// waited beyond the line's own round trip; and the share of the line that the stream had then.
    fn played(
        trip: Duration,
        rates: &[(Duration, f64)],
        end: Duration,
        from: Duration,
    ) -> (Vec<Duration>, f64) {
        let mut pace = Pace::new(Duration::ZERO);
        let (mut queue, mut now, mut next_echo) = (0.0_f64, Duration::ZERO, Duration::ZERO);
        let mut flying: Vec<(Duration, Duration)> = Vec::new();
        let (mut waits, mut went, mut could) = (Vec::new(), 0.0, 0.0);
        while now < end {
            let rate = rates.iter().rev().find(|(at, _)| *at <= now).unwrap().1;
            let bytes = pace.allows(now);
            pace.went(bytes);
            queue += bytes as f64;
            let carried = queue.min(rate * TICK.as_secs_f64());
            queue -= carried;
            if now >= from {
                went += carried;
                could += rate * TICK.as_secs_f64();
            }
            if now >= next_echo {
                next_echo = now + ECHO;
                flying.push((now, now + trip + Duration::from_secs_f64(queue / rate)));
            }
            flying.retain(|(sent, back)| {
                if *back <= now {
                    pace.echo(*sent, now);
                    if now >= from {
                        waits.push((*back - *sent).saturating_sub(trip));
                    }
                }
                *back > now
            });
            now += TICK;
        }
        waits.sort();
        (waits, went / could)
    }

    fn p95(waits: &[Duration]) -> Duration {
        waits[waits.len() * 95 / 100]
    }

    #[test]
    fn whatever_the_line_an_echo_beside_the_stream_is_hardly_later_and_the_line_is_used() {
        for ms in [1, 33, 66, 100, 200] {
            for rate in [1e6, 12.5e6, 125e6] {
                let trip = Duration::from_millis(ms);
                let rates = [(Duration::ZERO, rate)];
                let (waits, share) = played(trip, &rates, Duration::from_secs(60), Duration::from_secs(10));
                let late = p95(&waits);
                assert!(late <= Duration::from_millis(30), "{ms} ms, {rate} B/s: {late:?}");
                assert!((0.7..=0.95).contains(&share), "{ms} ms, {rate} B/s: {share}");
            }
        }
    }

    #[test]
    fn a_line_that_changes_is_measured_anew() {
        let (trip, half) = (Duration::from_millis(66), Duration::from_secs(20));
        for (first, then) in [(12.5e6, 3e6), (3e6, 12.5e6)] {
            let rates = [(Duration::ZERO, first), (half, then)];
            let (waits, share) = played(trip, &rates, half * 4, half * 3);
            assert!(p95(&waits) <= Duration::from_millis(30), "{first} to {then}: {:?}", p95(&waits));
            assert!((0.6..=0.97).contains(&share), "{first} to {then}: {share}");
        }
    }

    #[test]
    fn one_late_echo_is_no_full_line() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(0));
        for (sent, back) in [(0, 10), (20, 90), (100, 110), (120, 190), (200, 210)] {
            let before = pace.rate;
            pace.echo(ms(sent), ms(back));
            assert!(pace.rate >= before, "after the echo of {sent} ms");
        }
        pace.echo(ms(220), ms(290));
        let before = pace.rate;
        pace.echo(ms(230), ms(300));
        assert!(pace.rate < before);
    }
}
