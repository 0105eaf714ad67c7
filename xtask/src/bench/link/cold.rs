//! Reads of chunks that are elsewhere, one at a time, beside what the line itself needs.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Arguments, Bench};
use crate::wan::{self, TCP_HEADERS, show_time};
use crate::{process, workspace};

/// A chunk, as disks have it unless told otherwise.
const CHUNK: f64 = 131_072.0;

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    a.wandisk(&["move", "d", "--to", "b"])?;
    let report = b.ask(&["attach", "d", "--nbd", "--prefetch", "off"])?;
    let uri = report["uri"].as_str().context("attach names no URI")?.to_owned();
    let round = wan::ping(&b.side(), &a.side())?;
    let mtu = f64::from(arguments.wan.mtu);
    let sending = CHUNK * 8.0 * mtu / (mtu - TCP_HEADERS) / arguments.wan.rate as f64;
    let least = round + Duration::from_secs_f64(sending);
    println!(
        "the line: round trip {} + a chunk's sending {} = {}",
        show_time(round),
        show_time(Duration::from_secs_f64(sending)),
        show_time(least)
    );
    println!("{:<32}{:>8}{:>14}{:>14}{:>14}", "reads of 128 KiB", "reads", "median", "90 %", "over the line");
    // Each has a part of the disk of its own: no chunk is met twice.
    let part = (arguments.size / 3) >> 20 << 20;
    // Until all connections are there, a link is not warm: two turns of logins. A pause of a second is longer than TCP's
    // time-outs: it begins slowly again.
    let parts = [("warming", 60, 0), ("one after the other", 60, 0), ("after a second's pause", 20, 1)];
    for (at, (name, count, pause)) in (0..).zip(parts) {
        let (half, most) = reads(&uri, at * part..(at + 1) * part, count, pause)?;
        let over = half.as_secs_f64() - least.as_secs_f64();
        println!("{name:<32}{count:>8}{:>14}{:>14}{:>11.2} ms", show_time(half), show_time(most), over * 1e3);
    }
    b.ask(&["detach", "d"])?;
    Ok(())
}

/// The median and the 90th percentile of so many reads of different chunks in the range.
fn reads(uri: &str, range: Range<u64>, count: u32, pause: u32) -> Result<(Duration, Duration)> {
    let log = workspace::target().join(format!("cold-{}", std::process::id()));
    let mut fio = Command::new("fio");
    fio.args(["--name=cold", "--ioengine=nbd", "--rw=randread", "--bs=128k", "--iodepth=1"]);
    fio.arg(format!("--uri={uri}")).arg(format!("--number_ios={count}"));
    fio.arg(format!("--offset={}", range.start)).arg(format!("--size={}", range.end - range.start));
    // Its percentiles are of classes that are milliseconds wide; its log tells each read to the nanosecond.
    fio.arg(format!("--write_lat_log={}", log.display())).arg("--output=/dev/null");
    if pause > 0 {
        fio.arg(format!("--thinktime={pause}s")).arg("--thinktime_blocks=1");
    }
    process::output(&mut fio)?;
    let mut times = Vec::new();
    for kind in ["lat", "clat", "slat"] {
        let file = PathBuf::from(format!("{}_{kind}.1.log", log.display()));
        if kind == "lat" {
            let text = fs::read_to_string(&file).context("fio told no latencies")?;
            times.extend(text.lines().filter_map(|line| line.split(',').nth(1)?.trim().parse::<u64>().ok()));
        }
        fs::remove_file(file).ok();
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 10).copied().map(Duration::from_nanos);
    Ok((at(5).context("fio told no latency")?, at(9).context("fio told no latency")?))
}
