//! Power cuts: the file system that holds a site's store lies on `dm-log-writes`, and the machine is started again from what
//! was on its disk at every flush, and from that with any part of what was on its way.
//!
//! `POWER_SEED` repeats a run; `POWER_ALL=1` judges every flush, not a sample.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

#[path = "../guest_wandisk/device.rs"]
#[allow(dead_code, reason = "more is there than is needed here")]
mod device;
#[path = "../framework/mod.rs"]
mod framework;
mod log;
mod machine;
#[path = "../soak/model.rs"]
#[allow(dead_code, reason = "more is there than is needed here")]
mod model;
mod oracle;
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "a client that knows more than is needed here"
)]
#[path = "../../nbd/tests/support/raw.rs"]
mod raw;
mod story;

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use framework::SOON;
use log::What;
use story::Lived;

/// Judging goes on for so long, on samples.
const TIME: Duration = Duration::from_secs(120);

/// xorshift64*: a seed alone repeats the choices.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let given = std::env::var("POWER_SEED").ok().map(|seed| seed.parse().expect("a number"));
    given.unwrap_or_else(|| u64::try_from(now % 1_000_000_007).unwrap())
}

#[test]
fn a_power_cut_at_any_flush_loses_nothing_that_was_acknowledged() {
    let seed = seed();
    eprintln!("POWER_SEED={seed}");
    let mut rng = Rng(seed | 1);
    let lived = Lived::live(&mut rng);
    let log = machine::stop();
    let barriers: Vec<usize> =
        (0..log.entries.len()).filter(|n| *n >= lived.born(&log) && log.entries[*n].is_barrier).collect();
    eprintln!("{} entries, {} flushes after the disks were made", log.entries.len(), barriers.len());
    assert!(barriers.len() > 100, "the story must flush");

    let all = std::env::var_os("POWER_ALL").is_some();
    let began = Instant::now();
    let mut played = machine::Played::new();
    let (mut judged, mut torn, mut next) = (0, 0, 0);
    // As many as the time allows, spread over the whole story.
    while next < barriers.len() {
        let at = barriers[next] + 1;
        played.go_to(&log, at);
        let rest = &log.entries[at..];
        let upto = rest.iter().position(|e| e.is_barrier).unwrap_or(rest.len());
        let on_its_way: Vec<_> = rest[..upto].to_vec();
        let is_torn = rng.below(2) == 0 && on_its_way.iter().any(|e| matches!(e.what, What::Write { .. }));
        let booted = {
            let mut arrived = Rng(rng.below(u64::MAX) | 1);
            played.boot(&log, if is_torn { &on_its_way } else { &[] }, || arrived.below(2) == 0)
        };
        lived.judge(&log, at, &format!("entry {at}, torn: {is_torn}"));
        drop(booted);
        (judged, torn) = (judged + 1, torn + usize::from(is_torn));
        let left = TIME.saturating_sub(began.elapsed());
        let each = began.elapsed() / judged;
        let more = usize::try_from(left.as_millis() / each.as_millis().max(1)).unwrap();
        let (to_go, step) =
            (barriers.len() - next - 1, if all { 1 } else { (barriers.len() - next) / (more + 1) });
        if to_go == 0 || (more == 0 && !all) {
            break;
        }
        next = (next + 1 + usize::try_from(rng.below(2 * step.max(1) as u64)).unwrap()).min(barriers.len());
    }
    // Past the test harness, which shows what a test says only when it fails.
    let mut screen = std::io::stderr();
    let told = writeln!(
        screen,
        "{judged} of {} flushes judged, {torn} of them with a part of what was on its way, {} s",
        barriers.len(),
        began.elapsed().as_secs()
    );
    told.unwrap();
    assert!(judged >= 8, "too few to mean anything");
}
