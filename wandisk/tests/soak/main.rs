//! Three sites, random I/O, moves, syncs, deaths of keepers, cut links: at most one resident at any time, and every
//! sector holds what was last acknowledged.
//!
//! `SOAK_SECONDS` and `SOAK_SEED` set how long and how; `cargo xtask soak` does that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

#[path = "../framework/mod.rs"]
mod framework;
mod model;
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "a client that knows more than is needed here"
)]
#[path = "../../nbd/tests/support/raw.rs"]
mod raw;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use framework::SOON;
use world::Soak;

/// Long enough for each kind of event.
const SECONDS: u64 = 25;
/// Events between two looks at everything.
const ROUND: u32 = 400;

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

#[test]
fn nothing_is_lost_whatever_happens() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = from_environment("SOAK_SEED").unwrap_or_else(|| u64::try_from(now % 1_000_000_007).unwrap());
    let time = Duration::from_secs(from_environment("SOAK_SECONDS").unwrap_or(SECONDS));
    eprintln!("SOAK_SEED={seed}");
    let began = Instant::now();
    let mut soak = Soak::new(seed);
    while began.elapsed() < time {
        for _ in 0..ROUND {
            soak.step();
            if began.elapsed() >= time {
                break;
            }
        }
        soak.look_at_everything();
        eprintln!("{:>5} s  {}", began.elapsed().as_secs(), soak.counts());
    }
}
