//! OpenGL of an agent as its user sees it: the proxy, its renderers and its watcher as programs, a real X server, and a viewer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table for people")]

mod agent;
mod cases;
mod desk;
mod desks;
mod heavy;
mod install;
mod judge;
mod life;
mod life_egl;
mod line;
#[path = "../proxy/peers/mod.rs"]
mod peers;
mod pixmaps;
mod program;
mod programs;
mod recorded;
mod relay;
mod stand_in;
mod traces;
mod unmodified;
mod unpacked;
mod windows;
