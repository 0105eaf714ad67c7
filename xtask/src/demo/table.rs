//! The table at the end: what each step moved and how long it took.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process;

/// One step.
#[derive(Debug)]
struct Row {
    step: String,
    bytes: u64,
    time: Duration,
    note: String,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Does a step, says so, and notes it: `moved` tells the bytes that went between the sites so far.
    pub(super) fn step(
        &mut self,
        step: &str,
        mut moved: impl FnMut() -> Result<u64>,
        work: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        println!("\n== {step}");
        let (before, began) = (moved()?, Instant::now());
        let note = work()?;
        let time = began.elapsed();
        let bytes = moved()?.saturating_sub(before);
        if !note.is_empty() {
            println!("   {note}");
        }
        self.rows.push(Row { step: step.to_owned(), bytes, time, note });
        Ok(())
    }

    /// Prints all of it.
    pub(super) fn print(&self) {
        let wide = self.rows.iter().map(|r| r.step.len()).max().unwrap_or(0);
        println!("\n{:<wide$}  {:>10}  {:>12}  what", "step", "between", "time");
        for row in &self.rows {
            println!(
                "{:<wide$}  {:>10}  {:>12}  {}",
                row.step,
                bytes(row.bytes),
                process::span(row.time),
                row.note
            );
        }
    }
}

/// Bytes as a person reads them.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
