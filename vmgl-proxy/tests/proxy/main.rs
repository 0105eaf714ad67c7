//! The proxy as a program, between real servers and viewers of its own protocol library and of other makers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod clipboards;
mod floods;
mod guest;
mod hostile;
mod keys;
mod kinds;
mod makers;
mod peers;
mod pictures;
#[path = "../../rfb/tests/qemu/mod.rs"]
mod qemu;
mod rehoming;
mod sizes;
