//! `sync` of a disk that both sites have, after some of its blocks were written, beside rsync and bdsync.
//!
//! Room is needed for three images: the disk at either site, and the copy that rsync and bdsync bring the first one to, each
//! after blocks of its own were written. The second site gets its bytes from a file, not over the line.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median};
use crate::process;
use crate::sites::PORT;
use crate::wan::show_time;

/// One block of this many is written.
const ONE_OF: u64 = 100;
/// Away from the seeds of runs: the blocks that bdsync gets.
const SECOND: u64 = 1000;

/// The peers, as they are shown.
const OURS: &str = "wandisk sync";
const RSYNC: &str = "rsync --inplace -z";
const BDSYNC: &str = "bdsync | gzip -1";

/// Seconds, and bytes on the wire both ways, of each run.
#[derive(Default)]
struct Row {
    seconds: Vec<f64>,
    bytes: Vec<f64>,
}

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let copy = &bench.image;
    let (a, b) = (&bench.sites.a, &bench.sites.b);
    let shipped = copy.to_str().context("the folder's path is no UTF-8")?;
    let image = &a.data("d");
    // There and back: the second site has the table then, and what was shipped to it is compared with the first.
    a.ask(&["move", "d", "--to", "b"])?;
    b.ask(&["move", "d", "--to", "a"])?;
    b.ask(&["import", "d", shipped])?;
    a.ask(&["sync", "d", "--site", "b"])?;
    let report = a.ask(&["attach", "d", "--nbd"])?;
    let uri = report["uri"].as_str().context("attach names no URI")?.to_owned();
    let bdsync_program = process::find("bdsync");
    if bdsync_program.is_none() && !arguments.alone {
        println!("bdsync is not installed: it is left out");
    }
    let remote = format!("ssh -F {} -p {PORT}", a.ssh_config.display());
    let host = format!("root@{}", b.address);
    let (mut ours, mut rsync, mut bdsync) = (Row::default(), Row::default(), Row::default());
    let changed = (arguments.size / ONE_OF) & !0xfff;
    for run in 1..=arguments.runs {
        let seed = arguments.wan.seed + run as u64;
        write(&uri, arguments.size, changed, seed)?;
        time(bench, OURS, &mut ours, || {
            let report = a.ask(&["sync", "d", "--site", "b"])?;
            if report["missing"] != 0 {
                bail!("the sync is not whole: {report}");
            }
            Ok(())
        })?;
        if arguments.alone {
            continue;
        }
        time(bench, RSYNC, &mut rsync, || {
            let mut rsync = a.inside("rsync");
            rsync.args(["--inplace", "--no-whole-file", "--ignore-times", "-z", "-e", &remote]);
            rsync.arg(image).arg(format!("{host}:{}", copy.display()));
            process::output(&mut rsync).map(drop)
        })?;
        is_right(image, copy).context("rsync's")?;
        if let Some(program) = &bdsync_program {
            write(&uri, arguments.size, changed, seed + SECOND)?;
            time(bench, BDSYNC, &mut bdsync, || {
                let (from, to, program) = (image.display(), copy.display(), program.display());
                let script = format!(
                    "set -o pipefail; {program} '{remote} {host} {program} --server' {from} {to} | gzip -1 | {remote} {host} 'gunzip | {program} --patch={to}'"
                );
                process::output(a.inside("bash").args(["-c", &script])).map(drop)
            })?;
            is_right(image, copy).context("bdsync's")?;
            // The next run's blocks are its own.
            a.ask(&["sync", "d", "--site", "b"])?;
        }
    }
    println!(
        "\n{:<20}{:>12}{:>16}{:>20}",
        format!("{changed} bytes new"),
        "time",
        "on the wire",
        "of what is new"
    );
    for (name, row) in [(OURS, &mut ours), (RSYNC, &mut rsync), (BDSYNC, &mut bdsync)] {
        if row.seconds.is_empty() {
            continue;
        }
        let (seconds, bytes) = (median(&mut row.seconds), median(&mut row.bytes));
        let took = show_time(std::time::Duration::from_secs_f64(seconds));
        println!("{name:<20}{took:>12}{bytes:>16.0}{:>20.3}", bytes / changed as f64);
    }
    a.ask(&["detach", "d"])?;
    Ok(())
}

/// Runs it, notes what it took, and says so: a run over a large disk takes minutes.
fn time(bench: &Bench, name: &str, row: &mut Row, what: impl FnOnce() -> Result<()>) -> Result<()> {
    let (before, began) = (bench.sites.moved()?, Instant::now());
    what()?;
    let (seconds, bytes) = (began.elapsed().as_secs_f64(), (bench.sites.moved()? - before) as f64);
    println!("{name:<20}{seconds:>10.2} s{bytes:>14.0} bytes");
    row.seconds.push(seconds);
    row.bytes.push(bytes);
    Ok(())
}

/// A copy is judged by every byte.
fn is_right(image: &Path, copy: &Path) -> Result<()> {
    process::output(Command::new("cmp").arg(image).arg(copy)).context("the copy is not right").map(drop)
}

/// Writes so many bytes in 4 KiB blocks at random places of an export, no place twice; the same places for the same seed.
fn write(uri: &str, size: u64, changed: u64, seed: u64) -> Result<()> {
    let mut fio = Command::new("fio");
    fio.args(["--name=change", "--rw=randwrite", "--bs=4k", "--refill_buffers", "--end_fsync=1"]);
    fio.args([
        "--ioengine=nbd",
        "--output=/dev/null",
        &format!("--uri={uri}"),
        &format!("--randseed={seed}"),
    ]);
    fio.arg(format!("--size={size}")).arg(format!("--io_size={changed}"));
    process::output(&mut fio).map(drop)
}
