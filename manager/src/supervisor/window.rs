//! How much of a stream (a migration's, or a tunnel's of the agent's network) may be on its way at once: as much as keeps the line
//! busy, and hardly more. Pure: bytes and answers in, room out; time is the caller's, from any origin.
//!
//! Without it, what is between QEMU and the other site's (the buffers of a pipe, of ssh, of TCP: megabytes) fills up. QEMU then
//! believes that a pass is over whose pages have hardly left, and when the agent stands its last pages wait behind old ones. So
//! the other site answers what it has handed on, and from the time that takes a queue is seen: the first way back without one is
//! the line's own. While none is seen the window doubles from round to round; later it is held where [`QUEUE`] waits.
//!
//! Where this machine's processors are busy, as a desk's are whose crunch is to leave it, answers are late that waited in no queue of the line:
//! the programs on their way waited for a processor. How late this process comes to its turn tells how much of that there may be.
//!
//! Invariants: the window is never less than [`LEAST`]; an answer for bytes that were never sent is refused; what is remembered of
//! pieces is bounded, since each lies within the window.

use std::collections::VecDeque;
use std::time::Duration;

/// The first window, and the least.
const FIRST: f64 = 128e3;
const LEAST: f64 = 64e3;
/// What may wait in a queue, in time.
const QUEUE: Duration = Duration::from_millis(15);
/// Bytes and their answer wait here for a processor about four times (who packs, ssh with the bytes and with the answer, who hears
/// it), and of a round's the quickest counts, which waits for less.
const TURNS: u32 = 2;
/// Of what is known of lateness so much is the newest.
const NEWEST: f64 = 1.0 / 16.0;
/// One step down takes no more than this away.
const SHRINKS: f64 = 0.75;
/// One step up.
const GROWS: f64 = 1.06;
/// A rate is that of so long, at least.
const SPAN: Duration = Duration::from_millis(250);
/// Somebody else's queue on the line does not take more than this away of what was of use, half of which is forgotten in
/// [`FORGETS`]: two streams on one line both go on, whichever was there first.
const FLOOR: f64 = 0.35;
const FORGETS: Duration = Duration::from_secs(30);

/// An answer that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other site says that it has {taken} bytes, and {sent} were sent")]
pub(crate) struct Unsent {
    taken: u64,
    sent: u64,
}

/// The window of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    sent: u64,
    taken: u64,
    /// Where pieces end that are on their way, and when they went.
    pieces: VecDeque<(u64, Duration)>,
    window: f64,
    /// No queue was seen yet.
    doubles: bool,
    /// The most that was of use.
    best: f64,
    quickest: Option<Duration>,
    /// How late this process comes to its turn, in seconds.
    late: f64,
    round: Round,
    span: Span,
    rate: f64,
}

/// From one answer to the answer of what was sent after it.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    ends: u64,
    began: Duration,
    quickest: Option<Duration>,
    /// There was more than the window.
    full: bool,
}

/// Some rounds, for a rate: answers that waited for a processor come at once, and one round's rate may be twice the line's.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    began: Duration,
    taken: u64,
    /// There was less than the window in one of them.
    rested: bool,
}

impl Default for Window {
    fn default() -> Window {
        Window {
            sent: 0,
            taken: 0,
            pieces: VecDeque::new(),
            window: FIRST,
            doubles: true,
            best: LEAST,
            quickest: None,
            late: 0.0,
            round: Round::default(),
            span: Span::default(),
            rate: 0.0,
        }
    }
}

impl Window {
    /// May more go?
    pub(crate) fn has_room(&mut self) -> bool {
        let room = ((self.sent - self.taken) as f64) < self.window;
        self.round.full |= !room;
        room
    }

    /// So many bytes went.
    pub(crate) fn went(&mut self, bytes: usize, now: Duration) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.pieces.push_back((self.sent, now));
    }

    /// The other site has handed on all up to here.
    pub(crate) fn taken(&mut self, taken: u64, now: Duration) -> Result<(), Unsent> {
        if taken > self.sent {
            return Err(Unsent { taken, sent: self.sent });
        }
        self.taken = self.taken.max(taken);
        let mut trip = None;
        while let Some((end, at)) = self.pieces.front().copied().filter(|(end, _)| *end <= self.taken) {
            trip = Some((end, now.saturating_sub(at)));
            self.pieces.pop_front();
        }
        let Some((end, trip)) = trip else { return Ok(()) };
        let least = |known: Option<Duration>| Some(known.map_or(trip, |known| known.min(trip)));
        self.quickest = least(self.quickest);
        self.round.quickest = least(self.round.quickest);
        if end >= self.round.ends {
            self.round_is_over(now);
        }
        Ok(())
    }

    /// This process came to a turn of its own so late.
    pub(crate) fn was_late(&mut self, late: Duration) {
        self.late += (late.as_secs_f64() - self.late) * NEWEST;
    }

    fn round_is_over(&mut self, now: Duration) {
        let next = Round { ends: self.sent.max(self.taken + 1), began: now, ..Round::default() };
        let round = std::mem::replace(&mut self.round, next);
        let (Some(quickest), Some(trip)) = (self.quickest, round.quickest) else { return };
        let time = now.saturating_sub(round.began).as_secs_f64();
        self.span.rested |= !round.full;
        if now.saturating_sub(self.span.began) >= SPAN {
            self.span_is_over(now);
        }
        if !round.full || time <= 0.0 {
            return;
        }
        let turns = Duration::from_secs_f64(self.late) * TURNS;
        let queue = trip.saturating_sub(quickest + turns);
        let share = (quickest + turns + QUEUE).as_secs_f64() / trip.as_secs_f64().max(1e-6);
        if queue > QUEUE {
            // Twice the window filled the line, and the queue: all of that is known only now.
            let least = if self.doubles { 0.5 } else { SHRINKS };
            self.doubles = false;
            self.window *= share.clamp(least, 1.0);
            self.window = self.window.max(self.best * FLOOR).max(LEAST);
            self.best = (self.best * 0.5_f64.powf(time / FORGETS.as_secs_f64())).max(LEAST);
        } else if self.doubles {
            self.window *= 2.0;
        } else if queue < QUEUE / 2 {
            self.window *= GROWS;
        }
        if !self.doubles && queue <= QUEUE {
            self.best = self.best.max(self.window);
        }
    }

    fn span_is_over(&mut self, now: Duration) {
        let span = std::mem::replace(&mut self.span, Span { began: now, taken: self.taken, rested: false });
        let rate = (self.taken - span.taken) as f64 / now.saturating_sub(span.began).as_secs_f64();
        // A line that rested would have carried more, but not less.
        self.rate = if span.rested { self.rate.max(rate) } else { rate };
    }

    /// Bytes that are on their way.
    pub(crate) fn on_its_way(&self) -> u64 {
        self.sent - self.taken
    }

    /// Bytes that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes a second that the line was seen to carry: when it was full last, or more since then; 0 if nothing went.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// The line's own way there and back.
    pub(crate) fn trip(&self) -> Option<Duration> {
        self.quickest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);
    const PIECE: usize = 16 << 10;

    /// A line with a queue, and a source that always has more. Gives the share of the line that was used after `from`, and how
    /// long a byte waited then, at most; the other site answers late by up to `jitter`.
    fn played(trip: Duration, rate: f64, jitter: u64, end: Duration, from: Duration) -> (f64, Duration) {
        let mut random = fastrand::Rng::with_seed(jitter);
        let mut window = Window::default();
        let (mut now, mut queue, mut arrived) = (Duration::ZERO, 0.0_f64, 0.0_f64);
        let mut answers: VecDeque<(Duration, u64)> = VecDeque::new();
        let (mut went, mut could, mut longest) = (0.0, 0.0, 0.0_f64);
        while now < end {
            while window.has_room() {
                window.went(PIECE, now);
                queue += PIECE as f64;
            }
            let carried = queue.min(rate * TICK.as_secs_f64());
            queue -= carried;
            arrived += carried;
            let late = Duration::from_millis(random.u64(0..=jitter));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes that came")]
            let come = arrived as u64;
            answers.push_back((now + trip + late, come));
            while answers.front().is_some_and(|(at, _)| *at <= now) {
                let (_, taken) = answers.pop_front().unwrap();
                window.taken(taken.min(window.sent()), now).unwrap();
            }
            if now >= from {
                went += carried;
                could += rate * TICK.as_secs_f64();
                longest = longest.max(queue / rate);
            }
            now += TICK;
        }
        (went / could, Duration::from_secs_f64(longest))
    }

    #[test]
    fn whatever_the_line_it_is_used_and_little_waits() {
        for ms in [1, 33, 66, 100, 200] {
            for rate in [1e6, 12.5e6, 125e6] {
                for jitter in [0, 10] {
                    let trip = Duration::from_millis(ms);
                    let secs = Duration::from_secs;
                    let (share, longest) = played(trip, rate, jitter, secs(40), secs(10));
                    let what = format!("{ms} ms, {rate} B/s, {jitter} ms late: {share}, {longest:?}");
                    assert!(share >= 0.93, "{what}");
                    // The least window is 64 KB whatever the line.
                    let least = Duration::from_secs_f64(LEAST / rate);
                    assert!(
                        longest <= least + QUEUE + trip / 4 + Duration::from_millis(jitter + 15),
                        "{what}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_no_longer_full_carries_what_it_is_seen_to_carry() {
        let (mut window, trip) = (Window::default(), Duration::from_millis(100));
        let mut now = Duration::ZERO;
        let mut round = |window: &mut Window, bytes: usize, asks: bool| {
            window.went(bytes, now);
            assert!(!asks || !window.has_room());
            now += trip;
            window.taken(window.sent(), now).unwrap();
        };
        // The first window is small, and so is what goes in it.
        [128 << 10, 256 << 10, 512 << 10].iter().for_each(|bytes| round(&mut window, *bytes, true));
        let small = window.rate();
        assert!((1e6..5e6).contains(&small), "{small}");
        (0..4).for_each(|_| round(&mut window, 900 << 10, false));
        assert!(window.rate() > small * 1.5, "{} of {small}", window.rate());
        // Less that goes says nothing of the line.
        (0..4).for_each(|_| round(&mut window, 1 << 10, false));
        assert!(window.rate() > small * 1.5, "{} of {small}", window.rate());
    }

    #[test]
    fn the_line_is_full_soon() {
        let second = Duration::from_secs(1);
        let (share, _) = played(Duration::from_millis(100), 12.5e6, 0, second * 3, second);
        assert!(share >= 0.8, "{share}");
    }

    /// Answers come late by some waits of up to 18 ms for a processor, one after the other. Gives the share of the line that was used
    /// after 5 s, how long a byte waited in its queue then, at most, and the most that was said to be the line's rate, as a share of it.
    fn starved(trip: Duration, rate: f64, waits: u64) -> (f64, Duration, f64) {
        let mut random = fastrand::Rng::with_seed(7);
        let mut window = Window::default();
        let (mut queue, mut arrived, mut went, mut last) = (0.0_f64, 0.0_f64, 0.0, Duration::ZERO);
        let mut answers: VecDeque<(Duration, u64)> = VecDeque::new();
        let (mut told, mut longest, mut seen) = (0, 0.0_f64, 0.0_f64);
        for ms in 0..40_000_u32 {
            let now = TICK * ms;
            if ms % 10 == 0 {
                window.was_late(Duration::from_millis(random.u64(0..=18)));
            }
            while window.has_room() {
                window.went(PIECE, now);
                queue += PIECE as f64;
            }
            let carried = queue.min(rate * TICK.as_secs_f64());
            queue -= carried;
            arrived += carried;
            if ms >= 5000 {
                went += carried;
                longest = longest.max(queue / rate);
            }
            seen = seen.max(window.rate() / rate);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes that came")]
            let come = arrived as u64;
            if come >= told + PIECE as u64 {
                told = come;
                let late: u64 = (0..waits).map(|_| random.u64(0..=18)).sum();
                last = last.max(now + trip + Duration::from_millis(late));
                answers.push_back((last, come));
            }
            while answers.front().is_some_and(|(at, _)| *at <= now) {
                let (_, taken) = answers.pop_front().unwrap();
                window.taken(taken.min(window.sent()), now).unwrap();
            }
        }
        (went / rate / 35.0, Duration::from_secs_f64(longest), seen)
    }

    #[test]
    fn waits_for_a_processor_are_no_queue() {
        for ms in [1, 10, 33, 66, 100] {
            for waits in [1, 2, 4, 6] {
                let (share, longest, seen) = starved(Duration::from_millis(ms), 12.5e6, waits);
                let what = format!("{ms} ms, {waits} waits: {share}, {longest:?}, {seen}");
                assert!(seen <= 1.3, "{what}");
                assert!(share >= 0.9, "{what}");
                assert!(longest <= Duration::from_millis(90), "{what}");
            }
        }
    }

    #[test]
    fn bytes_that_were_not_sent_cannot_have_been_taken() {
        let mut window = Window::default();
        window.went(100, Duration::ZERO);
        assert_eq!(window.taken(101, TICK), Err(Unsent { taken: 101, sent: 100 }));
        window.taken(60, TICK).unwrap();
        // An older answer changes nothing.
        window.taken(10, TICK).unwrap();
        assert_eq!(window.on_its_way(), 40);
    }
}
