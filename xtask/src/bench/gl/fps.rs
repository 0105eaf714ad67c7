//! Frames a second at a distance: VMGL beside the same program in the agent's software, and what plain viewers get of that.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::{Pixels, Seen, Waited, World};
use crate::bench::display::bar::{Bar, median};

/// Frames a second of the screen.
const HERTZ: f64 = 60.0;
/// So much of them, or of what software gives, is to be reached.
const SHARE: f64 = 0.98;
/// From a viewer's start to its counting, of a program that has settled.
const BEFORE: Duration = Duration::from_millis(500);

/// What VMGL gives.
#[derive(Debug, Clone)]
struct Drawn {
    /// Frames a second that were given to the proxy.
    rate: f64,
    /// Bytes a frame of the program's stream.
    bytes: f64,
    /// Bytes a frame on the line, both ways, headers and all.
    line: f64,
    waits: f64,
    /// For what, all together.
    waited: Waited,
    seen: Seen,
}

/// What a viewer of software's pictures gets.
#[derive(Debug, Clone, Copy)]
struct Far {
    rate: f64,
    line: f64,
}

/// A run of one program in all ways.
#[derive(Debug, Clone)]
struct Run {
    drawn: Drawn,
    /// Frames a second of software in the agent when nobody looks.
    software: f64,
    plain: Far,
    proxied: Far,
}

/// All programs over this line.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<Vec<Bar>> {
    println!(
        "\n{} ms, 100 Mbit/s: frames a second; VMGL waits for the screen (60 a second), software does not",
        world.rtt_ms
    );
    println!(
        "  {:<24} {:>9} | {:>6} {:>6} {:>6} {:>8} {:>8} {:>8} {:>6} | {:>9} {:>8} | {:>9} {:>8}",
        "program",
        "software",
        "VMGL",
        "ratio",
        "seen",
        "gap, ms",
        "B/frame",
        "B, line",
        "waits",
        "VNC, pull",
        "B, line",
        "VNC,proxy",
        "B, line"
    );
    let (mut bars, mut silent) = (Vec::new(), Vec::new());
    for program in arguments.chosen(|_| true) {
        match runs(world, program, arguments) {
            Ok(runs) => bars.push(tell(world.rtt_ms, program, &runs)),
            Err(fault) => silent.push((program.name, fault)),
        }
    }
    for (name, fault) in silent {
        println!("  {name}: does not draw: {fault:#}");
    }
    Ok(bars)
}

fn runs(world: &World, program: &Program, arguments: &Arguments) -> Result<Vec<Run>> {
    let times = (arguments.settling(), arguments.time());
    (0..arguments.runs)
        .map(|_| {
            let drawn = drawn(world, program, times)?;
            let (software, plain, proxied) = stays(world, program, times)?;
            Ok(Run { drawn, software, plain, proxied })
        })
        .collect()
}

/// At the desk.
fn drawn(world: &World, program: &Program, (settling, time): (Duration, Duration)) -> Result<Drawn> {
    let playing = world.travelling(program, Pace::Screen)?;
    let looking = world.looking(&world.proxy.at, Pixels::Raw, (settling, time), None)?;
    std::thread::sleep(settling);
    let waited_before = world.waited(&playing)?;
    let (before, line, began) = (world.stat(&playing)?, world.line_bytes()?, Instant::now());
    std::thread::sleep(time);
    let (after, line_after, passed) = (world.stat(&playing)?, world.line_bytes()?, began.elapsed());
    let mut waited = world.waited(&playing)?;
    for (name, (times, ms)) in &mut waited {
        let (times_before, ms_before) = waited_before.get(name).copied().unwrap_or_default();
        (*times, *ms) = (*times - times_before, *ms - ms_before);
    }
    waited.retain(|_, (times, _)| *times > 0);
    let frames = after.frames - before.frames;
    let of = |count: f64| count / frames.max(1.0);
    Ok(Drawn {
        rate: frames / passed.as_secs_f64(),
        bytes: of(after.bytes - before.bytes),
        line: of(line_after - line),
        waits: of(after.waits - before.waits),
        waited,
        seen: looking.done()?,
    })
}

/// In the agent: alone, with a plain viewer over the line, and with the proxy before it.
fn stays(
    world: &World,
    program: &Program,
    (settling, time): (Duration, Duration),
) -> Result<(f64, Far, Far)> {
    let mut playing = world.staying(program, Pace::Screen, &[])?;
    playing.drawn_here()?;
    std::thread::sleep(settling);
    let software = playing.rate_here(time)?;
    let plain = Far::look(world, &world.plain.at, Pixels::Zrle, time)?;
    let proxy = world.proxy_of_plain()?;
    Ok((software, plain, Far::look(world, &proxy.at, Pixels::Raw, time)?))
}

impl Far {
    fn look(world: &World, at: &str, pixels: Pixels, time: Duration) -> Result<Self> {
        let looking = world.looking(at, pixels, (BEFORE, time), None)?;
        std::thread::sleep(BEFORE);
        let before = world.line_bytes()?;
        std::thread::sleep(time);
        let bytes = world.line_bytes()? - before;
        let rate = looking.done()?.rate;
        Ok(Self { rate, line: bytes / (rate * time.as_secs_f64()).max(1.0) })
    }
}

fn tell(rtt_ms: u64, program: &Program, runs: &[Run]) -> Bar {
    let middle = |of: &dyn Fn(&Run) -> f64| median(runs.iter().map(of).collect());
    let ratio = middle(&|run| run.drawn.rate / run.software.min(HERTZ));
    println!(
        "  {:<24} {:>9.1} | {:>6.1} {:>6.2} {:>6.1} {:>8.1} {:>8.0} {:>8.0} {:>6.2} | {:>9.1} {:>8.0} | {:>9.1} {:>8.0}",
        program.name,
        middle(&|run| run.software),
        middle(&|run| run.drawn.rate),
        ratio,
        middle(&|run| run.drawn.seen.rate),
        middle(&|run| run.drawn.seen.longest_ms),
        middle(&|run| run.drawn.bytes),
        middle(&|run| run.drawn.line),
        middle(&|run| run.drawn.waits),
        middle(&|run| run.plain.rate),
        middle(&|run| run.plain.line),
        middle(&|run| run.proxied.rate),
        middle(&|run| run.proxied.line),
    );
    for run in runs.iter().filter(|run| !run.drawn.waited.is_empty()) {
        let each = |(name, (times, ms)): (&String, &(u64, u64))| format!("{name} {times} times, {ms} ms");
        println!("    waited: {}", run.drawn.waited.iter().map(each).collect::<Vec<_>>().join("; "));
    }
    let what = format!("{}, {rtt_ms} ms: FPS of min(60, software)", program.name);
    Bar::at_least(what, ratio, SHARE)
}
