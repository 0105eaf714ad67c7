//! What one I/O costs its server, counted by the kernel: system calls, ring entries, hand-overs to a worker thread,
//! copies of the data, context switches. Unlike speed, these do not depend on what else the machine does.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::fio::{Peer, Row};
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

/// Counts a row for every peer, named with its process, and prints what one I/O cost.
pub(super) fn compare(peers: &[(Peer, String)], rows: &[Row], requests: u64) -> Result<()> {
    let head = EVENTS.map(|(_, head)| format!("{head:>10}")).concat();
    println!("\n{:<36}{:<14}{head}   (an I/O, {requests} I/Os)", "", "");
    for &row in rows {
        for (peer, pid) in peers {
            let costs = cost(peer, pid, row, requests)?;
            let shown = costs.map(|cost| format!("{cost:>10.2}")).concat();
            println!("{:<36}{:<14}{shown}", row.name, peer.name);
        }
    }
    Ok(())
}

fn cost(peer: &Peer, pid: &str, row: Row, requests: u64) -> Result<[f64; EVENTS.len()]> {
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
    perf.args(["fio", "--name=bench"])
        .args(row.words())
        .arg(format!("--number_ios={requests}"))
        .args(&peer.words);
    process::output(&mut perf)?;
    let text = fs::read_to_string(said)?;
    let count = |event: &str| -> Result<f64> {
        let line = text.lines().find(|line| line.contains(event));
        let value = line.and_then(|line| line.split(',').next()).and_then(|value| value.parse::<f64>().ok());
        value.with_context(|| format!("perf did not count {event}: {text}"))
    };
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let requests = requests as f64;
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
