//! OpenGL of an agent as its user sees it: the proxy, its renderers and its watcher as programs, a real X server, and a viewer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod desk;
mod life;
#[path = "../proxy/peers/mod.rs"]
mod peers;
mod program;
mod relay;
mod unmodified;
mod windows;
