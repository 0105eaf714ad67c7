//! The hand-over model-checked: the real rules (`wandisk::handover::{rules, steps, lineage}`) in every order of events.
//!
//! What the model adds is the world around them: sites that crash and keep only what is durable, a network that delays,
//! duplicates, loses and reorders whatever was ever sent, a disk of one chunk whose rows travel with the messages, leases
//! that run out, people who move, take over and ask again. Counts of states are printed (`--no-capture`).

#![allow(unreachable_pub, reason = "each file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod finish;
mod model;
mod world;

use stateright::{Checker, Model};
use world::Limits;

fn check(name: &str, limits: Limits) {
    let began = std::time::Instant::now();
    let checker = model::Handover(limits).checker().threads(2).spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} of them unique, depth {}, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    checker.assert_properties();
}

#[test]
fn two_sites_never_have_two_residents_and_always_a_next_step() {
    check("two sites", Limits { sites: 2, attempts: 3, writes: 2, crashes: 1, late_rows: 1, takeovers: 0 });
}

#[test]
fn three_sites_never_have_two_residents_and_always_a_next_step() {
    check("three sites", Limits { sites: 3, attempts: 2, writes: 2, crashes: 1, late_rows: 1, takeovers: 0 });
}

#[test]
fn a_takeover_starts_a_lineage_and_leaves_the_other_alone() {
    check("a takeover", Limits { sites: 2, attempts: 2, writes: 2, crashes: 1, late_rows: 1, takeovers: 1 });
}

#[test]
fn two_takeovers_at_once_are_two_lineages() {
    check(
        "two takeovers",
        Limits { sites: 3, attempts: 1, writes: 1, crashes: 1, late_rows: 1, takeovers: 2 },
    );
}
