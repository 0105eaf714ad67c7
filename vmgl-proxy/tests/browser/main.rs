//! A browser as a viewer: headless Chromium with noVNC at the program's own page, in front of real servers;
//! and requests that no page of the proxy's would send.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod foreign;
#[path = "../proxy/peers/mod.rs"]
mod peers;
mod screen;
mod served;
