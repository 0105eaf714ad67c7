//! What a chunk's first write costs: a disk that another site holds all of, so that every chunk is clean and no extent is marked, is
//! written through NBD; the same requests again find their chunks marked.
//!
//! A disk has few first writes: those of one round take a fifth of a second, and two rounds differ by as much as builds do. So
//! there are many rounds, each of places of its own, and a figure is that of all of them together, some seconds of I/O.
//!
//! Between rounds the disk is detached, which drops its marks, and the other site syncs, which makes the chunks clean again. Before the
//! writes, clean or marked, all of the disk is read once: what the kernel keeps of its page cache in the processor's caches decides much of
//! what a small write costs, and whoever wrote the same places a moment ago would find it there.
//!
//! What the program gains and what the way of measuring gains are told apart by `--beside` (another build of it takes turns over the
//! same disk) and `--unread` (each round is done without that reading, too).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::fio::{self, Peer, Row, Until};
use super::ratio::{self, Ratio};
use crate::{process, setup, vm, workspace};

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds, of some eight seconds each for a disk of 4 GiB; a figure is of all of them together.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// The disk's size; twice that is needed below `target`.
    #[arg(long, default_value = "4G", value_parser = vm::size, value_name = "SIZE")]
    size: u64,
    /// Only rows whose names have these words in them; may be repeated.
    #[arg(long, value_name = "WORDS")]
    rows: Vec<String>,
    /// Another build of `wandisk`, which takes turns with this one.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
    /// Also without reading the disk before each run.
    #[arg(long)]
    unread: bool,
}

/// What durable marks cover.
const EXTENT: u64 = 4 << 20;
/// Random writes an extent.
const WRITES: u64 = 8;
/// A keeper that was told to end does so by then.
const KEEPER_ENDS: Duration = Duration::from_secs(60);

fn requests(row: Row, size: u64) -> u64 {
    if row.name.contains("sequential") { size / (128 << 10) } else { size / EXTENT * WRITES }
}

/// Measures.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    setup::ensure_build()?;
    process::run(workspace::cargo().args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    let dir = workspace::target().join("bench-first-write");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let result = measure_in(arguments, &dir);
    fs::remove_dir_all(&dir)?;
    result
}

/// Two sites of which the first has the disk.
struct Bench<'a> {
    arguments: &'a Arguments,
    dir: &'a Path,
}

/// What one round, or some, came to.
#[derive(Debug, Clone, Default)]
struct Figures {
    /// I/Os a second, a round each.
    clean: Vec<f64>,
    marked: Vec<f64>,
    /// Transactions of the chunk table during the writes to clean chunks.
    commits: u64,
}

fn measure_in(arguments: &Arguments, dir: &Path) -> Result<()> {
    let program = workspace::target().join("release/wandisk");
    let bench = Bench { arguments, dir };
    for (site, other) in [("a", "b"), ("b", "a")] {
        let home = bench.home(other);
        let link = format!("cmd:'{}' --home '{}' serve --stdio", program.display(), home.display());
        bench.wandisk(&program, site, &["init", "--site", site])?;
        bench.wandisk(&program, site, &["site", "add", other, &link])?;
    }
    bench.wandisk(&program, "a", &["create", "d", "--size", &arguments.size.to_string()])?;
    bench.with(&program, || bench.all_of_it("sequential write"))?;
    let mut programs = vec![("this build", program)];
    programs.extend(arguments.beside.clone().map(|beside| ("the other build", beside)));
    bench.compare(&programs)
}

impl Bench<'_> {
    fn home(&self, site: &str) -> PathBuf {
        self.dir.join(site)
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("a.sock")
    }

    fn wandisk(&self, program: &Path, site: &str, args: &[&str]) -> Result<Value> {
        let mut wandisk = Command::new(program);
        let told = process::output(wandisk.arg("--json").arg("--home").arg(self.home(site)).args(args))?;
        Ok(told.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default())
    }

    /// The export, for requests at places that this seed gives.
    fn peer(&self, seed: usize) -> Peer {
        let uri = format!("--uri=nbd+unix:///?socket={}", self.socket().display());
        let (size, seed) = (format!("--size={}", self.arguments.size), format!("--randseed={}", seed + 1));
        Peer {
            name: "wandisk".to_owned(),
            words: vec!["--ioengine=nbd".to_owned(), uri, size, seed],
            server: None,
        }
    }

    /// While the disk is attached by this program, whose keeper ends afterwards: the next one may be another program's.
    fn with<T>(&self, program: &Path, what: impl FnOnce() -> Result<T>) -> Result<T> {
        let at = format!("unix:{}", self.socket().display());
        let attached = self.wandisk(program, "a", &["attach", "d", "--nbd", &at])?;
        let keeper = attached["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let keeper = keeper.context("attach names no keeper")?;
        let result = what();
        self.wandisk(program, "a", &["detach", "d"])?;
        rustix::process::kill_process(keeper, Signal::TERM)?;
        let deadline = Instant::now() + KEEPER_ENDS;
        while rustix::process::test_kill_process(keeper).is_ok() {
            ensure!(Instant::now() < deadline, "the disk's keeper does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        result
    }

    fn all_of_it(&self, words: &str) -> Result<()> {
        fio::rows(&[words.to_owned()]).into_iter().try_for_each(|row| self.once(row, 0).map(drop))
    }

    fn once(&self, row: Row, seed: usize) -> Result<f64> {
        fio::once(&self.peer(seed), row, Until::Requests(requests(row, self.arguments.size)))
    }

    fn commits(&self, program: &Path) -> Result<u64> {
        let status = self.wandisk(program, "a", &["status", "d", "--here"])?;
        status["io"]["metadata_commits"].as_u64().context("status tells no commits")
    }

    /// Makes all chunks clean, and writes to them twice.
    fn round(&self, program: &Path, row: Row, seed: usize, read: bool, into: &mut Figures) -> Result<()> {
        self.wandisk(program, "a", &["sync", "d", "--site", "b"])?;
        self.with(program, || {
            let read_all = || if read { self.all_of_it("sequential read") } else { Ok(()) };
            read_all()?;
            let before = self.commits(program)?;
            into.clean.push(self.once(row, seed)?);
            into.commits += self.commits(program)? - before;
            read_all()?;
            into.marked.push(self.once(row, seed)?);
            Ok(())
        })
    }

    fn compare(&self, programs: &[(&str, PathBuf)]) -> Result<()> {
        let Arguments { rounds, rows: asked, .. } = self.arguments;
        println!(
            "\n{:<60}{:>10}{:>10}{:>18}{:>10}   ({rounds} rounds together, I/O a second; ratio with its 95 % interval)",
            "", "clean", "marked", "ratio", "commits"
        );
        let ways: &[(&str, bool)] = if self.arguments.unread {
            &[("all read before", true), ("unread", false)]
        } else {
            &[("all read before", true)]
        };
        let rows = fio::rows(&["random write, depth 16".to_owned(), "sequential write".to_owned()]);
        let is_asked =
            |row: &Row| asked.is_empty() || asked.iter().any(|words| row.name.contains(words.as_str()));
        for row in rows.into_iter().filter(is_asked) {
            let mut figures = vec![Figures::default(); programs.len() * ways.len()];
            for round in 0..*rounds {
                for at in 0..programs.len() {
                    // Whoever was second is first the next time.
                    let program = (at + round) % programs.len();
                    for (way, (_, read)) in ways.iter().enumerate() {
                        let into = &mut figures[program * ways.len() + way];
                        self.round(&programs[program].1, row, round, *read, into)?;
                    }
                }
            }
            let names = programs.iter().flat_map(|(build, _)| ways.iter().map(move |(way, _)| (build, way)));
            for ((build, way), Figures { clean, marked, commits }) in names.zip(figures) {
                let name = format!("{}, {build}, {way}", row.name);
                let ratio = Ratio::of_all(&clean, &marked);
                let (clean, marked) = (ratio::all(&clean), ratio::all(&marked));
                #[expect(clippy::cast_precision_loss, reason = "hundreds")]
                let commits = commits as f64 / (*rounds).max(1) as f64;
                println!("{name:<60}{clean:>10.0}{marked:>10.0}{ratio:>18}{commits:>10.1}");
            }
        }
        Ok(())
    }
}
