//! The steps of a run: one line each with its time, and at the end everything that failed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::output::Output;
use super::tally::Tally;
use crate::process::span;

/// A step that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) took: Duration,
    /// It is passed when this is `true`.
    pub(super) result: Result<bool>,
    pub(super) output: Output,
}

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

    /// Runs one step while nothing else runs: it is passed when it says `true`. Whether it did.
    pub(super) fn step(&mut self, name: &str, run: impl FnOnce(&mut Output) -> Result<bool>) -> bool {
        let began = Instant::now();
        let mut output = Output::new(true);
        let result = run(&mut output);
        self.ended(Ended { name: name.to_owned(), took: began.elapsed(), result, output })
    }

    /// Tells of a step what was not shown yet. Whether it passed.
    pub(super) fn ended(&mut self, step: Ended) -> bool {
        let (kept, tally) = step.output.end();
        print!("{kept}");
        self.steps += 1;
        let passed = matches!(step.result, Ok(true));
        if let Err(error) = &step.result {
            println!("{error:#}");
        }
        let tests = if tally.total() > 0 { format!(", {tally}") } else { String::new() };
        let verdict = if passed { "ok    " } else { "FAILED" };
        println!("== {verdict} {} ({}{tests})", step.name, span(step.took));
        if !passed {
            self.failed.push(step.name);
        }
        self.tally.add(&tally);
        passed
    }

    /// The names of those that failed.
    pub(super) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// The numbers of tests and steps.
    pub(super) fn summary(&self) -> String {
        format!("tests: {}; steps: {} of {} failed", self.tally, self.failed.len(), self.steps)
    }

    /// Prints the end of the run; its exit code.
    pub(super) fn close(self) -> ExitCode {
        for name in self.failed() {
            println!("== failed step: {name}");
        }
        // Not in the words of libtest or nextest: whoever adds up their lines must not count twice.
        let verdict = if self.failed.is_empty() { "PASSED" } else { "FAILED" };
        println!("== {verdict}: {}; time: {}", self.summary(), span(self.started.elapsed()));
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
