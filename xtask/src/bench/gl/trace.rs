//! Bytes a frame beside those of apitrace's trace of the same program, whose calls are packed with snappy.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::World;
use crate::bench::display::bar::{Bar, median};
use crate::process;

/// So many bytes more than apitrace's may a frame have.
const MORE: f64 = 64.0;
/// Frames before those that are counted: whatever is made once is made in them.
const FIRST: u32 = 20;
/// Frames that are counted at most.
const MOST: u32 = 200;
/// Longest wait for a traced program to have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Programs of the bench; no runs: both are counts.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<Vec<Bar>> {
    println!("\nbytes a frame, of frames in which nothing is loaded");
    println!("  {:<24} {:>9} {:>9}", "program", "VMGL", "apitrace");
    let mut bars = Vec::new();
    for program in arguments.chosen(|_| true) {
        match both(world, program, arguments.time()) {
            Ok((ours, theirs)) => {
                println!("  {:<24} {ours:>9.0} {theirs:>9.0}", program.name);
                let what = format!("{}: bytes a frame more than apitrace's", program.name);
                bars.push(Bar::at_most(what, ours - theirs, " B", MORE));
            }
            Err(fault) => println!("  {}: not compared: {fault:#}", program.name),
        }
    }
    Ok(bars)
}

fn both(world: &World, program: &Program, time: Duration) -> Result<(f64, f64)> {
    let playing = world.travelling(program, Pace::Screen)?;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let before = world.stat(&playing)?;
        std::thread::sleep(time / 3);
        let after = world.stat(&playing)?;
        runs.push((after.bytes - before.bytes) / (after.frames - before.frames).max(1.0));
    }
    drop(playing);
    Ok((median(runs), traced(world, program, time)?))
}

/// Traces it, and has the frames in the middle written anew, by themselves.
fn traced(world: &World, program: &Program, time: Duration) -> Result<f64> {
    let (whole, part) = (world.built.path(), world.built.path());
    let library = wrapper(if program.is_egl() { "egltrace.so" } else { "glxtrace.so" })?;
    let preload = library.display().to_string();
    let file = whole.display().to_string();
    let more = [("LD_PRELOAD", preload.as_str()), ("TRACE_FILE", file.as_str())];
    let mut playing = world.staying(program, Pace::Screen, &more)?;
    playing.drawn_here()?;
    std::thread::sleep(time);
    // Its library writes what it has when the program is told to end.
    playing.running.signal(Signal::TERM)?;
    let until = Instant::now() + PATIENCE;
    while !playing.running.ended()? {
        if Instant::now() > until {
            bail!("the traced program does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let frames = process::output(Command::new("apitrace").args(["dump", "--calls=frame"]).arg(&whole))?;
    let count = u32::try_from(frames.lines().filter(|line| line.contains("SwapBuffers")).count())?;
    let last = count.saturating_sub(2).min(FIRST + MOST - 1);
    if last <= FIRST {
        bail!("apitrace has {count} frames");
    }
    let mut trim = Command::new("apitrace");
    trim.args(["trim", &format!("--frames={FIRST}-{last}"), "--output"]).arg(&part).arg(&whole);
    process::output(&mut trim)?;
    let bytes = std::fs::metadata(&part)?.len() as f64;
    for file in [whole, part] {
        std::fs::remove_file(file)?;
    }
    Ok(bytes / f64::from(last - FIRST + 1))
}

/// A library of apitrace's.
fn wrapper(name: &str) -> Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").context("no /usr/lib")?;
    let mut all = folders.flatten().map(|folder| folder.path().join("apitrace/wrappers").join(name));
    all.find(|file| file.exists()).with_context(|| format!("apitrace has no {name}"))
}
