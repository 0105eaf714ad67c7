//! The steps of a run: one line each with its time, and at the end everything that failed.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use super::tally::Tally;
use crate::process::span;

/// The steps so far.
#[derive(Debug)]
pub(super) struct Report {
    started: Instant,
    steps: u32,
    failed: Vec<String>,
    tally: Tally,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), steps: 0, failed: Vec::new(), tally: Tally::default() }
    }

    /// Runs one step: it is passed when it says `true`. Whether it did.
    pub(super) fn step(&mut self, name: &str, run: impl FnOnce(&mut Tally) -> Result<bool>) -> bool {
        let started = Instant::now();
        self.steps += 1;
        let mut tally = Tally::default();
        let result = run(&mut tally);
        let passed = matches!(result, Ok(true));
        if let Err(error) = &result {
            println!("{error:#}");
        }
        let tests = if tally.total() > 0 { format!(", {tally}") } else { String::new() };
        let verdict = if passed { "ok    " } else { "FAILED" };
        println!("== {verdict} {name} ({}{tests})", span(started.elapsed()));
        if !passed {
            self.failed.push(name.to_owned());
        }
        self.tally.add(&tally);
        passed
    }

    /// Prints the end of the run; its exit code.
    pub(super) fn close(self) -> ExitCode {
        for name in &self.failed {
            println!("== failed step: {name}");
        }
        // Not in the words of libtest or nextest: whoever adds up their lines must not count twice.
        let verdict = if self.failed.is_empty() { "PASSED" } else { "FAILED" };
        println!(
            "== {verdict}: tests: {}; steps: {} of {} failed; time: {}",
            self.tally,
            self.failed.len(),
            self.steps,
            span(self.started.elapsed())
        );
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
