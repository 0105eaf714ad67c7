//! `/dev/ublkbN` of WANDisk beside rublk's loop target: the same file system, the same kernel, the same run.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::fio::{self, Peer};
use super::{Here, Runs};
use crate::{guest, process, setup, workspace};

const SIZE: &str = "1G";

/// Boots a guest and measures there.
pub(super) fn in_guest(runs: &Runs) -> Result<ExitCode> {
    setup::ensure_all()?;
    let rublk = setup::ensure_rublk()?;
    let mut build = workspace::cargo();
    process::run(build.args(["build", "--quiet", "--release", "--package", "wandisk"]))?;
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let words = [
        own.display().to_string(),
        "bench".to_owned(),
        "disk-here".to_owned(),
        format!("--runs={}", runs.runs),
        format!("--seconds={}", runs.seconds),
        format!("--program={}", workspace::target().join("release/wandisk").display()),
        format!("--rublk={}", rublk.display()),
        "--dir=/scratch/bench".to_owned(),
    ];
    let options = guest::Options { limit: Duration::from_secs(1800), ..guest::Options::default() };
    let code = guest::run(&words, &options)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn words(device: &str) -> Vec<String> {
    ["--ioengine=io_uring", "--direct=1", "--size=1G"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--filename={device}")])
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
    let result =
        [("buffered", Some("--buffered-io")), ("O_DIRECT", None)].into_iter().try_for_each(|(mode, flag)| {
            println!("\nrublk's file: {mode}");
            add_rublk(here, flag)?;
            let result = fill("/dev/ublkb21")
                .and_then(|()| fio::compare(&ours, &[peer("rublk loop", "/dev/ublkb21")], &here.runs));
            Command::new(at("rublk")).args(["del", "-n", "21"]).stdout(Stdio::null()).status().ok();
            result
        });
    wandisk(&["detach", "d"])?;
    result
}

fn peer(name: &str, device: &str) -> Peer {
    Peer { name: name.to_owned(), words: words(device) }
}

/// Every block of the device written, so every chunk marked and every block of its file allocated.
fn fill(device: &str) -> Result<()> {
    wait_for(Path::new(device))?;
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=1M", "oflag=direct", "count=1024"]).arg(format!("of={device}"));
    process::output(&mut dd).map(drop)
}

/// `/dev/ublkb21` by rublk, over a new file beside ours.
fn add_rublk(here: &Here, flag: Option<&str>) -> Result<()> {
    let file = here.dir.join("loop.img");
    fs::remove_file(&file).ok();
    process::output(Command::new("truncate").args(["-s", SIZE]).arg(&file))?;
    // It goes to the background by itself and must not hold our pipe.
    let added = Command::new(here.dir.join("rublk"))
        .args(["add", "loop", "-n", "21", "-q", "2"])
        .args(flag)
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
