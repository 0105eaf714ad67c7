//! `cargo xtask demo display`: what the display proxy does for a user, on real programs.
//!
//! First a program that paints 60 times a second on TigerVNC's server, looked at from 33, 66 and 100 ms away by a
//! plain viewer, with the proxy beside the viewer and without it. Then a recorded session, done again at each
//! distance in both ways: how many frames a second its inputs gave, as a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::bench::display::stage::{FAST, Running, Screen, Stage};
use crate::bench::display::{fps, plot};
use crate::{process, workspace};

/// Seconds of a look.
const LOOK: f64 = 3.0;
/// The session, below the workspace.
const SESSION: &str = "vmgl-proxy/bench/sessions/terminal.session";
/// What is typed in it; `count` prints a line each 1/60 s for a second.
const LINES: [&str; 8] = ["count", "ls /usr", "count", "count", "count", "ls /bin", "count", "count"];
const COUNT: &str = "count() { i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo \"$i $i $i $i\"; sleep 0.016; done; }\nPS1='$ '\n";

/// What of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Record the session anew, to the file that is replayed.
    #[arg(long)]
    record: bool,
}

/// Runs it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    println!("Setting up what is missing, building the proxy …");
    let stage = Stage::make()?;
    let session = workspace::root().join(SESSION);
    if arguments.record {
        return record(&stage, &session).map(|()| ExitCode::SUCCESS);
    }
    let dir = workspace::target().join("demo-display");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    println!("A program paints 60 frames a second; a viewer looks from afar (100 Mbit/s) …");
    let table = fps::xvnc(&stage, 1, LOOK)?;
    table.print();
    plot::draw_to(&dir.join("fps.svg"), &[table])?;
    println!("\nA recorded session in a terminal is done again at each distance …");
    let mut named = Vec::new();
    for trip in fps::TRIPS {
        let replays = [("viewer", false), ("proxy", true)]
            .map(|(name, proxied)| replay(&stage, &session, &dir, (trip, name, proxied)));
        for replay in replays {
            named.push(replay?.done()?);
        }
    }
    for (of, name) in
        [("fps", "frames a second of an input"), ("response", "time until an input is answered")]
    {
        let picture = dir.join(format!("cdf-{of}.svg"));
        let mut report = Command::new(stage.program());
        report.arg("report").args(&named).args(["--of", of, "--out"]).arg(&picture);
        process::output(&mut report)?;
        println!("{name}, distribution: {}", picture.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// A terminal on a fresh screen, whose shell knows [`COUNT`].
fn terminal(stage: &Stage) -> Result<(Screen, Running)> {
    let screen = stage.xvnc("640x480")?;
    let settings = stage.path();
    fs::write(&settings, COUNT)?;
    let mut xterm = Command::new("xterm");
    xterm.env("DISPLAY", &screen.display).env("ENV", &settings).env("LC_ALL", "C");
    xterm.args(["-geometry", "90x30+0+0", "-fn", "fixed", "-e", "sh", "-i"]).stdout(Stdio::null());
    let xterm = Running::start(&mut xterm)?;
    Ok((screen, xterm))
}

fn record(stage: &Stage, session: &Path) -> Result<()> {
    let (screen, _xterm) = terminal(stage)?;
    if session.exists() {
        fs::remove_file(session)?;
    }
    let folder = session.parent().context("the session's path has no folder")?;
    fs::create_dir_all(folder)?;
    let (recorder, door) = stage.recorder(&screen.server.at, session)?;
    stage.act(&door, &LINES)?;
    recorder.done()?;
    println!("recorded: {}", session.display());
    Ok(())
}

/// A replay that runs.
struct Replay {
    name: String,
    folder: PathBuf,
    child: Running,
    _around: Vec<Box<dyn std::any::Any>>,
}

impl Replay {
    /// Waits for its end: what `report` is told of it.
    fn done(mut self) -> Result<String> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let began = Instant::now();
        while !self.child.ended()? {
            if began.elapsed() > PATIENCE {
                bail!("the replay {} does not end", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("  {}: {}", self.name, self.child.said()?);
        Ok(format!("{}={}", self.name, self.folder.display()))
    }
}

fn replay(
    stage: &Stage,
    session: &Path,
    dir: &Path,
    (trip, name, proxied): (u64, &str, bool),
) -> Result<Replay> {
    let (screen, xterm) = terminal(stage)?;
    let line = stage.line(&screen.server.at, Duration::from_millis(trip), FAST)?;
    let proxy = if proxied { Some(stage.proxy(&line.at)?) } else { None };
    let to = proxy.as_ref().map_or(&*line.at, |proxy| proxy.at()).to_owned();
    let name = format!("{name}, {trip} ms");
    let folder = dir.join(name.replace([',', ' '], ""));
    let mut replay = Command::new(stage.program());
    replay.args(["replay", "--pull", "--to", &to]).arg(session).arg("--report").arg(&folder);
    replay.args(["--name", &name]).stdout(Stdio::piped());
    let child = Running::start(&mut replay)?;
    let around: Vec<Box<dyn std::any::Any>> =
        vec![Box::new(proxy), Box::new(line), Box::new(xterm), Box::new(screen)];
    Ok(Replay { name, folder, child, _around: around })
}
