//! SSH from inside the process beside the `ssh` program: `sync` of a disk never seen over either.
//!
//! The processor time is the whole machine's: both ends, the programs of the links, and the line itself, which is the same for both.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::sites::PORT;
use crate::wan::show_rate;

/// Hundredths of a second: what `/proc/stat` counts in (`man 5 proc_stat`).
const TICK: f64 = 0.01;

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    let host = format!("root@{}", b.address);
    let ways = [
        ("ssh:// (libssh2)", format!("ssh://{host}:{PORT}")),
        ("cmd:ssh", format!("cmd:ssh -F {} -p {PORT} {host}", a.ssh_config.display())),
    ];
    let size = arguments.size as f64;
    let (mut rates, mut costs): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
    for run in 1..=arguments.runs {
        for (at, (name, address)) in ways.iter().enumerate() {
            a.forgets(b)?;
            a.knows(b, address)?;
            let (before, began) = (busy_seconds()?, Instant::now());
            let report = a.ask(&["sync", "d", "--site", "b"])?;
            let took = began.elapsed().as_secs_f64();
            if report["missing"] != 0 {
                bail!("the sync is not whole: {report}");
            }
            rates[at].push(size * 8.0 / took);
            costs[at].push((busy_seconds()? - before) / (size / f64::from(1 << 30)));
            println!(
                "run {run}: {name:<20}{:>14}{:>8.1} s a GiB",
                show_rate(rates[at][run - 1]),
                costs[at][run - 1]
            );
            // Ends the session, too: the next one is dialled by the address that is known then.
            b.ask(&["rm", "d", "--replica-only"])?;
        }
    }
    println!("\n{:<20}{:>14}{:>22}", "medians", "of the disk", "processor s a GiB");
    for ((name, _), (rate, cost)) in ways.iter().zip(rates.iter_mut().zip(&mut costs)) {
        println!("{name:<20}{:>14}{:>22.1}", show_rate(median(rate)), median(cost));
    }
    Ok(())
}

/// Seconds of all processors that were not idle, since the machine began.
fn busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line =
        text.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat is another")?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, …
    let busy = ticks.iter().enumerate().filter(|(at, _)| [0, 1, 2, 5, 6].contains(at));
    Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() * TICK)
}
