//! A tree of files read by somebody who has just arrived, beside a qcow2 overlay with copy-on-read.
//!
//! The reader is the test guest: its kernel's ext4 and read-ahead, `tar` over the whole tree, a disk of QEMU's. Three
//! disks are the same to it: an image that is here (how long it takes without waits), the overlay over an NBD
//! server at the other site through an ssh tunnel, and a WANDisk that has just been moved. What somebody waits for
//! fetches is the reader's time over that with the image that is here. The sum of the reads' times is told too; where
//! the kernel reads ahead, it counts one second of a reader several times.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Arguments, Bench, median, tree};
use crate::guest::{self, Options};
use crate::sites::PORT;
use crate::{process, workspace};

/// What the guest runs: everything that reading needs is read from the host first.
const READ: &str = r#"
mkdir -p /m /w && echo x >/w/x && tar cf - /w 2>/dev/null | cat >/dev/null
mount -t ext4 -o ro,noload /dev/vda /m || exit 1
read up rest </proc/uptime
bytes=$(tar cf - -C /m . | wc -c)
read now rest </proc/uptime
echo "read $up $now $bytes $(cat /sys/block/vda/stat)"
"#;

/// One reading of the tree.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// From `tar`'s start to its end.
    seconds: f64,
    /// All reads' times together.
    in_reads: f64,
    /// Bytes that went over the line meanwhile, both ways.
    wire: f64,
}

/// Measures.
pub(super) fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let folder = bench.image.parent().context("the image is nowhere")?;
    let all = [Who::Here, Who::Overlay, Who::Ours, Who::OursKnown];
    let is_asked = |who: &Who| arguments.rows.is_empty() || arguments.rows.contains(who);
    let mut readings: [Vec<Reading>; 4] = Default::default();
    for run in 0..arguments.runs {
        for (who, readings) in all.into_iter().zip(&mut readings).filter(|(who, _)| is_asked(who)) {
            let reading = who.read(bench, folder, run)?;
            println!(
                "run {}: {:<40}{:>8.2} s{:>10.2} s in reads{:>10.1} MB on the line",
                run + 1,
                who.name(),
                reading.seconds,
                reading.in_reads,
                reading.wire / 1e6
            );
            readings.push(reading);
        }
    }
    let [seconds, reads, wire]: [[f64; 4]; 3] =
        [|r: &Reading| r.seconds, |r: &Reading| r.in_reads, |r: &Reading| r.wire].map(
            |part: fn(&Reading) -> f64| {
                std::array::from_fn(|who| median(&mut readings[who].iter().map(part).collect::<Vec<_>>()))
            },
        );
    let waits: [f64; 4] = std::array::from_fn(|who| seconds[who] - seconds[0]);
    println!(
        "\n{:<40}{:>10}{:>12}{:>12}{:>12}{:>12}{:>14}",
        "medians", "time", "waits", "of overlay", "in reads", "of overlay", "of line time"
    );
    // Ratios to a row that was not asked for are no numbers, and shown as such.
    for (at, who) in all.into_iter().enumerate().filter(|(_, who)| is_asked(who)) {
        let line = wire[at] * 8.0 / arguments.wan.rate as f64;
        println!(
            "{:<40}{:>8.2} s{:>10.2} s{:>12.3}{:>10.2} s{:>12.3}{:>14.2}",
            who.name(),
            seconds[at],
            waits[at],
            waits[at] / waits[1],
            reads[at],
            reads[at] / reads[1],
            if at == 0 { 0.0 } else { seconds[at] / line }
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

    fn read(self, bench: &Bench, folder: &Path, run: usize) -> Result<Reading> {
        match self {
            Self::Here => read(bench, &format!("file={},format=raw", bench.image.display())),
            Self::Overlay => {
                let overlay = Overlay::make(bench, folder)?;
                read(bench, &format!("file={},format=qcow2,copy-on-read=on", overlay.file.display()))
            }
            Self::Ours | Self::OursKnown => self.wandisk(bench, run),
        }
    }

    /// A disk of its own each time: none knows of another's readers.
    fn wandisk(self, bench: &Bench, run: usize) -> Result<Reading> {
        let (a, b) = (&bench.sites.a, &bench.sites.b);
        let disk = format!("{}{run}", if self == Self::Ours { "new" } else { "known" });
        a.wandisk(&["create", &disk, "--from", bench.image.to_str().context("the path is no UTF-8")?])?;
        let attach = |site: &crate::sites::Site| {
            let report = site.ask(&["attach", &disk, "--nbd"])?;
            let uri = report["uri"].as_str().context("attach names no URI")?;
            anyhow::Ok(format!("file={uri},format=raw"))
        };
        if self == Self::OursKnown {
            read(bench, &attach(a)?)?;
            a.ask(&["detach", &disk])?;
        }
        a.wandisk(&["move", &disk, "--to", "b"])?;
        let reading = read(bench, &attach(b)?)?;
        println!("   b: fetch {}", b.ask(&["status", &disk])?["fetch"]);
        b.ask(&["detach", &disk])?;
        Ok(reading)
    }
}

/// Starts the guest with this drive and has it read the tree.
fn read(bench: &Bench, drive: &str) -> Result<Reading> {
    let log = workspace::guest().join(format!("arrive-{}.log", std::process::id()));
    let qemu = ["-drive".to_owned(), format!("if=none,id=tree,{drive}")];
    let device = ["-device".to_owned(), "virtio-blk-pci,drive=tree".to_owned()];
    let options = Options {
        memory_mib: 2048,
        scratch_bytes: 0,
        limit: Duration::from_secs(500),
        cwd: Some(PathBuf::from("/")),
        log: Some(log.clone()),
        qemu: qemu.into_iter().chain(device).collect(),
        ..Options::default()
    };
    let before = bench.sites.moved()?;
    let code = guest::run(&["sh".to_owned(), "-c".to_owned(), READ.to_owned()], &options)?;
    let wire = (bench.sites.moved()? - before) as f64;
    let said = fs::read_to_string(&log)?;
    fs::remove_file(&log).ok();
    if code != 0 {
        bail!("the guest's reader ended with {code}");
    }
    let line = said.lines().find_map(|line| line.strip_prefix("read ")).context("the guest told nothing")?;
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // Two times and the bytes; then Documentation/admin-guide/iostats.rst: the fourth is milliseconds of reads.
    let [began, ended, bytes, _, _, _, in_reads, ..] = numbers[..] else { bail!("the guest told {line:?}") };
    if bytes < 1e6 {
        bail!("the guest read no tree");
    }
    Ok(Reading { seconds: ended - began, in_reads: in_reads / 1e3, wire })
}

/// An overlay at `b`, over an NBD server at `a`, through an ssh tunnel.
#[derive(Debug)]
struct Overlay {
    file: PathBuf,
    running: Vec<Child>,
}

impl Overlay {
    fn make(bench: &Bench, folder: &Path) -> Result<Overlay> {
        let file = folder.join("overlay.qcow2");
        let (there, here) = (folder.join("there.sock"), folder.join("here.sock"));
        for old in [&file, &there, &here] {
            fs::remove_file(old).ok();
        }
        let mut overlay = Overlay { file, running: Vec::new() };
        let mut server = bench.sites.a.inside("qemu-nbd");
        server.args(["--read-only", "--persistent", "--shared=8", "--format=raw", "--cache=writeback"]);
        server.arg("--socket").arg(&there).arg(&bench.image);
        overlay.start(server, &there)?;
        let mut tunnel = bench.sites.b.inside("ssh");
        tunnel.arg("-F").arg(&bench.sites.b.ssh_config).args(["-N", "-p", PORT]);
        tunnel.arg("-L").arg(format!("{}:{}", here.display(), there.display()));
        tunnel.arg(format!("root@{}", bench.sites.a.address));
        overlay.start(tunnel, &here)?;
        let mut image = Command::new("qemu-img");
        image.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
        image.arg(format!("nbd+unix:///?socket={}", here.display())).arg(&overlay.file);
        process::output(&mut image)?;
        Ok(overlay)
    }

    /// Starts it and waits until it listens.
    fn start(&mut self, mut command: Command, socket: &Path) -> Result<()> {
        let child = command.stdin(Stdio::null()).spawn();
        self.running.push(child.with_context(|| format!("cannot start {command:?}"))?);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            if Instant::now() > deadline {
                bail!("nobody listens at {}", socket.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        for child in self.running.iter_mut().rev() {
            child.kill().ok();
            child.wait().ok();
        }
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
