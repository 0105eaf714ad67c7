//! Power cuts and media that fail, under the store, with a real kernel's file systems.
//!
//! *Cuts*: what holds a site's store lies on `dm-log-writes`, and the machine is started again from what was on its disk at
//! every flush, and from that with any part of what was on its way. *Media*: it lies on `dm-flakey`.
//!
//! `POWER_SEED` repeats a run; `POWER_ALL=1` judges every flush, not a sample.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod cuts;
#[path = "../guest_wandisk/device.rs"]
#[allow(dead_code, reason = "more is there than is needed here")]
mod device;
mod flaky;
#[path = "../framework/mod.rs"]
mod framework;
mod hand_over;
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
use std::time::{SystemTime, UNIX_EPOCH};

use framework::SOON;

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

/// A seed that is told.
pub(crate) fn seed() -> Rng {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let given = std::env::var("POWER_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| u64::try_from(now % 1_000_000_007).unwrap());
    // Past the test harness, which shows what a test says only when it fails.
    let told = writeln!(std::io::stderr(), "POWER_SEED={seed}");
    told.unwrap();
    Rng(seed | 1)
}
