//! How long writes wait while `status` and `map` are asked without a pause, of a disk all of whose chunks are written.
//!
//! Every write is the first one to its chunk (random ones, far fewer than chunks), so each needs what a look at all rows holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Bench, CHUNKS, ended};
use crate::process;

/// How long writes go on.
const WRITES_FOR: Duration = Duration::from_secs(5);
/// What fio tells, in nanoseconds: the middle one, the slowest of a hundred, of a thousand.
const SHARES: [&str; 3] = ["50.000000", "99.000000", "99.900000"];

/// One run's waits, in milliseconds, and how often was asked.
struct Waits {
    shares: [f64; SHARES.len()],
    longest: f64,
    writes: u64,
    asked: u64,
}

/// Measures this build, and another one if there is one.
pub(super) fn measure(bench: &Bench, full_gib: u64, runs: usize, beside: Option<&Path>) -> Result<()> {
    println!(
        "{:<18}{:<16}{:>10}{:>10}{:>10}{:>12}{:>10}{:>8}",
        "a write waits, ms", "asked", "50 %", "99 %", "99.9 %", "longest", "writes", "asked"
    );
    let programs: Vec<(&str, PathBuf)> = std::iter::once(("this build", bench.program.clone()))
        .chain(beside.map(|program| ("the other build", program.to_owned())))
        .collect();
    for run in 0..runs {
        for (name, program) in &programs {
            let disk =
                bench.disk(&format!("{}-{run}", name.replace(' ', "-")), full_gib, full_gib * CHUNKS)?;
            for words in [None, Some("status"), Some("map")] {
                let waits = bench.waits(program, &disk, words)?;
                let [half, most, nearly_all] = waits.shares;
                println!(
                    "{name:<18}{:<16}{half:>10.3}{most:>10.3}{nearly_all:>10.3}{:>12.3}{:>10}{:>8}",
                    words.unwrap_or("nothing"),
                    waits.longest,
                    waits.writes,
                    waits.asked
                );
            }
            process::output(
                Command::new(program).arg("--home").arg(bench.home("a")).args(["rm", &disk, "--force"]),
            )?;
        }
    }
    Ok(())
}

impl Bench {
    fn waits(&self, program: &Path, disk: &str, words: Option<&str>) -> Result<Waits> {
        let wandisk = || {
            let mut command = Command::new(program);
            command.arg("--json").arg("--home").arg(self.home("a"));
            command
        };
        let report = process::output(wandisk().args(["attach", disk, "--nbd"]))?;
        let report: Value = serde_json::from_str(&report)?;
        let uri = report["uri"].as_str().context("attach names no URI")?;
        let pid = report["pid"].as_u64().context("attach names no keeper")?;
        let mut fio = Command::new("fio");
        fio.args([
            "--name=waits",
            "--ioengine=nbd",
            "--rw=randwrite",
            "--bs=4k",
            "--iodepth=1",
            "--norandommap",
        ]);
        fio.args(["--time_based", "--output-format=json", "--randrepeat=0", &format!("--uri={uri}")]);
        fio.arg(format!("--runtime={}", WRITES_FOR.as_secs()));
        let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        let text = std::thread::scope(|scope| {
            let asking = scope.spawn(|| -> Result<()> {
                while let Some(words) = words.filter(|_| !over.load(Ordering::Relaxed)) {
                    process::output(wandisk().args([words, disk]))?;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
            let text = process::output(&mut fio);
            over.store(true, Ordering::Relaxed);
            asking.join().map_err(|_| anyhow::anyhow!("the asking thread panicked"))??;
            text
        })?;
        let told: Value = serde_json::from_str(&text[text.find('{').context("fio gave no JSON")?..])?;
        let told = &told["jobs"][0]["write"];
        let latency = &told["clat_ns"];
        let ms = |value: &Value| value.as_f64().map(|ns| ns / 1e6).context("fio tells no latency");
        let mut shares = [0.0; SHARES.len()];
        for (share, at) in SHARES.iter().zip(&mut shares) {
            *at = ms(&latency["percentile"][share])?;
        }
        let writes = told["total_ios"].as_u64().context("fio tells no writes")?;
        let waits = Waits { shares, longest: ms(&latency["max"])?, writes, asked: asked.into_inner() };
        process::output(wandisk().args(["detach", disk]))?;
        ended(pid)?;
        Ok(waits)
    }
}
