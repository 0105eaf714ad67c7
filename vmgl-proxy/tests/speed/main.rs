//! How the proxy asks and how it rests, in margins that a busy machine keeps. How fast it is in figures is
//! `cargo xtask bench display`'s to say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod heavy;
