//! The dashboard: what its door lets in, and its page in headless Chromium with a real agent at two sites, as in the tests of
//! agents.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_debug_implementations,
    unreachable_pub,
    reason = "these are tests"
)]

#[path = "../agents/boot.rs"]
#[allow(dead_code, reason = "the tests of agents bring more into one")]
mod boot;
mod door;
mod many;
mod page;
#[path = "../agents/viewer.rs"]
#[allow(dead_code, reason = "the tests of agents compare pictures")]
mod viewer;
#[path = "../agents/world.rs"]
#[allow(dead_code, reason = "the tests of agents make more trouble")]
mod world;
