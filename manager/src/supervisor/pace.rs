//! How fast a migration's stream may go while somebody looks at the agent over the same line. Pure: round trips and bytes in,
//! allowance out; time is the caller's, from any origin.
//!
//! The line is measured by what it does to somebody else: a small echo on a connection of its own. While nothing queues the
//! rate grows, at first by half; where [`LATES`] echoes in a row come late, the line is full, and what went then is what it
//! carries; or, where the queue grows fast, what its growth tells. The stream pauses until the queue is empty, and goes on at
//! [`SHARE`] of that; a line that is full again soon is wanted by others, whose is the rest of [`WANTED`]. After [`HOLDS`] it is
//! tried whether the line carries more: slowly at first, so that the queue which answers is a short one.
//!
//! One late echo, or some, say nothing: with machines that are translated beside it, whoever answers waits for a processor for
//! as long. To be late by a queue, all of a row must be. (Played with waits of 20 to 40 ms for a processor, a row of six leaves the stream
//! 3 to 11 % of the line more than one of four, and the echoes beside it 3 to 6 ms later, of 30.)
//!
//! Invariants: a pause has an end ([`PAUSE_MAX`]); no more than [`BURST`] of time's worth goes at once; whatever others do,
//! [`FLOOR`] of the line is kept, else a stream that fills what is left (the agent's own, through the switch) would end the move.

use std::time::Duration;

/// The share of the line, and what it is while others want it.
const SHARE: f64 = 0.95;
const WANTED: f64 = 0.85;
/// The share that is never given away.
const FLOOR: f64 = 0.25;
/// Half of what the line was seen to carry is forgotten in this time.
const FORGETS: Duration = Duration::from_secs(60);
/// An echo so much later than the quickest one has waited for something. More than the queue that a window keeps
/// ([`super::window`]): frames of the agent's network, kept in one, give way first.
const LATE: Duration = Duration::from_millis(20);
/// So many of them in a row have waited in a queue.
const LATES: u32 = 6;
/// A queue that grows by so much, in seconds a second, tells by that what the line carries.
const GROWTH: f64 = 0.4;
/// The first rate, and the least, in bytes a second.
const FIRST: f64 = 500e3;
const LEAST: f64 = 128e3;
/// What a line is taken to carry before it was seen full.
const MOST: f64 = 1e12;
/// What may go at once, in time: what a processor was not there for is made good.
const BURST: Duration = Duration::from_millis(15);
/// Its least, in bytes.
const BURST_BYTES: f64 = 16e3;
/// Time between two echoes.
pub(super) const ECHO: Duration = Duration::from_millis(25);
/// How the rate grows at first, from one echo that tells of it to the next, and later in a second, up to its limit.
const LEAPS: f64 = 1.5;
const GROWS: f64 = 1.5;
/// How long a measure of the line holds, and how it grows after that: by this in the first second, twice this in the next.
const HOLDS: Duration = Duration::from_secs(5);
const HOPE: f64 = 0.02;
/// A rate grows only where so much of it was used.
const USED: f64 = 0.5;
/// No queue is waited for longer.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The pace of one stream.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Bytes a second that may go now.
    rate: f64,
    /// Bytes a second that the line was seen to carry.
    line: f64,
    /// The most of that, forgotten slowly.
    best: f64,
    /// No queue was seen yet.
    leaps: bool,
    /// Others want it.
    wanted: bool,
    /// The quickest echo.
    quickest: Option<Duration>,
    /// Late echoes in a row, and the least queue of them.
    lates: u32,
    least: Duration,
    /// The first of them: when it was sent, and its queue.
    first: Option<(Duration, Duration)>,
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
    /// What went, and could have, since the rate was judged last.
    used: f64,
    usable: f64,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Pace {
        Pace {
            rate: FIRST,
            line: MOST,
            best: 0.0,
            leaps: true,
            wanted: false,
            quickest: None,
            lates: 0,
            least: Duration::MAX,
            first: None,
            full: false,
            queue: Duration::ZERO,
            measured: now,
            settles: now,
            heard: now,
            allowance: 0.0,
            filled: now,
            used: 0.0,
            usable: 0.0,
        }
    }

    /// An echo is back, that was sent at `sent`.
    pub(super) fn echo(&mut self, sent: Duration, now: Duration) {
        let trip = now.saturating_sub(sent);
        let quickest = *self.quickest.insert(self.quickest.map_or(trip, |least| least.min(trip)));
        let quiet = now.saturating_sub(std::mem::replace(&mut self.heard, now)).as_secs_f64().min(1.0);
        if sent < self.settles {
            return;
        }
        if trip <= quickest + LATE {
            (self.lates, self.least, self.first, self.full) = (0, Duration::MAX, None, false);
            return self.grow(now, quiet);
        }
        let queue = trip - quickest;
        let first = *self.first.get_or_insert((sent, queue));
        self.lates += 1;
        self.least = self.least.min(queue);
        if self.lates >= LATES {
            let time = sent.saturating_sub(first.0).as_secs_f64().max(1e-3);
            let growth = (queue.as_secs_f64() - first.1.as_secs_f64()) / time;
            if growth >= GROWTH && queue > LATE * 2 {
                self.line_is_narrow(now, growth, queue, trip);
            } else {
                self.line_is_full(now, self.least);
            }
        }
    }

    /// Nothing queues.
    fn grow(&mut self, now: Duration, quiet: f64) {
        let used = self.used >= self.usable * USED;
        (self.used, self.usable) = (0.0, 0.0);
        if self.leaps {
            if used {
                self.rate = (self.rate * LEAPS).min(MOST);
                // What comes back before then says nothing of this rate.
                self.settles = now;
            }
            return;
        }
        let held = now.saturating_sub(self.measured);
        if held > HOLDS {
            self.wanted = false;
            if used {
                let hopes = (held - HOLDS).as_secs_f64() + 1.0;
                self.line = (self.line * (1.0 + HOPE * hopes * quiet)).min(MOST);
            }
        }
        self.rate = (self.rate * GROWS.powf(quiet)).min(self.line * self.share()).max(LEAST);
    }

    fn share(&self) -> f64 {
        if self.wanted { WANTED } else { SHARE }
    }

    /// Each second at this rate the queue becomes longer by `growth` seconds: so much more goes than the line carries.
    fn line_is_narrow(&mut self, now: Duration, growth: f64, queue: Duration, trip: Duration) {
        self.line = (self.rate / (1.0 + growth)).max(LEAST);
        self.best = self.line;
        self.rate = (self.line * SHARE).max(LEAST);
        self.wanted = false;
        // It has grown while the echo was on its way.
        self.pause(now, queue + trip.mul_f64(growth));
    }

    /// It is, at this rate, or others want it; `queue` is the time that it takes to empty.
    fn line_is_full(&mut self, now: Duration, queue: Duration) {
        // A queue that has become shorter is what was left of it: no new measure.
        if !self.full || queue >= self.queue.mul_f64(0.8) {
            let since = now.saturating_sub(self.measured);
            self.wanted = !self.leaps && since <= HOLDS;
            self.line = self.rate;
            self.best = self.line.max(self.best * 0.5_f64.powf(since.as_secs_f64() / FORGETS.as_secs_f64()));
            // Where less than before is too much, it is far too much.
            let share = if self.full { SHARE / 2.0 } else { self.share() };
            self.rate = (self.rate * share).max(self.best * FLOOR).max(LEAST);
        }
        self.pause(now, queue);
    }

    fn pause(&mut self, now: Duration, queue: Duration) {
        let pause = queue.min(PAUSE_MAX);
        (self.leaps, self.full, self.queue, self.measured) = (false, true, queue, now);
        (self.lates, self.least, self.first) = (0, Duration::MAX, None);
        self.allowance = -self.rate * pause.as_secs_f64();
        self.settles = now + pause;
    }

    /// How many bytes may go now; what goes is told to [`Pace::went`].
    pub(super) fn allows(&mut self, now: Duration) -> usize {
        let burst = (self.rate * BURST.as_secs_f64()).max(BURST_BYTES);
        let passed = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        self.usable += self.rate * passed.as_secs_f64();
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
        self.used += bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    /// A line with one queue for all.
    struct Played {
        trip: Duration,
        /// Its rate, from a time on.
        rates: Vec<(Duration, f64)>,
        /// Bytes a second of others, from a time on.
        others: Vec<(Duration, f64)>,
        /// Whoever sends and whoever answers waits for a processor now and then, for as long as this.
        busy: Duration,
        /// The stream has no more than this, in bytes a second.
        has: f64,
    }

    impl Played {
        fn on(ms: u64, rate: f64) -> Played {
            let rates = vec![(Duration::ZERO, rate)];
            let trip = Duration::from_millis(ms);
            Played { trip, rates, others: Vec::new(), busy: Duration::ZERO, has: MOST }
        }

        /// Gives, for all between two times, how long an echo waited in the queue (95 of 100), and the share of the line that the
        /// stream had.
        fn between(&self, from: Duration, end: Duration) -> (Duration, f64) {
            let at = |steps: &[(Duration, f64)], now| {
                steps.iter().rev().find(|(at, _)| *at <= now).map_or(0.0, |(_, value)| *value)
            };
            let mut random = fastrand::Rng::with_seed(7);
            let mut pace = Pace::new(Duration::ZERO);
            let (mut queue, mut own, mut now) = (0.0_f64, 0.0_f64, Duration::ZERO);
            let (mut next_echo, mut away) = (Duration::ZERO, Duration::ZERO);
            let mut flying: Vec<(Duration, Duration)> = Vec::new();
            let (mut waits, mut went, mut could, mut had) = (Vec::new(), 0.0, 0.0, 0.0);
            let step = TICK.as_secs_f64();
            while now < end {
                let rate = at(&self.rates, now);
                had += self.has * step;
                if now >= away {
                    let bytes = (pace.allows(now) as f64).min(had).floor();
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes")]
                    pace.went(bytes as usize);
                    (queue, own, had) = (queue + bytes, own + bytes, had - bytes);
                    // It is somebody else's turn, sixty times in a second in which it is this one's.
                    if random.u8(..) < 16 {
                        away = now + self.busy.mul_f64(random.f64());
                    }
                }
                queue += at(&self.others, now) * step;
                let carried = queue.min(rate * step);
                // What goes is a mixture, as what waits.
                let part = carried * own / queue.max(1.0);
                (queue, own) = (queue - carried, own - part);
                if now >= from {
                    went += part;
                    could += rate * step;
                }
                if now >= next_echo {
                    next_echo = now + ECHO;
                    let wait = Duration::from_secs_f64(queue / rate);
                    // A third of the echoes wait for a processor, too.
                    let busy =
                        if random.u8(..) < 86 { self.busy.mul_f64(random.f64()) } else { Duration::ZERO };
                    flying.push((now, now + self.trip + wait + busy));
                    if now >= from {
                        waits.push(wait);
                    }
                }
                flying.retain(|(sent, back)| {
                    if *back <= now {
                        pace.echo(*sent, now);
                    }
                    *back > now
                });
                now += TICK;
            }
            waits.sort();
            (waits[waits.len() * 95 / 100], went / could)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const BAR: Duration = Duration::from_millis(30);

    #[test]
    fn whatever_the_line_an_echo_beside_the_stream_is_hardly_later_and_the_line_is_used() {
        for ms in [1, 33, 66, 100, 200] {
            for rate in [1e6, 12.5e6, 125e6] {
                let (late, share) = Played::on(ms, rate).between(SECOND * 10, SECOND * 60);
                assert!(late <= BAR, "{ms} ms, {rate} B/s: {late:?}");
                assert!((0.84..=1.0).contains(&share), "{ms} ms, {rate} B/s: {share}");
            }
        }
    }

    /// Once beside two translated machines: an echo was late by its processor, was taken for a queue's, and a fifth of the line was
    /// given away for twenty seconds.
    #[test]
    fn who_waits_for_a_processor_is_not_taken_for_a_queue() {
        for ms in [1, 33, 66, 100] {
            for (busy, least) in [(20, 0.9), (40, 0.7)] {
                let played = Played { busy: Duration::from_millis(busy), ..Played::on(ms, 12.5e6) };
                let (late, share) = played.between(SECOND * 5, SECOND * 60);
                assert!(late <= BAR, "{ms} ms, {busy} ms: {late:?}");
                assert!(share >= least, "{ms} ms, {busy} ms: {share}");
            }
        }
    }

    #[test]
    fn a_line_that_changes_is_measured_anew() {
        for (first, then) in [(12.5e6, 3e6), (3e6, 12.5e6)] {
            let rates = vec![(Duration::ZERO, first), (SECOND * 20, then)];
            let played = Played { rates, ..Played::on(66, first) };
            let (late, share) = played.between(SECOND * 40, SECOND * 80);
            assert!(late <= BAR, "{first} to {then}: {late:?}");
            assert!((0.8..=1.0).contains(&share), "{first} to {then}: {share}");
        }
    }

    #[test]
    fn others_get_what_they_want() {
        for (wanted, least) in [(0.1, 0.75), (0.3, 0.55), (0.6, 0.3)] {
            let others = vec![(SECOND * 10, 12.5e6 * wanted)];
            let played = Played { others, ..Played::on(66, 12.5e6) };
            let (late, share) = played.between(SECOND * 15, SECOND * 60);
            assert!(late <= BAR, "{wanted}: {late:?}");
            assert!(share >= least, "{wanted}: {share}");
        }
    }

    #[test]
    fn a_stream_that_has_little_does_not_forget_what_the_line_carries() {
        let played = Played { has: 4e6, ..Played::on(66, 12.5e6) };
        let (late, share) = played.between(SECOND * 5, SECOND * 30);
        assert!(late <= Duration::from_millis(2), "{late:?}");
        assert!(share >= 0.31, "{share}");
        // Then it has more than the line carries: that is seen as soon as at the beginning.
        let mut pace = Pace::new(Duration::ZERO);
        for n in 0..400 {
            let now = ECHO * n;
            let bytes = pace.allows(now).min(10_000);
            pace.went(bytes);
            pace.echo(now.saturating_sub(TICK), now);
        }
        assert!(pace.rate < 2e6, "{}", pace.rate);
    }

    #[test]
    fn a_few_late_echoes_are_no_full_line() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(0));
        pace.echo(ms(0), ms(10));
        let mut at = 20;
        for late in 1..LATES {
            for _ in 0..late {
                let before = pace.rate;
                pace.echo(ms(at), ms(at + 60));
                assert!(pace.rate >= before, "at {at} ms");
                at += 25;
            }
            pace.echo(ms(at + 100), ms(at + 110));
            at += 200;
        }
        for _ in 0..LATES {
            pace.echo(ms(at), ms(at + 60));
            at += 25;
        }
        assert!(!pace.leaps && pace.full);
    }
}
