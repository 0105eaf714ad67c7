//! What size costs: the time to create and attach, and the keeper's memory, by chunks of the disk and chunks written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, setup, workspace};

/// How large.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Scale {
    /// Gibibytes of the disk that is empty.
    #[arg(long, default_value_t = 1024)]
    empty_gib: u64,
    /// Gibibytes of the disk in whose every chunk 4 KiB are written; needs a thirty-second of it on the file system.
    #[arg(long, default_value_t = 128)]
    written_gib: u64,
}

/// The default chunk.
const CHUNK: u64 = 128 << 10;
/// Chunks of one gibibyte.
const CHUNKS: u64 = (1 << 30) / CHUNK;

/// A home with the program that serves it.
struct Bench {
    program: PathBuf,
    home: PathBuf,
}

impl Bench {
    fn wandisk(&self, args: &[&str]) -> Result<(String, Duration)> {
        let began = Instant::now();
        let output = process::output(
            Command::new(&self.program).arg("--json").arg("--home").arg(&self.home).args(args),
        )?;
        Ok((output, began.elapsed()))
    }

    /// Detaches, and waits until the keeper has ended: the next one begins with what is on disk.
    fn detach(&self, disk: &str) -> Result<()> {
        let (status, _) = self.wandisk(&["status", disk])?;
        let status: Value = serde_json::from_str(&status)?;
        let pid = status["pid"].as_u64().context("status names no keeper")?;
        self.wandisk(&["detach", disk])?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Path::new(&format!("/proc/{pid}")).exists() {
            if Instant::now() > deadline {
                bail!("the keeper of {disk} does not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Attaches; gives the URI, the time, and the keeper's memory in bytes.
    fn attach(&self, disk: &str) -> Result<(String, Duration, u64)> {
        let (report, took) = self.wandisk(&["attach", disk, "--nbd"])?;
        let report: Value = serde_json::from_str(&report)?;
        let uri = report["uri"].as_str().context("attach names no URI")?.to_owned();
        let pid = report["pid"].as_u64().context("attach names no keeper")?;
        Ok((uri, took, memory(pid)?))
    }
}

/// Resident memory without pages of files, in bytes.
fn memory(pid: u64) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|l| l.strip_prefix("RssAnon:")).context("the kernel tells no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

fn folder() -> Result<PathBuf> {
    let dir = workspace::target().join("bench-scale");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn fill(uri: &str, gib: u64) -> Result<()> {
    let chunks = gib * CHUNKS;
    let mut fio = Command::new("fio");
    fio.args([
        "--name=fill",
        "--ioengine=nbd",
        "--rw=write:124k",
        "--bs=4k",
        "--iodepth=32",
        "--output=/dev/null",
    ]);
    fio.arg(format!("--uri={uri}")).arg(format!("--size={gib}g")).arg(format!("--number_ios={chunks}"));
    process::output(&mut fio).map(drop)
}

/// Measures.
pub(super) fn measure(scale: &Scale) -> Result<()> {
    setup::ensure_all()?;
    process::run(workspace::cargo().args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    let dir = folder()?;
    let bench = Bench { program: workspace::target().join("release/wandisk"), home: dir.join("home") };
    bench.wandisk(&["init", "--site", "bench"])?;
    let result = sizes(&bench, scale);
    for disk in ["small", "empty", "written"] {
        bench.wandisk(&["detach", disk]).ok();
    }
    remove(&dir)?;
    result
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

fn sizes(bench: &Bench, scale: &Scale) -> Result<()> {
    println!("{:<44}{:>10}{:>10}{:>12}", "disk", "create", "attach", "memory");
    let row = |name: &str, create: Duration, attach: Duration, memory: u64| {
        let mib = memory as f64 / f64::from(1 << 20);
        println!("{name:<44}{:>8.2} s{:>8.2} s{mib:>8.1} MiB", create.as_secs_f64(), attach.as_secs_f64());
    };
    let (_, create) = bench.wandisk(&["create", "small", "--size", "1M"])?;
    let (_, attach, base) = bench.attach("small")?;
    row("1 MiB", create, attach, base);

    let size = format!("{}G", scale.empty_gib);
    let (_, create) = bench.wandisk(&["create", "empty", "--size", &size])?;
    let (_, attach, memory) = bench.attach("empty")?;
    row(&format!("{} GiB, nothing written", scale.empty_gib), create, attach, memory);

    let size = format!("{}G", scale.written_gib);
    let (_, create) = bench.wandisk(&["create", "written", "--size", &size])?;
    let (uri, _, _) = bench.attach("written")?;
    fill(&uri, scale.written_gib)?;
    bench.detach("written")?;
    let (_, attach, memory) = bench.attach("written")?;
    row(&format!("{} GiB, every chunk written", scale.written_gib), create, attach, memory);
    let (status, _) = bench.wandisk(&["status", "written"])?;
    let status: Value = serde_json::from_str(&status)?;
    let written = status["chunks"]["written"].as_u64().context("status counts no chunks")?;
    if written != scale.written_gib * CHUNKS {
        bail!("{written} chunks were written, not every one");
    }
    println!("memory a written chunk: {:.1} bytes", memory.saturating_sub(base) as f64 / written as f64);
    println!("attach, a million written chunks: {:.2} s", attach.as_secs_f64() * 1e6 / written as f64);
    Ok(())
}
