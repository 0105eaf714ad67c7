//! fio: the rows that are measured, one run, and the table of medians and ratios.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Runs;
use super::ratio::{Ratio, median};
use super::script::Script;
use super::spent::Spent;
use crate::{process, workspace};

/// One row: what fio does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    mode: &'static str,
    block_kib: u64,
    depth: u32,
    /// Writes between two flushes; 0: none.
    fsync: u32,
}

/// fio's words for a row, and the script that they may name.
pub(super) struct Load {
    pub(super) words: Vec<String>,
    _script: Option<Script>,
}

impl Row {
    /// How fio is told of it, but for its name, where, and how long. With flushes it ends after `writes`, at the latest.
    pub(super) fn load(&self, writes: u64) -> Result<Load> {
        let Row { mode, block_kib, depth, fsync, .. } = self;
        let depth = format!("--iodepth={depth}");
        if *fsync > 0 {
            let script = Script::write(writes, *fsync)?;
            return Ok(Load { words: vec![depth, script.words()], _script: Some(script) });
        }
        let words =
            vec!["--randrepeat=1".to_owned(), format!("--rw={mode}"), format!("--bs={block_kib}k"), depth];
        Ok(Load { words, _script: None })
    }

    /// KiB of one of its I/Os.
    pub(super) fn block_kib(&self) -> u64 {
        self.block_kib
    }
}

const fn row(name: &'static str, mode: &'static str, block_kib: u64, depth: u32) -> Row {
    Row { name, mode, block_kib, depth, fsync: 0 }
}

const fn durable(name: &'static str, depth: u32, fsync: u32) -> Row {
    Row { name, mode: "randwrite", block_kib: 4, depth, fsync }
}

/// The rows of both benchmarks.
const ROWS: [Row; 11] = [
    row("4 KiB random read, depth 1", "randread", 4, 1),
    row("4 KiB random read, depth 16", "randread", 4, 16),
    row("4 KiB random read, depth 64", "randread", 4, 64),
    row("4 KiB random write, depth 1", "randwrite", 4, 1),
    row("4 KiB random write, depth 16", "randwrite", 4, 16),
    row("4 KiB random write, depth 64", "randwrite", 4, 64),
    row("128 KiB sequential read, depth 16", "read", 128, 16),
    row("128 KiB sequential write, depth 16", "write", 128, 16),
    durable("4 KiB random write, fsync each 1", 1, 1),
    durable("4 KiB random write, fsync each 8", 8, 8),
    durable("4 KiB random write, fsync each 64", 16, 64),
];

/// The rows whose names have one of these words in them; all where there are no words.
pub(super) fn rows(words: &[String]) -> Vec<Row> {
    let chosen = |row: &Row| words.is_empty() || words.iter().any(|word| row.name.contains(word.as_str()));
    ROWS.into_iter().filter(chosen).collect()
}

/// The rows of one request at a time, chosen as [`rows`] does.
pub(super) fn one_at_a_time(words: &[String]) -> Vec<Row> {
    rows(words).into_iter().filter(|row| row.depth == 1 && row.fsync == 0).collect()
}

/// Something that is measured: its name, fio's words for reaching it, and its process where it has one of its own.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) words: Vec<String>,
    pub(super) server: Option<u32>,
}

/// What bounds a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Millis(u32),
    Requests(u64),
}

impl Until {
    /// As many as can be carried out until then, and more where that is a time.
    fn requests(self) -> u64 {
        match self {
            Self::Millis(millis) => u64::from(millis) * 64,
            Self::Requests(requests) => requests,
        }
    }
}

/// One run's I/Os a second.
pub(super) fn once(peer: &Peer, row: Row, until: Until) -> Result<f64> {
    let jobs = [peer];
    run(&jobs, row, until)?.first().map(|run| run.rate).context("fio told of no job")
}

/// What one run came to: I/Os, and how many a second.
struct Run {
    ios: f64,
    rate: f64,
}

/// Jobs that fio does one after another; one process, since starting it takes longer than a run.
fn run(jobs: &[&Peer], row: Row, until: Until) -> Result<Vec<Run>> {
    let mut fio = Command::new("fio");
    // Where it leaves what is printed before a run.
    fio.current_dir(workspace::target());
    let load = row.load(until.requests())?;
    fio.args(["--output-format=json", "--name=global"]).args(&load.words);
    match until {
        Until::Millis(millis) => fio.arg("--time_based").arg(format!("--runtime={millis}ms")),
        Until::Requests(requests) => fio.arg(format!("--number_ios={requests}")),
    };
    for peer in jobs {
        fio.args(["--name=bench", "--stonewall"]).args(&peer.words);
        if row.mode.ends_with("write") {
            // What others have left to be written back is not this one's.
            fio.arg("--exec_prerun=sync");
        }
    }
    let text = process::output(&mut fio)?;
    let json: Value = serde_json::from_str(&text[text.find('{').context("fio gave no JSON")?..])?;
    let told = json["jobs"].as_array().filter(|told| told.len() == jobs.len());
    let sum = |job: &Value, what| ["read", "write"].iter().filter_map(|way| job[way][what].as_f64()).sum();
    let run = |job| Run { ios: sum(job, "total_ios"), rate: sum(job, "iops") };
    Ok(told.context("fio told of other jobs than it was given")?.iter().map(run).collect())
}

/// Every peer's runs of a row. They take turns, each turn in an order of its own; before each run of writes what is dirty is
/// written back, or what one has left would slow down whoever comes next.
fn in_turn(peers: &[&Peer], row: Row, runs: &Runs) -> Result<Vec<Vec<Run>>> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut turn = || {
        let mut turn: Vec<usize> = (0..peers.len()).collect();
        random.shuffle(&mut turn);
        turn
    };
    let order: Vec<usize> = (0..runs.runs).flat_map(|_| turn()).collect();
    let jobs: Vec<&Peer> = order.iter().map(|peer| peers[*peer]).collect();
    let mut all: Vec<Vec<Run>> = peers.iter().map(|_| Vec::new()).collect();
    for (peer, run) in order.iter().zip(run(&jobs, row, Until::Millis(runs.millis))?) {
        all[*peer].push(run);
    }
    Ok(all)
}

/// Measures every row that was asked for, as [`compare_rows`] does.
pub(super) fn compare(ours: &Peer, others: &[Peer], runs: &Runs) -> Result<()> {
    compare_rows(rows(&runs.rows), ours, others, runs)
}

/// What each peer's server has taken until now.
fn spent(peers: &[&Peer]) -> Result<Option<Vec<Spent>>> {
    peers.iter().map(|peer| peer.server.map(Spent::by)).collect::<Option<Result<_>>>().transpose()
}

/// Prints what an I/O took of each server: it does not turn on where the scheduler puts anybody, nor on how fast fio is.
fn print_costs(before: &[Spent], after: &[Spent], runs: &[Vec<Run>]) {
    let an_io = |what: fn(Spent) -> f64| {
        let costs = before.iter().zip(after).zip(runs).map(|((before, after), runs)| {
            let ios: f64 = runs.iter().map(|run| run.ios).sum();
            format!("{:>13.2}", what(*after - *before) / ios.max(1.0))
        });
        costs.collect::<String>()
    };
    println!("{:<36}{}", "  server: us of processor an I/O", an_io(|spent| spent.processor_us));
    println!("{:<36}{}", "  server: KiB from the disk an I/O", an_io(|spent| spent.from_disk / 1024.0));
}

/// Measures these rows for ours and the peers in turn, and prints medians and ours / the best of the others.
pub(super) fn compare_rows(rows: Vec<Row>, ours: &Peer, others: &[Peer], runs: &Runs) -> Result<()> {
    let all: Vec<&Peer> = std::iter::once(ours).chain(others).collect();
    let head = all.iter().map(|p| format!("{:>13}", p.name)).collect::<String>();
    println!(
        "\n{:<36}{head}{:>18}   (medians of {} runs of {} ms, I/O a second; ratio with its 95 % interval)",
        "", "ratio", runs.runs, runs.millis
    );
    let mut ratios = Vec::new();
    for row in rows {
        let before = spent(&all)?;
        let told = in_turn(&all, row, runs)?;
        let after = spent(&all)?;
        let rates = |runs: &Vec<Run>| runs.iter().map(|run| run.rate).collect();
        let figures: Vec<Vec<f64>> = told.iter().map(rates).collect();
        let medians: Vec<f64> = figures.iter().cloned().map(median).collect();
        let best = (1..all.len()).max_by(|a, b| medians[*a].total_cmp(&medians[*b])).unwrap_or(0);
        let ratio = Ratio::of(&figures[0], &figures[best]);
        let shown = medians.iter().map(|m| format!("{m:>13.0}")).collect::<String>();
        println!("{:<36}{shown}{ratio:>18}", row.name);
        if let Some((before, after)) = before.zip(after) {
            print_costs(&before, &after, &told);
        }
        ratios.push(ratio);
    }
    println!(
        "{:<36}{:>width$}",
        "geometric mean of the ratios",
        Ratio::mean(&ratios),
        width = 13 * all.len() + 18
    );
    Ok(())
}
