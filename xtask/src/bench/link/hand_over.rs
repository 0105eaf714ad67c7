//! The hand-over of a large sparse disk of which many chunks have changed since the other site was complete.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::process;
use crate::wan::{self, show_time};

/// The disk, and how many of its chunks are written between two hand-overs.
const SIZE: &str = "1T";
const CHANGED: usize = 10_000;

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    a.wandisk(&["create", "large", "--size", SIZE])?;
    let (mut freeze, mut bytes, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    let round = wan::ping(&a.side(), &b.side())?;
    for run in 0..=arguments.runs {
        let report = a.ask(&["attach", "large", "--nbd"])?;
        let uri = report["uri"].as_str().context("attach names no URI")?;
        let mut fio = Command::new("fio");
        fio.args(["--name=change", "--ioengine=nbd", "--rw=randwrite", "--bs=4k", "--blockalign=128k"]);
        fio.args(["--iodepth=16", "--output=/dev/null", "--norandommap", "--end_fsync=1"]);
        // The same chunks each time: the other site has rows of all of them.
        fio.arg(format!("--uri={uri}")).arg("--size=1t").arg(format!("--number_ios={CHANGED}"));
        process::output(&mut fio)?;
        if run == 0 {
            // What was never given away keeps its version when it is written again: that would be no change.
            a.ask(&["sync", "large", "--site", "b"])?;
            a.ask(&["detach", "large"])?;
            continue;
        }
        let before = bench.sites.moved()?;
        let moved = a.ask(&["move", "large", "--to", "b"])?;
        wire.push((bench.sites.moved()? - before) as f64);
        let number = |key: &str| moved[key].as_f64().with_context(|| format!("move told no {key}: {moved}"));
        if number("rows")? < CHANGED as f64 * 0.95 {
            bail!("too few chunks changed: {moved}");
        }
        freeze.push(number("freeze_ms")?);
        bytes.push(number("bytes")?);
        println!("run {run}: {moved}");
        b.ask(&["move", "large", "--to", "a"])?;
        a.ask(&["sync", "large", "--site", "b"])?;
    }
    let [freeze, bytes, wire] = [&mut freeze, &mut bytes, &mut wire].map(|all| median(all));
    println!("\nround trip {}; {CHANGED} chunks of a disk of {SIZE} changed", show_time(round));
    println!("writes held: {freeze:.1} ms = {:.2} round trips", freeze / 1e3 / round.as_secs_f64());
    println!(
        "rows: {bytes:.0} bytes, {:.1} a chunk; on the wire, both ways: {wire:.0}",
        bytes / CHANGED as f64
    );
    Ok(())
}
