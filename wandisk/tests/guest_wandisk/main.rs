//! The whole program over ublk on a real kernel, as root in a guest: mounts, deaths of keepers, hand-overs.
//!
//! One test at a time (`--test-threads=1`): device numbers are shared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

#[path = "../framework/mod.rs"]
mod framework;

mod conform;
mod device;
mod keeper_dies;
mod moments;
mod moves;
mod standby;
