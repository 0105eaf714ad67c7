//! What goes over the line between a program and its renderer: commands, and connections that carry them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod commands;
mod connections;
mod programs;
