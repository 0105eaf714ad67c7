//! What a chunk's first write costs: a disk that another site holds all of, so that every chunk is clean, is written
//! through NBD; the same requests again find their chunks marked.
//!
//! Between runs the other site syncs, which makes the chunks clean again. Before each run all of the disk is read once: what the
//! kernel keeps of its page cache in the processor's caches decides much of what a small write costs, and whoever wrote the same
//! places a moment ago would find it there.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

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
}

/// What durable marks cover.
const EXTENT: u64 = 4 << 20;
/// Random writes an extent.
const WRITES: u64 = 8;

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

fn measure_in(arguments: &Arguments, dir: &Path) -> Result<()> {
    let program = workspace::target().join("release/wandisk");
    let home = |site: &str| dir.join(site).display().to_string();
    let wandisk = |site: &str, args: &[&str]| {
        process::output(Command::new(&program).arg("--home").arg(home(site)).args(args))
    };
    let link = |site: &str| format!("cmd:'{}' --home '{}' serve --stdio", program.display(), home(site));
    for (site, other) in [("a", "b"), ("b", "a")] {
        wandisk(site, &["init", "--site", site])?;
        wandisk(site, &["site", "add", other, &link(other)])?;
    }
    wandisk("a", &["create", "d", "--size", &arguments.size.to_string()])?;
    let socket = dir.join("a.sock");
    wandisk("a", &["attach", "d", "--nbd", &format!("unix:{}", socket.display())])?;
    let uri = format!("--uri=nbd+unix:///?socket={}", socket.display());
    let peer = Peer {
        name: "wandisk".to_owned(),
        words: vec!["--ioengine=nbd".to_owned(), uri, format!("--size={}", arguments.size)],
    };
    let result = compare(arguments, &peer, &|| wandisk("a", &["sync", "d", "--site", "b"]).map(drop));
    wandisk("a", &["detach", "d"])?;
    result
}

fn compare(arguments: &Arguments, peer: &Peer, sync: &dyn Fn() -> Result<()>) -> Result<()> {
    let all = fio::rows(&["random write, depth 16".to_owned(), "sequential write".to_owned()]);
    let all_of_it = |words: &str| {
        let rows = fio::rows(&[words.to_owned()]);
        rows.into_iter().try_for_each(|row| {
            fio::once(peer, row, Until::Requests(requests(row, arguments.size))).map(drop)
        })
    };
    all_of_it("sequential write")?;
    println!(
        "\n{:<36}{:>12}{:>12}{:>18}   (medians of {} runs, I/O a second; ratio with its 95 % interval)",
        "", "clean", "marked", "ratio", arguments.runs
    );
    for row in all {
        if !arguments.rows.is_empty() && !arguments.rows.iter().any(|words| row.name.contains(words.as_str()))
        {
            continue;
        }
        let until = Until::Requests(requests(row, arguments.size));
        let (mut clean, mut marked) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs {
            sync()?;
            for figures in [&mut clean, &mut marked] {
                all_of_it("sequential read")?;
                figures.push(fio::once(peer, row, until)?);
            }
        }
        let ratio = Ratio::of(&clean, &marked);
        println!("{:<36}{:>12.0}{:>12.0}{ratio:>18}", row.name, median(clean), median(marked));
    }
    Ok(())
}
