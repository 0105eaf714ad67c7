//! A tree of files read, or a system booted, by somebody who has just arrived, beside a qcow2 overlay with copy-on-read.
//!
//! Three disks are read by the same [`reader`](super::reader), or booted by the same guest ([`boot`](super::boot)): an
//! image that is here (how long it takes without waits), the overlay over an NBD server at the other site through an ssh
//! tunnel, and a WANDisk that has just been moved. The clock begins before a disk is attached (before `qemu-nbd` is
//! started; the overlay's tunnel is there already), and ends when all is read; of a boot it is the guest's own, from the
//! mount on. What somebody waits for fetches is that time over the one of the image that is here. The sum of the reads'
//! times is told too; where the kernel reads ahead, it counts one second of a reader several times; and the time in which any request
//! was under way, which nobody can have waited longer than, however long the reader computes. Beside what the bytes on the line take
//! there, a tree's whole time stands, which is little else, and a boot's waits: it computes for seconds anyway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::boot::boot;
use super::reader::{Mounted, Times, appears, until_death};
use super::{Arguments, Bench, median, tree};
use crate::process;
use crate::sites::PORT;

/// One reading of the tree.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// From before the disk is attached to `tar`'s end; of a boot, from the mount to its end.
    seconds: f64,
    /// All reads' times together.
    in_reads: f64,
    /// While any request was under way.
    under_way: f64,
    /// Bytes that went over the line meanwhile, both ways.
    wire: f64,
}

impl Reading {
    fn new(took: Duration, times: Times, wire: u64) -> Reading {
        Reading {
            seconds: took.as_secs_f64(),
            in_reads: times.in_reads.as_secs_f64(),
            under_way: times.under_way.as_secs_f64(),
            wire: wire as f64,
        }
    }
}

/// What somebody does who has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Reads all files.
    Files,
    /// Boots.
    Boot,
}

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments, what: Use) -> Result<()> {
    let folder = bench.image.parent().context("the image is nowhere")?;
    let all = [Who::Here, Who::Overlay, Who::Ours, Who::OursKnown];
    let is_asked = |who: &Who| arguments.rows.is_empty() || arguments.rows.contains(who);
    let mut readings: [Vec<Reading>; 4] = Default::default();
    for run in 0..arguments.runs {
        for (who, readings) in all.into_iter().zip(&mut readings).filter(|(who, _)| is_asked(who)) {
            let reading = who.read(bench, folder, run, what)?;
            println!(
                "run {}: {:<40}{:>8.2} s{:>10.2} s in reads{:>10.2} s under way{:>10.1} MB on the line",
                run + 1,
                who.name(),
                reading.seconds,
                reading.in_reads,
                reading.under_way,
                reading.wire / 1e6
            );
            readings.push(reading);
        }
    }
    let parts: [fn(&Reading) -> f64; 4] = [|r| r.seconds, |r| r.in_reads, |r| r.under_way, |r| r.wire];
    let [seconds, reads, under_way, wire] = parts.map(|part| -> [f64; 4] {
        std::array::from_fn(|who| median(&mut readings[who].iter().map(part).collect::<Vec<_>>()))
    });
    let waits: [f64; 4] = std::array::from_fn(|who| seconds[who] - seconds[0]);
    let beside_line = if what == Use::Boot { "waits of line" } else { "time of line" };
    println!(
        "\n{:<40}{:>10}{:>12}{:>12}{:>12}{:>12}{:>12}{:>15}",
        "medians", "time", "waits", "of overlay", "in reads", "of overlay", "under way", beside_line
    );
    // Ratios to a row that was not asked for are no numbers, and shown as such.
    for (at, who) in all.into_iter().enumerate().filter(|(_, who)| is_asked(who)) {
        let line = wire[at] * 8.0 / arguments.wan.rate as f64;
        let beside_line = if what == Use::Boot { waits[at] } else { seconds[at] };
        println!(
            "{:<40}{:>8.2} s{:>10.2} s{:>12.3}{:>10.2} s{:>12.3}{:>10.2} s{:>15.2}",
            who.name(),
            seconds[at],
            waits[at],
            waits[at] / waits[1],
            reads[at],
            reads[at] / reads[1],
            under_way[at],
            if at == 0 { 0.0 } else { beside_line / line }
        );
    }
    Ok(())
}

/// Whose disk it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Who {
    /// An image that is here: the reader's time without waits.
    Here,
    /// The overlay.
    Overlay,
    /// A WANDisk that nobody has read.
    #[value(name = "new")]
    Ours,
    /// A WANDisk that was read before it was moved.
    #[value(name = "known")]
    OursKnown,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Here => "an image that is here",
            Self::Overlay => "qcow2 overlay, NBD through ssh",
            Self::Ours => "wandisk, never read before",
            Self::OursKnown => "wandisk, read elsewhere before",
        }
    }

    fn read(self, bench: &Bench, folder: &Path, run: usize, what: Use) -> Result<Reading> {
        match self {
            Self::Here => read(bench, folder, what, || Served::image(&bench.image, folder)),
            Self::Overlay => {
                let overlay = Overlay::make(bench, folder)?;
                read(bench, folder, what, || Served::overlay(&overlay.file, folder))
            }
            Self::Ours | Self::OursKnown => self.wandisk(bench, folder, run, what),
        }
    }

    /// A disk of its own each time: none knows of another's readers.
    fn wandisk(self, bench: &Bench, folder: &Path, run: usize, what: Use) -> Result<Reading> {
        let (a, b) = (&bench.sites.a, &bench.sites.b);
        let disk = format!("{}{run}", if self == Self::Ours { "new" } else { "known" });
        a.wandisk(&["create", &disk, "--from", bench.image.to_str().context("the path is no UTF-8")?])?;
        let attach = |site: &crate::sites::Site| {
            let report = site.ask(&["attach", &disk, "--nbd"])?;
            let uri = report["uri"].as_str().context("attach names no URI")?.to_owned();
            anyhow::Ok(Served { uri, _server: None })
        };
        if self == Self::OursKnown {
            read(bench, folder, what, || attach(a))?;
            a.ask(&["detach", &disk])?;
        }
        a.wandisk(&["move", &disk, "--to", "b"])?;
        let reading = read(bench, folder, what, || attach(b))?;
        let fetch = &b.ask(&["status", &disk])?["fetch"];
        let told = |name: &str| fetch.get(name).cloned().unwrap_or(Value::Null);
        println!(
            "   b: {} on demand ({} in parts), {} ahead ({} of use, {} bytes of none), {} bytes came",
            told("demand"),
            told("in_parts"),
            told("prefetched"),
            told("prefetch_used"),
            told("prefetch_unused_bytes"),
            told("bytes_in")
        );
        b.ask(&["detach", &disk])?;
        Ok(reading)
    }
}

/// A disk behind an NBD URI.
#[derive(Debug)]
struct Served {
    uri: String,
    _server: Option<Running>,
}

impl Served {
    /// An image that is here, and that what is written does not change.
    fn image(image: &Path, folder: &Path) -> Result<Served> {
        let file = folder.join("here.qcow2");
        fs::remove_file(&file).ok();
        let mut make = Command::new("qemu-img");
        make.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image).arg(&file);
        process::output(&mut make)?;
        let options = "driver=qcow2,file.driver=file,file.filename";
        Served::by_qemu(&format!("{options}={}", file.display()), folder)
    }

    /// A qcow2 that keeps what is read of its base.
    fn overlay(file: &Path, folder: &Path) -> Result<Served> {
        let options = "driver=copy-on-read,file.driver=qcow2,file.file.driver=file,file.file.filename";
        Served::by_qemu(&format!("{options}={}", file.display()), folder)
    }

    fn by_qemu(options: &str, folder: &Path) -> Result<Served> {
        let socket = folder.join("served.sock");
        let mut server = until_death("qemu-nbd");
        server.args(["--persistent", "--shared=8", "--cache=writeback", "--image-opts", options]);
        server.arg("--socket").arg(&socket);
        let server = Running::start(server, &socket)?;
        Ok(Served { uri: format!("nbd+unix:///?socket={}", socket.display()), _server: Some(server) })
    }
}

/// Attaches a disk, and reads the tree on it or boots from it.
fn read(bench: &Bench, folder: &Path, what: Use, attach: impl FnOnce() -> Result<Served>) -> Result<Reading> {
    let before = bench.sites.moved()?;
    let began = Instant::now();
    let served = attach()?;
    if what == Use::Boot {
        let (took, times) = boot(&served.uri)?;
        return Ok(Reading::new(took, times, bench.sites.moved()? - before));
    }
    let mounted = Mounted::new(&served.uri, folder)?;
    let bytes = mounted.read_all()?;
    let (took, wire) = (began.elapsed(), bench.sites.moved()? - before);
    if bytes < 1_000_000 {
        bail!("the reader read no tree");
    }
    Ok(Reading::new(took, mounted.times()?, wire))
}

/// A program; ended when dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    /// Starts it and waits until it listens.
    fn start(mut command: Command, socket: &Path) -> Result<Running> {
        fs::remove_file(socket).ok();
        let child = command.stdin(Stdio::null()).spawn();
        let running = Running(child.with_context(|| format!("cannot start {command:?}"))?);
        appears(socket)?;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An overlay at `b`, over an NBD server at `a`, through an ssh tunnel.
#[derive(Debug)]
struct Overlay {
    file: PathBuf,
    // In this order: what hangs on the other first.
    _tunnel: Running,
    _server: Running,
}

impl Overlay {
    fn make(bench: &Bench, folder: &Path) -> Result<Overlay> {
        let file = folder.join("overlay.qcow2");
        let (there, here) = (folder.join("there.sock"), folder.join("here.sock"));
        fs::remove_file(&file).ok();
        let mut server = bench.sites.a.inside("qemu-nbd");
        server.args(["--read-only", "--persistent", "--shared=8", "--format=raw", "--cache=writeback"]);
        server.arg("--socket").arg(&there).arg(&bench.image);
        let server = Running::start(server, &there)?;
        let mut tunnel = bench.sites.b.inside("ssh");
        tunnel.arg("-F").arg(&bench.sites.b.ssh_config).args(["-N", "-p", PORT]);
        tunnel.arg("-L").arg(format!("{}:{}", here.display(), there.display()));
        tunnel.arg(format!("root@{}", bench.sites.a.address));
        let tunnel = Running::start(tunnel, &here)?;
        let mut image = Command::new("qemu-img");
        image.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        image.arg(format!("nbd+unix:///?socket={}", here.display())).arg(&file);
        process::output(&mut image)?;
        Ok(Overlay { file, _tunnel: tunnel, _server: server })
    }
}

/// The image: an ext4 with a tree of about so many bytes.
pub(super) fn image(file: &Path, bytes: u64, seed: u64) -> Result<()> {
    let folder = file.with_extension("tree");
    tree::copy(&folder, bytes, seed)?;
    crate::image::Image::ext4(file, (bytes + bytes / 2).next_multiple_of(1 << 20), Some(&folder))?;
    fs::remove_dir_all(&folder)?;
    // What is measured later must not wait for a first read of it.
    std::io::copy(&mut fs::File::open(file)?, &mut std::io::sink())?;
    Ok(())
}
