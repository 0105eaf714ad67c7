//! Reads of chunks that are elsewhere, one at a time, beside what the line itself needs.

use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Arguments, Bench};
use crate::process;
use crate::wan::{self, TCP_HEADERS, show_time};

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
    // A pause of a second is longer than TCP's time-outs: it begins slowly again.
    let parts = [("warming", 20, 0), ("one after the other", 60, 0), ("after a second's pause", 20, 1)];
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
    let mut fio = Command::new("fio");
    fio.args(["--name=cold", "--ioengine=nbd", "--rw=randread", "--bs=128k", "--iodepth=1"]);
    fio.args(["--output-format=json", "--percentile_list=50:90"]);
    fio.arg(format!("--uri={uri}")).arg(format!("--number_ios={count}"));
    fio.arg(format!("--offset={}", range.start)).arg(format!("--size={}", range.end - range.start));
    if pause > 0 {
        fio.arg(format!("--thinktime={pause}s")).arg("--thinktime_blocks=1");
    }
    let said = process::output(&mut fio)?;
    // Remarks may stand before it.
    let report = said.find('{').map_or("", |at| &said[at..]);
    let report: Value = serde_json::from_str(report).with_context(|| format!("fio gave no JSON: {said}"))?;
    let latency = &report["jobs"][0]["read"]["clat_ns"]["percentile"];
    let at = |key: &str| latency[key].as_u64().map(Duration::from_nanos).context("fio told no latency");
    Ok((at("50.000000")?, at("90.000000")?))
}
