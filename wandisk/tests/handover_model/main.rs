//! The hand-over model-checked: the real rules (`wandisk::handover::{rules, steps, lineage}`) in every order of events.
//!
//! What the model adds is the world around them: sites that crash and keep only what is durable, a network that delays,
//! duplicates, loses and reorders whatever was ever sent, a disk of one chunk whose rows travel with the messages, leases
//! that run out, people who move, take over and ask again. Counts of states are printed (`--no-capture`).

#![allow(unreachable_pub, reason = "each file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod finish;
mod holders;
mod model;
mod world;

use stateright::{Checker, Model};
use world::Limits;

fn check<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let began = std::time::Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
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
    check(
        "two sites",
        model::Handover(Limits { sites: 2, attempts: 3, writes: 2, crashes: 1, late_rows: 1, takeovers: 0 }),
    );
}

#[test]
fn three_sites_never_have_two_residents_and_always_a_next_step() {
    check(
        "three sites",
        model::Handover(Limits { sites: 3, attempts: 2, writes: 2, crashes: 1, late_rows: 1, takeovers: 0 }),
    );
}

#[test]
fn a_takeover_starts_a_lineage_and_leaves_the_other_alone() {
    check(
        "a takeover",
        model::Handover(Limits { sites: 2, attempts: 2, writes: 2, crashes: 1, late_rows: 1, takeovers: 1 }),
    );
}

#[test]
fn two_takeovers_at_once_are_two_lineages() {
    check(
        "two takeovers",
        model::Handover(Limits { sites: 3, attempts: 1, writes: 1, crashes: 1, late_rows: 1, takeovers: 2 }),
    );
}

#[test]
fn what_is_dropped_was_promised_by_a_site_that_stays() {
    check("holders", holders::Holders { writes: 1, moves: 1, rounds: 3, crashes: 0 });
}
