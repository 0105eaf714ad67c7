//! What size costs: attach, status, a move and the keeper's memory, by the disk's size and by how much of it is written.
//! With `--asked` what a look at all of it costs those who write meanwhile ([`asked`]).
//!
//! Chunk tables are made by the store's own code (its example `disk_with_rows`), so that a disk of 8 TiB needs no more
//! room than its table; `data.img` is a hole.

mod asked;
mod plot;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, setup, workspace};

/// How often, and how far.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Scale {
    /// Attaches of each disk; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Gibibytes of the disk whose every chunk is written.
    #[arg(long, default_value_t = 1024)]
    full_gib: u64,
    /// Instead: how long writes to that disk wait while `status` and `map` are asked all the time.
    #[arg(long)]
    asked: bool,
    /// With `--asked`: another build of `wandisk`, measured in turn.
    #[arg(long, value_name = "PROGRAM", requires = "asked")]
    beside: Option<PathBuf>,
}

/// Gibibytes of the disks that have the same number of chunks written.
const SIZES: [u64; 5] = [2, 16, 128, 1024, 8192];
/// Chunks written of each of these: all of the smallest, nearly.
const FEW: u64 = 10_000;
/// Chunks written of a disk of the largest size.
const WRITTEN: [u64; 3] = [0, 100_000, 1_000_000];
/// Chunks of 128 KiB in a gibibyte.
const CHUNKS: u64 = 8192;

/// One disk's figures.
#[derive(Debug, Clone, Copy)]
struct Row {
    gib: u64,
    written: u64,
    attach: Duration,
    status: Duration,
    moved: Duration,
    memory: u64,
}

/// Two homes on this machine, with a pipe between them, and what makes disks there.
struct Bench {
    program: PathBuf,
    maker: PathBuf,
    dir: PathBuf,
}

impl Bench {
    fn make() -> Result<Bench> {
        setup::ensure_all()?;
        let build = ["build", "--quiet", "--release", "--package"];
        process::run(workspace::cargo().args(build).arg("wandisk"))?;
        process::run(workspace::cargo().args(build).args(["wandisk-store", "--example", "disk_with_rows"]))?;
        let release = workspace::target().join("release");
        let dir = workspace::target().join(format!("bench-scale-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let (program, maker) = (release.join("wandisk"), release.join("examples/disk_with_rows"));
        let bench = Bench { program, maker, dir };
        for site in ["a", "b"] {
            bench.wandisk(site, &["init", "--site", site])?;
        }
        for (site, other) in [("a", "b"), ("b", "a")] {
            let (program, home) = (bench.program.display(), bench.home(other));
            let link = format!("cmd:{program} --home {} serve --stdio", home.display());
            bench.wandisk(site, &["site", "add", other, &link])?;
        }
        Ok(bench)
    }

    fn home(&self, site: &str) -> PathBuf {
        self.dir.join(site)
    }

    fn wandisk(&self, site: &str, args: &[&str]) -> Result<(Value, Duration)> {
        let mut command = Command::new(&self.program);
        command.arg("--json").arg("--home").arg(self.home(site)).args(args);
        let began = Instant::now();
        let output = process::output(&mut command)?;
        let took = began.elapsed();
        Ok((output.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default(), took))
    }

    /// Makes a disk of so many rows at the first site.
    fn disk(&self, name: &str, gib: u64, written: u64) -> Result<String> {
        let mut made = Command::new(&self.maker);
        process::output(made.arg(self.home("a")).args([name, &gib.to_string(), &written.to_string()]))?;
        Ok(name.to_owned())
    }

    /// Attaches a disk of so many rows, asks how it stands, gives it away and takes it back.
    fn measure(&self, gib: u64, written: u64, runs: usize) -> Result<Row> {
        let disk = self.disk(&format!("d{gib}-{written}"), gib, written)?;
        let (mut attach, mut status, mut memories) = (Vec::new(), Vec::new(), Vec::new());
        // The first attach is not counted: it reads the table from the medium.
        for run in 0..=runs {
            let (report, took) = self.wandisk("a", &["attach", &disk, "--nbd"])?;
            let pid = report["pid"].as_u64().context("attach names no keeper")?;
            let (standing, asked) = self.wandisk("a", &["status", &disk])?;
            if standing["chunks"]["written"].as_u64() != Some(written) {
                bail!("status counts other chunks than {written}: {standing}");
            }
            if run > 0 {
                attach.push(took);
                status.push(asked);
                memories.push(memory(pid)?);
            }
            self.wandisk("a", &["detach", &disk])?;
            ended(pid)?;
        }
        // There once before: what is measured is a move between sites that know the disk.
        self.wandisk("a", &["move", &disk, "--to", "b"])?;
        self.wandisk("b", &["move", &disk, "--to", "a"])?;
        let (_, moved) = self.wandisk("a", &["move", &disk, "--to", "b"])?;
        let row = Row {
            gib,
            written,
            attach: middle(attach),
            status: middle(status),
            moved,
            memory: middle(memories),
        };
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        println!(
            "{gib:>8} GiB{written:>12}{:>10.1}{:>10.1}{:>10.1}{:>12.1}",
            ms(row.attach),
            ms(row.status),
            ms(row.moved),
            row.memory as f64 / f64::from(1 << 20)
        );
        Ok(row)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

fn middle<T: Ord + Copy + Default>(mut all: Vec<T>) -> T {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Waits until a keeper has ended: the next one begins with what is on disk.
fn ended(pid: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Path::new(&format!("/proc/{pid}")).exists() {
        if Instant::now() > deadline {
            bail!("the keeper {pid} does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Resident memory without pages of files, in bytes.
fn memory(pid: u64) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|l| l.strip_prefix("RssAnon:")).context("the kernel tells no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

/// Measures, and draws `docs/bench/scale.svg`.
pub(super) fn measure(scale: &Scale) -> Result<()> {
    let bench = Bench::make()?;
    if scale.asked {
        return asked::measure(&bench, scale.full_gib, scale.runs, scale.beside.as_deref());
    }
    println!(
        "{:>12}{:>12}{:>10}{:>10}{:>10}{:>12}",
        "disk", "written", "attach ms", "status ms", "move ms", "memory MiB"
    );
    let sized: Vec<Row> =
        SIZES.iter().map(|gib| bench.measure(*gib, FEW, scale.runs)).collect::<Result<_>>()?;
    let largest = SIZES.last().copied().unwrap_or_default();
    let mut written: Vec<Row> =
        WRITTEN.iter().map(|n| bench.measure(largest, *n, scale.runs)).collect::<Result<_>>()?;
    let full = bench.measure(scale.full_gib, scale.full_gib * CHUNKS, scale.runs)?;
    let empty = written.first().map_or(0, |row| row.memory);
    println!(
        "{} GiB fully written: attach {:.2} s, {:.1} bytes of memory a chunk",
        full.gib,
        full.attach.as_secs_f64(),
        full.memory.saturating_sub(empty) as f64 / full.written as f64
    );
    written.push(full);
    plot::draw_to(&workspace::root().join("docs/bench/scale.svg"), &sized, &written)
}
