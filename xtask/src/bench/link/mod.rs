//! WANDisk over a WAN, beside what the same line and the same SSH do without it.
//!
//! Two sites in two network namespaces, joined by [`wan`](crate::wan): real TCP, real sshd. Peers alternate
//! with WANDisk in one tunnel, and medians are shown. A tunnel's own CPU time is paid by the same processors.

mod arrive;
mod boot;
mod changed;
mod cold;
mod compressible;
mod hand_over;
mod plot;
mod reader;
mod ssh;
mod sync;
mod tree;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sites::Sites;
use crate::wan::{self, Tunnel, Wan};
use crate::{process, setup, workspace};

/// What to measure, over which line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench link sync --rate 100mbit --rtt 66ms --size 256m
  cargo xtask bench link sync --rate 1gbit --rtt 100ms --connections 6
  cargo xtask bench link compressible --size 1g --runs 1
  cargo xtask bench link cold --rtt 100ms
  cargo xtask bench link arrive --size 500m
  cargo xtask bench link boot --runs 1
  cargo xtask bench link changed --size 8g --runs 1")]
pub(crate) struct Arguments {
    /// What.
    what: What,
    #[command(flatten)]
    wan: Wan,
    /// Runs of each peer; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Connections that `ssh cat` and iperf3 have at once; by default one, and as many as fill the line.
    #[arg(long, default_value_t = 1)]
    connections: u64,
    /// Where the sites keep what they have; on a tmpfs, syncs take no time.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Of `arrive` and `boot`, these rows only; by default all.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<arrive::Who>,
    /// Of `changed`, WANDisk without its peers.
    #[arg(long)]
    alone: bool,
    /// Bytes of the disk.
    #[arg(long, default_value = "2g", value_parser = wan::bytes)]
    size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// `sync` of a disk never seen, of bytes that no program makes smaller, beside iperf3 and `ssh cat`.
    Sync,
    /// `sync` of a disk never seen with a tree of files of `--size`, beside `rsync -z`: bytes on the wire.
    Compressible,
    /// Reads of chunks that are not here, one at a time.
    Cold,
    /// `sync` after one 4 KiB block of a hundred was written, beside rsync and bdsync.
    Changed,
    /// `sync` of a disk never seen over SSH from inside the process, beside the `ssh` program.
    Ssh,
    /// `sync` over lines of several lengths, drawn to docs/bench/link.svg.
    Plot,
    /// The hand-over of a sparse disk of 1 TiB, 10 000 of whose chunks have changed.
    HandOver,
    /// A tree of files of `--size`, read right after a move, beside a qcow2 overlay over NBD through ssh.
    Arrive,
    /// A small Debian booted right after a move, beside the same.
    Boot,
}

/// Two sites, most often with a disk of noise at the first.
#[derive(Debug)]
struct Bench {
    /// Goes first, with its processes.
    sites: Sites,
    /// The noise, or the tree of files, as a file.
    image: PathBuf,
    _folder: Folder,
}

/// A folder that is removed when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Measures.
pub(super) fn main(arguments: &Arguments) -> Result<()> {
    setup::ensure_all()?;
    process::run(workspace::cargo().args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    if arguments.what == What::Plot {
        return plot::measure(arguments);
    }
    let bench = Bench::make(arguments)?;
    match arguments.what {
        What::Sync | What::Plot => sync::measure(&bench, arguments).map(drop),
        What::Compressible => compressible::measure(&bench, arguments),
        What::Cold => cold::measure(&bench, arguments),
        What::Ssh => ssh::measure(&bench, arguments),
        What::Changed => changed::measure(&bench, arguments),
        What::HandOver => hand_over::measure(&bench, arguments),
        What::Arrive => arrive::measure(&bench, arguments, arrive::Use::Files),
        What::Boot => arrive::measure(&bench, arguments, arrive::Use::Boot),
    }
}

impl Bench {
    /// Makes the line, the sites at its ends, and what the disk is made of.
    fn make(arguments: &Arguments) -> Result<Bench> {
        let below = arguments.dir.clone().unwrap_or_else(workspace::target);
        let dir = below.join(format!("bench-link-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let folder = Folder(dir.clone());
        let image = dir.join("noise.img");
        let with_disk = !matches!(arguments.what, What::HandOver | What::Arrive | What::Boot);
        match arguments.what {
            What::HandOver => {}
            What::Arrive | What::Compressible => arrive::image(&image, arguments.size, arguments.wan.seed)?,
            What::Boot => boot::image(&image)?,
            _ => noise(&image, arguments.size, arguments.wan.seed)?,
        }
        let tunnel = Tunnel::make(&arguments.wan.shape())?;
        let sites = Sites::over(tunnel, &dir, &workspace::target().join("release/wandisk"))?;
        let bench = Bench { sites, image, _folder: folder };
        if with_disk {
            let from = bench.image.to_str().context("the folder's path is no UTF-8")?;
            bench.sites.a.wandisk(&["create", "d", "--from", from])?;
        }
        Ok(bench)
    }
}

/// Writes bytes that nothing makes smaller.
fn noise(file: &Path, size: u64, seed: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut out = File::create(file)?;
    let mut piece = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        random.fill(&mut piece);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        out.write_all(&piece[..length])?;
        left -= length as u64;
    }
    out.sync_all()?;
    // What is measured later must not wait for a first read of it.
    let mut read = File::open(file)?;
    while read.read(&mut piece)? > 0 {}
    Ok(())
}

/// The median; 0 of nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
