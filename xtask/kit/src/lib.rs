//! What tests of every part use: waiting for what is to come, processes that end with their test, ports, a browser, and a machine
//! that is only a network.
//!
//! It knows of no part. It stops the test where something is wrong: that is what tests want.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

mod chromium;
mod ports;
mod stack;

use std::process::Child;
use std::time::{Duration, Instant};

pub use chromium::Chromium;
pub use ports::free_port;
pub use stack::{CARD, Stack};

/// Longest wait for anything: only a failure takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// Waits until it is so.
///
/// # Panics
/// When it is not so within [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = so() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_waited_for_and_what_runs_ends_with_its_test() {
        let mut left = 3;
        let came = eventually("it comes", || {
            left -= 1;
            (left == 0).then_some("it")
        });
        assert_eq!(came, "it");
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let there = std::path::PathBuf::from(format!("/proc/{}", child.id()));
        drop(Running(child));
        assert!(!there.exists());
    }
}
