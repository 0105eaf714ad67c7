//! `/dev/ublkbN` of WANDisk beside rublk's loop target: the same file system, the same kernel, the same run.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::fio::{self, Peer};
use super::{Disk, Here, counts};
use crate::{guest, process, setup, workspace};

const SIZE: &str = "1G";

/// How rublk opens and moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Through the page cache, as WANDisk does.
    Buffered,
    /// `O_DIRECT`, its own default.
    Direct,
    /// Through the page cache, pages of requests registered (a kernel from 6.16).
    BufferedZeroCopy,
    /// `O_DIRECT`, pages of requests registered (a kernel from 6.16).
    DirectZeroCopy,
}

impl Mode {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Buffered => &["--buffered-io"],
            Self::Direct => &[],
            Self::BufferedZeroCopy => &["--buffered-io", "--zero-copy"],
            Self::DirectZeroCopy => &["--zero-copy"],
        }
    }
}

/// Boots a guest and measures there.
pub(super) fn in_guest(disk: &Disk) -> Result<ExitCode> {
    setup::ensure_all()?;
    let rublk = setup::ensure_rublk()?;
    let mut build = workspace::cargo();
    process::run(build.args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    // A copy: cargo may put a new program in this one's place while the guest reads it.
    let own = workspace::guest().join("share/xtask-bench");
    own.parent().map(fs::create_dir_all).transpose()?;
    fs::copy(std::env::current_exe().context("this program's own path is unknown")?, &own)?;
    let mut words = vec![
        own.display().to_string(),
        "bench".to_owned(),
        "disk-here".to_owned(),
        format!("--runs={}", disk.runs.runs),
        format!("--millis={}", disk.runs.millis),
        format!("--program={}", workspace::target().join("release/wandisk").display()),
        format!("--rublk={}", rublk.display()),
        "--dir=/scratch/bench".to_owned(),
    ];
    words.extend(disk.runs.rows.iter().map(|row| format!("--rows={row}")));
    let name = |mode: &Mode| mode.to_possible_value().map(|value| format!("--mode={}", value.get_name()));
    words.extend(disk.mode.iter().filter_map(name));
    words.extend(disk.counts.then(|| "--counts".to_owned()));
    let options =
        guest::Options { limit: Duration::from_secs(1800), kernel: disk.kernel, ..guest::Options::default() };
    let code = guest::run(&words, &options)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn words(device: &str) -> Vec<String> {
    ["--ioengine=io_uring", "--direct=1", "--size=1G"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--filename={device}"), format!("--replay_redirect={device}")])
        .collect()
}

fn wait_for(path: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        if Instant::now() > deadline {
            bail!("{} does not appear", path.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Measures on this machine, whose kernel has ublk.
pub(super) fn here(here: &Here) -> Result<()> {
    Command::new("modprobe").arg("ublk_drv").status().ok();
    fs::create_dir_all(&here.dir)?;
    let at = |name: &str| here.dir.join(name);
    for (from, name) in [(&here.program, "wandisk"), (&here.rublk, "rublk")] {
        fs::copy(from, at(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let home = at("home");
    let wandisk =
        |args: &[&str]| process::output(Command::new(at("wandisk")).arg("--home").arg(&home).args(args));
    wandisk(&["init", "--site", "bench"])?;
    wandisk(&["create", "d", "--size", SIZE])?;
    wandisk(&["attach", "d", "--ublk", "--id", "20"])?;
    fill("/dev/ublkb20")?;
    let ours = peer("wandisk", "/dev/ublkb20");
    // First in the mode that WANDisk has: through the page cache. Then in its own, past it.
    let modes = if here.disk.mode.is_empty() { &[Mode::Buffered, Mode::Direct] } else { &here.disk.mode[..] };
    if here.disk.counts {
        counts::prepare()?;
    }
    let result = modes.iter().try_for_each(|mode| {
        println!("\nrublk: {mode:?}");
        add_rublk(here, mode.flags())?;
        let result = fill("/dev/ublkb21").and_then(|()| compare(here, &ours));
        Command::new(at("rublk")).args(["del", "-n", "21"]).stdout(Stdio::null()).status().ok();
        result
    });
    wandisk(&["detach", "d"])?;
    result
}

fn compare(here: &Here, ours: &Peer) -> Result<()> {
    let theirs = peer("rublk loop", "/dev/ublkb21");
    if !here.disk.counts {
        return fio::compare(ours, &[theirs], &here.disk.runs);
    }
    let pid = |name: &str| counts::process_of(&here.dir.join(name));
    let peers = [(ours.clone(), pid("wandisk")?), (theirs, pid("rublk")?)];
    counts::compare(&peers, &fio::rows(&here.disk.runs.rows), here.disk.runs.runs)
}

fn peer(name: &str, device: &str) -> Peer {
    Peer { name: name.to_owned(), words: words(device), server: None }
}

/// Every block of the device written, so every chunk marked and every block of its file allocated.
fn fill(device: &str) -> Result<()> {
    wait_for(Path::new(device))?;
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=1M", "oflag=direct", "count=1024"]).arg(format!("of={device}"));
    process::output(&mut dd).map(drop)
}

/// `/dev/ublkb21` by rublk, over a new file beside ours.
fn add_rublk(here: &Here, flags: &[&str]) -> Result<()> {
    let file = here.dir.join("loop.img");
    fs::remove_file(&file).ok();
    process::output(Command::new("truncate").args(["-s", SIZE]).arg(&file))?;
    // It goes to the background by itself and must not hold our pipe.
    let added = Command::new(here.dir.join("rublk"))
        .args(["add", "loop", "-n", "21", "-q", "2"])
        .args(flags)
        .arg("-f")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !added.success() {
        bail!("rublk add: {added}");
    }
    Ok(())
}
