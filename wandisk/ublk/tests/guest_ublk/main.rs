//! The ublk front-end on a real kernel, as root in a guest.
//!
//! One device a test at a time (`--test-threads=1`): numbers and `/proc` are shared. A test's disk is a file below
//! `/scratch` whose cold way the test controls ([`lab`]).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "helpers of tests, too")]

mod cold;
mod death;
mod filesystems;
mod lab;
mod lifecycle;
mod requests;
mod users;
