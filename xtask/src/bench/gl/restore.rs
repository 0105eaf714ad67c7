//! What the loss of a renderer costs: from its end to the first picture that another one has drawn, with all that the program has,
//! and the bytes that takes on the line.
//!
//! The program is `scenes/state.c`, whose textures, buffers and lists have as many MiB as it is told, of bytes that do not
//! repeat. The seconds are an observer's: the proxy is asked again and again what the renderers have drawn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Arguments;
use super::world::{Playing, World};
use crate::bench::display::bar::{Bar, median};
use crate::{process, workspace};

/// Bytes a second of the line.
const RATE: f64 = 100e6 / 8.0;
/// So much more than the state's bytes may take on the line, and so much beside.
const MORE: f64 = 1.2;
const BESIDE: Duration = Duration::from_secs(1);
/// Longest wait for another renderer's first picture.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
const MIB: f64 = 1024.0 * 1024.0;

/// A renderer that was lost.
#[derive(Debug)]
struct Lost {
    /// From its end to a picture of the next one's.
    seconds: f64,
    /// Of IP on the line, both ways, in that time.
    bytes: f64,
    /// What the library said of it.
    said: String,
}

/// Each kind of state by itself, over this line.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<Vec<Bar>> {
    let program = state_program(world)?;
    let mib = arguments.state;
    println!(
        "\n{} ms, 100 Mbit/s: a renderer is killed; from its end to the first picture of the next, {mib} MiB of state",
        world.rtt_ms
    );
    println!("  {:<12} {:>9} {:>9} {:>9} {:>12}", "state", "seconds", "longest", "bar", "B, line");
    let mut bars = Vec::new();
    for (at, name) in ["textures", "buffers", "lists"].into_iter().enumerate() {
        let words: [String; 4] = std::array::from_fn(|it| if it == at { mib } else { 0 }.to_string());
        let runs = (0..arguments.runs).map(|_| run(world, &program, &words)).collect::<Result<Vec<_>>>()?;
        let bar = f64::from(mib) * MIB / RATE * MORE + BESIDE.as_secs_f64();
        let seconds = median(runs.iter().map(|run| run.seconds).collect());
        let longest = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
        let bytes = median(runs.iter().map(|run| run.bytes).collect());
        println!("  {name:<12} {seconds:>9.2} {longest:>9.2} {bar:>9.2} {bytes:>12.0}");
        for run in runs.iter().filter(|run| !run.said.ends_with("lost: nothing")) {
            println!("    {}", run.said);
        }
        let what = format!("{name}, {mib} MiB, {} ms: seconds to the next picture", world.rtt_ms);
        bars.push(Bar::at_most(what, seconds, " s", bar));
    }
    Ok(bars)
}

/// The program, built.
pub(super) fn state_program(world: &World) -> Result<PathBuf> {
    let (source, to) = (workspace::root().join("vmgl-proxy/bench/scenes/state.c"), world.built.path());
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"]).arg(&to).arg(source).args(["-l:libGL.so.1", "-l:libX11.so.6"]);
    process::run(&mut cc)?;
    Ok(to)
}

fn run(world: &World, program: &Path, words: &[String]) -> Result<Lost> {
    let words = std::iter::once(program.display().to_string()).chain(words.iter().cloned());
    let playing = world.travelling_words(words.collect())?;
    let (before, line) = (world.stat(&playing)?.renderer, world.line_bytes()?);
    let pid = i32::try_from(before).ok().and_then(Pid::from_raw).context("the renderer has no number")?;
    let killed = Instant::now();
    kill_process(pid, Signal::KILL)?;
    drawn_by_another(world, &playing, before)?;
    let (seconds, bytes) = (killed.elapsed().as_secs_f64(), world.line_bytes()? - line);
    Ok(Lost { seconds, bytes, said: playing.last_words() })
}

fn drawn_by_another(world: &World, playing: &Playing, before: u32) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !world.stat(playing).is_ok_and(|stat| stat.renderer != before && stat.frames >= 1.0) {
        if Instant::now() > until {
            bail!("no picture of another renderer's in {PATIENCE:?}: {}", playing.last_words());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
