//! Pictures on their way in a world without clocks: a program, a line, a renderer and a screen, each with a time of its own.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{MOST, Pace, Shown, Trip};

const SCREEN: Duration = Duration::from_micros(16_667);
const LONG: Duration = Duration::from_secs(24);
const LATE: Duration = Duration::from_secs(14);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// How long the line, there and back, and each who works on a picture take.
#[derive(Clone, Copy)]
struct Times {
    line: Duration,
    /// The line from the middle on.
    later: Duration,
    program: Duration,
    renderer: Duration,
    /// At least between two pictures.
    interval: Duration,
    /// Drawing takes longer or shorter by up to this part of it, and each way of the line up to 4 ms longer.
    jitter: f64,
    /// As many as are made at most: a bound of its own instead of the one that is tested.
    fixed: Option<usize>,
}

fn over(line: Duration) -> Times {
    let none = Duration::ZERO;
    Times { line, later: line, program: ms(1), renderer: ms(1), interval: none, jitter: 0.0, fixed: None }
}

/// A picture's answer on its way back.
struct Answer {
    serial: u32,
    sent: Duration,
    heard: Duration,
    shown: Shown,
}

/// What came of it, in the end.
#[derive(Debug, Default)]
struct Played {
    /// Pictures a second.
    rate: f64,
    /// Most that were on their way.
    most: usize,
    /// The bounds that there were, each time another one.
    bounds: Vec<u32>,
    /// The longest from a picture's going off until it is heard of.
    longest: Duration,
}

struct World {
    pace: Pace,
    trip: Trip,
    start: Instant,
    answers: VecDeque<Answer>,
    played: Played,
}

impl World {
    /// The program hears of the next picture, if that is until then.
    fn hears(&mut self, until: Duration) -> Option<Duration> {
        let answer = self.answers.pop_front_if(|next| next.heard <= until)?;
        self.pace.seen(answer.serial, self.start + answer.heard, answer.shown, &mut self.trip);
        if answer.heard > LATE {
            self.played.longest = self.played.longest.max(answer.heard - answer.sent);
            if self.played.bounds.last() != Some(&self.pace.bound()) {
                self.played.bounds.push(self.pace.bound());
            }
        }
        Some(answer.heard)
    }

    fn is_held(&self, fixed: Option<usize>) -> bool {
        fixed.map_or_else(|| !self.pace.may_go_on(), |most| self.answers.len() >= most)
    }
}

/// A program that draws for 24 seconds; what is told is of the last ten.
fn plays(times: Times) -> Played {
    let mut world = World {
        pace: Pace::default(),
        trip: Trip::default(),
        start: Instant::now(),
        answers: VecDeque::new(),
        played: Played::default(),
    };
    let mut rng = fastrand::Rng::with_seed(7);
    let mut vary = |most: Duration| most.mul_f64(rng.f64());
    let none = Duration::ZERO;
    let (mut now, mut arrived, mut shown, mut heard) = (none, none, none, none);
    let mut count = 0;
    for serial in 0.. {
        now += times.program;
        while world.hears(now).is_some() {}
        world.pace.sent(serial, world.start + now);
        let way = if now < LONG / 2 { times.line } else { times.later } / 2;
        let jitter = if times.jitter > 0.0 { ms(4) } else { none };
        arrived = arrived.max(now + way + vary(jitter));
        let drawing =
            times.renderer.mul_f64(1.0 - times.jitter) + vary(times.renderer).mul_f64(2.0 * times.jitter);
        shown = (arrived.max(shown) + drawing).max(shown + times.interval);
        heard = heard.max(shown + way + vary(jitter));
        if shown > LATE && shown <= LONG {
            count += 1;
        }
        world.answers.push_back(Answer {
            serial,
            sent: now,
            heard,
            shown: Shown { at: shown, held: shown - arrived },
        });
        if now > LATE {
            world.played.most = world.played.most.max(world.answers.len());
        }
        while world.is_held(times.fixed) {
            now = now.max(world.hears(Duration::MAX).unwrap());
        }
        if now > LONG {
            break;
        }
    }
    world.played.rate = f64::from(count) / (LONG - LATE).as_secs_f64();
    world.played
}

/// ⌈line ÷ frame⌉ + 2, but no more than there may ever be.
fn promised(line: Duration, frame: Duration) -> usize {
    let held = line.as_nanos().div_ceil(frame.as_nanos());
    usize::try_from(held + 2).unwrap().min(usize::try_from(MOST).unwrap())
}

const LINES: [u64; 6] = [0, 10, 33, 66, 100, 200];

#[test]
fn as_many_are_on_their_way_as_the_line_holds_and_two_and_no_picture_is_lost_by_it() {
    for line in LINES.map(ms) {
        for frame in [ms(4), ms(7), SCREEN, ms(30), ms(50), ms(110)] {
            let slow = |who: &str| match who {
                "program" => Times { program: frame, ..over(line) },
                "renderer" => Times { renderer: frame, ..over(line) },
                _ => Times { interval: frame, ..over(line) },
            };
            for who in ["program", "renderer", "screen"] {
                let Played { rate, most, bounds, longest } = plays(slow(who));
                let told =
                    format!("line {line:?}, the {who} {frame:?}: {rate} {most} {bounds:?} {longest:?}");
                assert!(most <= promised(line, frame), "{told}");
                assert!(rate * frame.as_secs_f64() > 0.98, "{told}");
                assert_eq!(bounds.len(), 1, "{told}");
                assert!(longest < line + 3 * frame, "{told}");
            }
        }
    }
}

#[test]
fn what_does_not_wait_for_the_screen_is_held_by_who_draws_it_and_not_by_the_line() {
    let played = plays(Times { renderer: Duration::from_micros(700), program: ms(0), ..over(ms(33)) });
    assert!(played.rate > 1370.0 && played.most <= 50, "{played:?}");
    // Here the line would hold 143.
    let played = plays(Times { renderer: Duration::from_micros(700), program: ms(0), ..over(ms(100)) });
    assert_eq!(played.most, usize::try_from(MOST).unwrap(), "{played:?}");
}

#[test]
fn with_times_that_vary_there_are_as_many_pictures_as_without_a_bound() {
    for line in [0, 10, 33, 66, 100].map(ms) {
        for renderer in [ms(12), ms(25), ms(50)] {
            for (jitter, interval) in [(0.2, SCREEN), (0.4, SCREEN), (0.4, ms(0))] {
                let times = Times { renderer, interval, jitter, ..over(line) };
                let without = plays(Times { fixed: Some(64), ..times });
                let with = plays(times);
                let told =
                    format!("line {line:?}, the renderer {renderer:?}, {jitter}: {with:?}, {}", without.rate);
                assert!(with.rate >= 0.98 * without.rate, "{told}");
                let frame = renderer.max(interval);
                assert!(with.most <= promised(line + ms(8), frame.mul_f64(0.8)), "{told}");
                let (low, high) = (with.bounds.iter().min().unwrap(), with.bounds.iter().max().unwrap());
                assert!(3 * (high - low) <= *high, "{told}");
            }
        }
    }
}

#[test]
fn a_line_that_becomes_another_gets_the_bound_of_the_other() {
    for (line, later) in [(0, 100), (100, 0), (33, 100), (100, 33), (100, 200), (200, 10)] {
        let (line, later) = (ms(line), ms(later));
        let played = plays(Times { later, interval: SCREEN, ..over(line) });
        assert!(played.rate > 58.8, "{line:?} to {later:?}: {played:?}");
        assert!(played.most <= promised(later, SCREEN), "{line:?} to {later:?}: {played:?}");
    }
}

#[test]
fn a_program_that_drew_once_a_second_has_its_pace_after_two_round_trips() {
    let (mut pace, mut trip, start) = (Pace::default(), Trip::default(), Instant::now());
    let mut now = Duration::ZERO;
    for serial in 0..20 {
        now += Duration::from_secs(1);
        pace.sent(serial, start + now);
        pace.seen(serial, start + now + ms(101), Shown { at: now, held: ms(1) }, &mut trip);
    }
    assert_eq!(pace.bound(), 3);
    // From now on all that may go does, and each is shown a frame of the screen after the one before.
    let (mut next, mut back) = (20, VecDeque::new());
    let mut shown = now;
    for _ in 0..2 {
        let round = now;
        while pace.may_go_on() {
            pace.sent(next, start + now);
            shown = (now + ms(51)).max(shown + SCREEN);
            back.push_back((next, shown));
            next += 1;
        }
        while let Some((serial, shown)) = back.pop_front() {
            now = shown + ms(50);
            pace.seen(serial, start + now, Shown { at: shown, held: shown - round - ms(50) }, &mut trip);
        }
    }
    assert!(pace.bound() >= 6, "{}", pace.bound());
}

#[test]
fn the_program_waits_where_all_are_on_their_way_and_goes_on_when_one_was_seen() {
    let (mut pace, mut trip, start) = (Pace::default(), Trip::default(), Instant::now());
    let shown = Shown { at: ms(5), held: ms(1) };
    pace.sent(1, start);
    assert!(pace.may_go_on());
    pace.sent(2, start);
    assert!(!pace.may_go_on());
    pace.seen(1, start + ms(5), shown, &mut trip);
    assert!(pace.may_go_on());
    // What was seen stands for all before it, and what is not known for nothing.
    (3..=4).for_each(|serial| pace.sent(serial, start));
    pace.seen(4, start + ms(9), shown, &mut trip);
    assert!(pace.on_their_way.is_empty());
    pace.seen(4, start + ms(9), shown, &mut trip);
}
