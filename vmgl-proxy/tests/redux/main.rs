//! Record and replay as a user sees them: the program, a real VNC server, real programs on its screen, and a
//! wide-area path between.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod desk;
mod heavy;
#[path = "../proxy/peers/mod.rs"]
mod peers;
mod sessions;
