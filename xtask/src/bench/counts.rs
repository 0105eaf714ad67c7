//! What one I/O costs its server, counted by the kernel: system calls, ring entries, hand-overs to a worker thread,
//! copies of the data, context switches.
//!
//! Entries, workers and copies are the server's own. How many calls and switches there are also turns on how many requests have
//! come by the time it is awake, which differs from one run of the same server to the next: so the peers take turns, and a ratio
//! has its interval.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use serde_json::Value;

use super::fio::{Peer, Row};
use super::ratio::{Ratio, mean};
use crate::process;

const TRACING: &str = "/sys/kernel/tracing";

/// What is counted: the event, and the column's head.
const EVENTS: [(&str, &str); 6] = [
    ("raw_syscalls:sys_enter", "syscalls"),
    ("io_uring:io_uring_submit_req", "entries"),
    ("io_uring:io_uring_queue_async_work", "workers"),
    ("context-switches", "switches"),
    // Microseconds of processor: printed by perf in milliseconds.
    ("task-clock", "cpu us"),
    ("", "copies"),
];

/// I/Os of a turn.
const TURN: u64 = 4000;

/// Functions of the kernel that move a request's bytes once: between request and server, out of the page cache, into it.
const COPIES: [&str; 3] = ["ublk_copy_user_pages", "filemap_read", "generic_perform_write"];

/// Lets the kernel count copies.
pub(super) fn prepare() -> Result<()> {
    if !Path::new(TRACING).join("events").exists() {
        process::output(Command::new("mount").args(["-t", "tracefs", "tracefs", TRACING]))?;
    }
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    for function in COPIES {
        // The compiler may have given it a suffix, as in `name.isra.0`.
        let is_it = |symbol: &&str| symbol.split('.').next() == Some(function) && !symbol.ends_with(".cold");
        let symbol = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).find(is_it);
        let symbol = symbol.with_context(|| format!("this kernel has no function {function}"))?;
        let probe = format!("p:copies/{function} {symbol}");
        let file = Path::new(TRACING).join("kprobe_events");
        let mut events = fs::OpenOptions::new().append(true).open(file)?;
        std::io::Write::write_all(&mut events, probe.as_bytes())
            .with_context(|| format!("the kernel does not watch {symbol}"))?;
    }
    Ok(())
}

/// The process that runs this program.
pub(super) fn process_of(program: &Path) -> Result<String> {
    for entry in fs::read_dir("/proc")?.flatten() {
        if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program)
            && let Ok(name) = entry.file_name().into_string()
        {
            return Ok(name);
        }
    }
    bail!("no process runs {}", program.display())
}

/// What one I/O cost, by event.
type Costs = [f64; EVENTS.len()];

/// Counts each row for ours and a peer in turn, both named with their processes, and prints what one I/O cost.
pub(super) fn compare(peers: &[(Peer, String); 2], rows: &[Row], turns: usize) -> Result<()> {
    let head = EVENTS.map(|(_, head)| format!("{head:>18}")).concat();
    println!(
        "\n{:<36}{:<14}{head}   (an I/O, {turns} turns of {TURN} I/Os; ratios with their 95 % intervals)",
        "", ""
    );
    for &row in rows {
        let mut costs: [Vec<Costs>; 2] = [const { Vec::new() }; 2];
        for turn in 0..turns {
            // Who was first in one turn is second in the next.
            for at in [turn % 2, 1 - turn % 2] {
                let (peer, pid) = &peers[at];
                costs[at].push(cost(peer, pid, row)?);
            }
        }
        let of = |at: usize, event: usize| costs[at].iter().map(|costs| costs[event]).collect::<Vec<f64>>();
        let shown = |show: &dyn Fn(usize) -> String| {
            (0..EVENTS.len()).map(|event| format!("{:>18}", show(event))).collect::<String>()
        };
        for (at, (peer, _)) in peers.iter().enumerate() {
            let means = shown(&|event| format!("{:.2}", mean(&of(at, event))));
            println!("{:<36}{:<14}{means}", row.name, peer.name);
        }
        let ratio = shown(&|event| Ratio::of_means(&of(0, event), &of(1, event)).to_string());
        println!("{:<36}{:<14}{ratio}", "", "ratio");
    }
    Ok(())
}

fn cost(peer: &Peer, pid: &str, row: Row) -> Result<Costs> {
    let copies: Vec<String> = COPIES.iter().map(|function| format!("copies:{function}")).collect();
    let events: Vec<&str> = EVENTS
        .iter()
        .map(|(event, _)| *event)
        .filter(|event| !event.is_empty())
        .chain(copies.iter().map(String::as_str))
        .collect();
    let said = Path::new("/run/counted");
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ",", "-e", &events.join(","), "-p", pid, "-o"]).arg(said).arg("--");
    let load = row.load(TURN)?;
    perf.args(["fio", "--output-format=json", "--name=bench"]).args(&load.words);
    // More than the disk's size goes round it again; a number of I/Os would end there.
    perf.arg(format!("--io_size={}k", TURN * row.block_kib())).args(&peer.words);
    let ran = process::output(&mut perf)?;
    let requests = requests(&ran)?;
    let text = fs::read_to_string(said)?;
    let count = |event: &str| -> Result<f64> {
        let line = text.lines().find(|line| line.contains(event));
        let value = line.and_then(|line| line.split(',').next()).and_then(|value| value.parse::<f64>().ok());
        value.with_context(|| format!("perf did not count {event}: {text}"))
    };
    let mut costs = [0.0; EVENTS.len()];
    for ((event, _), cost) in EVENTS.iter().zip(&mut costs) {
        *cost = match *event {
            "" => copies.iter().map(|event| count(event)).sum::<Result<f64>>()?,
            "task-clock" => count(event)? * 1000.0,
            _ => count(event)?,
        } / requests;
    }
    Ok(costs)
}

/// How many I/Os fio did.
fn requests(said: &str) -> Result<f64> {
    let json: Value = serde_json::from_str(&said[said.find('{').context("fio gave no JSON")?..])?;
    let of = |way: &str| json["jobs"][0][way]["total_ios"].as_f64().unwrap_or(0.0);
    let requests = of("read") + of("write");
    if requests < 1.0 {
        bail!("fio told of no I/O");
    }
    Ok(requests)
}
