//! fio: the rows that are measured, one run, and the table of medians and ratios.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Runs;
use crate::process;

/// One row: what fio does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    mode: &'static str,
    block: &'static str,
    depth: u32,
    /// Writes between two fsyncs; 0: none.
    fsync: u32,
}

impl Row {
    /// fio's words for it, but for where and how long.
    pub(super) fn words(&self) -> Vec<String> {
        let Row { mode, block, depth, fsync, .. } = self;
        let common = ["--name=bench", "--output-format=json", "--randrepeat=1", "--group_reporting"];
        let own = [
            format!("--rw={mode}"),
            format!("--bs={block}"),
            format!("--iodepth={depth}"),
            format!("--fsync={fsync}"),
        ];
        common.map(str::to_owned).into_iter().chain(own).collect()
    }
}

const fn row(name: &'static str, mode: &'static str, block: &'static str, depth: u32) -> Row {
    Row { name, mode, block, depth, fsync: 0 }
}

const fn durable(name: &'static str, depth: u32, fsync: u32) -> Row {
    Row { name, mode: "randwrite", block: "4k", depth, fsync }
}

/// The rows of both benchmarks.
const ROWS: [Row; 11] = [
    row("4 KiB random read, depth 1", "randread", "4k", 1),
    row("4 KiB random read, depth 16", "randread", "4k", 16),
    row("4 KiB random read, depth 64", "randread", "4k", 64),
    row("4 KiB random write, depth 1", "randwrite", "4k", 1),
    row("4 KiB random write, depth 16", "randwrite", "4k", 16),
    row("4 KiB random write, depth 64", "randwrite", "4k", 64),
    row("128 KiB sequential read, depth 16", "read", "128k", 16),
    row("128 KiB sequential write, depth 16", "write", "128k", 16),
    durable("4 KiB random write, fsync each 1", 1, 1),
    durable("4 KiB random write, fsync each 8", 8, 8),
    durable("4 KiB random write, fsync each 64", 16, 64),
];

/// The rows whose names have one of these words in them; all where there are no words.
pub(super) fn rows(words: &[String]) -> Vec<Row> {
    let chosen = |row: &Row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()));
    ROWS.into_iter().filter(chosen).collect()
}

/// Something that is measured: its name, and fio's words for reaching it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) words: Vec<String>,
}

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Seconds(u32),
    Requests(u64),
}

/// One run's I/Os a second.
pub(super) fn once(peer: &Peer, row: Row, until: Until) -> Result<f64> {
    let mut fio = Command::new("fio");
    fio.args(row.words());
    match until {
        Until::Seconds(seconds) => fio.arg("--time_based").arg(format!("--runtime={seconds}")),
        Until::Requests(requests) => fio.arg(format!("--number_ios={requests}")),
    };
    fio.args(&peer.words);
    let text = process::output(&mut fio)?;
    let json: Value = serde_json::from_str(&text[text.find('{').context("fio gave no JSON")?..])?;
    let job = &json["jobs"][0];
    let iops = |way: &str| job[way]["iops"].as_f64().unwrap_or(0.0);
    Ok(iops("read") + iops("write"))
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Measures every row for ours and the peers in turn, and prints medians and ours / the best of the others.
pub(super) fn compare(ours: &Peer, others: &[Peer], runs: &Runs) -> Result<()> {
    let all: Vec<&Peer> = std::iter::once(ours).chain(others).collect();
    let head = all.iter().map(|p| format!("{:>12}", p.name)).collect::<String>();
    println!(
        "\n{:<36}{head}{:>9}   (medians of {} runs of {} s, I/O a second)",
        "", "ratio", runs.runs, runs.seconds
    );
    let mut product = 1.0_f64;
    let rows = rows(&runs.rows);
    for &row in &rows {
        let mut figures = vec![Vec::new(); all.len()];
        for _ in 0..runs.runs {
            for (peer, figures) in all.iter().zip(&mut figures) {
                figures.push(once(peer, row, Until::Seconds(runs.seconds))?);
            }
        }
        let medians: Vec<f64> = figures.into_iter().map(median).collect();
        let best = medians[1..].iter().copied().fold(1.0, f64::max);
        let ratio = medians[0] / best;
        product *= ratio;
        let shown = medians.iter().map(|m| format!("{m:>12.0}")).collect::<String>();
        println!("{:<36}{shown}{ratio:>9.2}", row.name);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few rows")]
    let mean = product.powf(1.0 / rows.len() as f64);
    println!("{:<36}{:>width$.2}", "geometric mean of the ratios", mean, width = 12 * all.len() + 9);
    Ok(())
}
