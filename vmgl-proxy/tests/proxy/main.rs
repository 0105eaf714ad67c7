//! The proxy as a program, between real servers and viewers of its own protocol library.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod hostile;
mod peers;
mod pictures;
#[path = "../../rfb/tests/qemu/mod.rs"]
mod qemu;
mod rehoming;
