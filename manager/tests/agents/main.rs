//! Real agents on the real QEMU (by translation), at two sites of this host that know each other by `cmd:` links, with the
//! real `wandisk` over NBD.
//!
//! The agent writes numbered blocks all the time and says each one on its serial port ([`agent_init`]). The [`world::Judge`]
//! listens at both sites: a number said twice would be two agents; a block that is not what its number says, or a number that
//! was said and is not on the disk at the end, is a loss.
//!
//! Trouble is made from outside: a script stands before `wandisk` and kills the supervisor that called it, or fails, before or
//! after a step; a script is the link, and can be cut.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_debug_implementations,
    unreachable_pub,
    reason = "these are tests"
)]

mod alone;
mod boot;
mod cancels;
mod debian;
mod inside;
mod laptop;
mod matrix;
mod moves;
mod network;
mod opengl;
mod pauses;
mod refusals;
mod setup;
mod suspends;
mod switches;
mod tap;
mod troubles;
mod versions;
mod viewer;
mod views;
mod world;
