//! What a chunk's first write costs: a disk that another site holds all of, so that every chunk is clean, is written
//! through NBD; the same requests again find their chunks marked.
//!
//! Between runs the other site syncs, which makes the chunks clean again. Before each run all of the disk is read once: what the
//! kernel keeps of its page cache in the processor's caches decides much of what a small write costs, and whoever wrote the same
//! places a moment ago would find it there.
//!
//! What the program gains and what the way of measuring gains are told apart by `--beside` (another build of it takes turns over the
//! same disk) and `--unread` (each turn is done without that reading, too).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::fio::{self, Peer, Row, Until};
use super::ratio::{Ratio, median};
use crate::{process, setup, vm, workspace};

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs; the medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
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
/// A keeper of a disk that was detached ends by then.
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

    fn wandisk(&self, program: &Path, site: &str, args: &[&str]) -> Result<()> {
        process::output(Command::new(program).arg("--home").arg(self.home(site)).args(args)).map(drop)
    }

    fn peer(&self) -> Peer {
        let uri = format!("--uri=nbd+unix:///?socket={}", self.socket().display());
        let size = format!("--size={}", self.arguments.size);
        Peer { name: "wandisk".to_owned(), words: vec!["--ioengine=nbd".to_owned(), uri, size] }
    }

    /// While the disk is attached by this program.
    fn with<T>(&self, program: &Path, what: impl FnOnce() -> Result<T>) -> Result<T> {
        let at = format!("unix:{}", self.socket().display());
        self.wandisk(program, "a", &["attach", "d", "--nbd", &at])?;
        let result = what();
        self.wandisk(program, "a", &["detach", "d"])?;
        // The next keeper may be the other program's.
        let keeper = self.dir.join("a/disks/d/control.sock");
        let deadline = Instant::now() + KEEPER_ENDS;
        while keeper.exists() {
            ensure!(Instant::now() < deadline, "the disk's keeper does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        result
    }

    fn all_of_it(&self, words: &str) -> Result<()> {
        fio::rows(&[words.to_owned()]).into_iter().try_for_each(|row| self.once(row).map(drop))
    }

    fn once(&self, row: Row) -> Result<f64> {
        fio::once(&self.peer(), row, Until::Requests(requests(row, self.arguments.size)))
    }

    /// Makes all chunks clean, and writes to them twice.
    fn turn(&self, program: &Path, row: Row, read_first: bool) -> Result<[f64; 2]> {
        self.wandisk(program, "a", &["sync", "d", "--site", "b"])?;
        let mut figures = [0.0; 2];
        for figure in &mut figures {
            if read_first {
                self.all_of_it("sequential read")?;
            }
            *figure = self.once(row)?;
        }
        Ok(figures)
    }

    fn compare(&self, programs: &[(&str, PathBuf)]) -> Result<()> {
        println!(
            "\n{:<60}{:>10}{:>10}{:>18}   (medians of {} runs, I/O a second; ratio with its 95 % interval)",
            "", "clean", "marked", "ratio", self.arguments.runs
        );
        let ways: &[(&str, bool)] = if self.arguments.unread {
            &[("all read before", true), ("unread", false)]
        } else {
            &[("all read before", true)]
        };
        let asked = &self.arguments.rows;
        let rows = fio::rows(&["random write, depth 16".to_owned(), "sequential write".to_owned()]);
        let is_asked =
            |row: &Row| asked.is_empty() || asked.iter().any(|words| row.name.contains(words.as_str()));
        for row in rows.into_iter().filter(is_asked) {
            let mut figures = vec![(Vec::new(), Vec::new()); programs.len() * ways.len()];
            for run in 0..self.arguments.runs {
                for at in 0..programs.len() {
                    // Whoever was second is first the next time.
                    let program = (at + run) % programs.len();
                    self.with(&programs[program].1, || {
                        for (way, (_, read_first)) in ways.iter().enumerate() {
                            let [clean, marked] = self.turn(&programs[program].1, row, *read_first)?;
                            let (cleans, markeds) = &mut figures[program * ways.len() + way];
                            cleans.push(clean);
                            markeds.push(marked);
                        }
                        Ok(())
                    })?;
                }
            }
            let names = programs.iter().flat_map(|(build, _)| ways.iter().map(move |(way, _)| (build, way)));
            for ((build, way), (clean, marked)) in names.zip(figures) {
                let name = format!("{}, {build}, {way}", row.name);
                let ratio = Ratio::of(&clean, &marked);
                println!("{name:<60}{:>10.0}{:>10.0}{ratio:>18}", median(clean), median(marked));
            }
        }
        Ok(())
    }
}
