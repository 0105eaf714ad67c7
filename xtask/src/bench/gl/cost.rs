//! What a frame takes of processors, as fast as it goes and with no distance: program, library and renderer beside the program with
//! Mesa's software, which is what the renderer draws with on this machine.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::World;
use crate::bench::display::bar::{Bar, median};
use crate::bench::display::stage::cpu_seconds;

/// So much more may the two take than the one, where filling pixels is most of it.
const MORE: f64 = 1.25;

/// Milliseconds of processors a frame.
#[derive(Debug, Clone, Copy)]
struct Software {
    rate: f64,
    program: f64,
    screen: f64,
}

/// The same.
#[derive(Debug, Clone, Copy)]
struct Desk {
    rate: f64,
    program: f64,
    renderer: f64,
    proxy: f64,
}

/// Programs in both ways.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<Vec<Bar>> {
    println!("\n0 ms, as fast as it goes, nobody looks: milliseconds of processors a frame");
    println!(
        "  {:<24} {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} {:>9} | {:>6}",
        "program", "software", "program", "X", "VMGL, FPS", "program", "renderer", "proxy", "ratio"
    );
    let (mut bars, mut silent) = (Vec::new(), Vec::new());
    for program in arguments.chosen(|program| program.raster || program.name == "glxgears") {
        match runs(world, program, arguments) {
            Ok(runs) => bars.extend(tell(program, &runs)),
            Err(fault) => silent.push((program.name, fault)),
        }
    }
    for (name, fault) in silent {
        println!("  {name}: does not draw: {fault:#}");
    }
    Ok(bars)
}

fn runs(world: &World, program: &Program, arguments: &Arguments) -> Result<Vec<(Software, Desk)>> {
    let time = arguments.time();
    (0..arguments.runs).map(|_| Ok((software(world, program, time)?, desk(world, program, time)?))).collect()
}

fn software(world: &World, program: &Program, time: Duration) -> Result<Software> {
    let mut playing = world.staying(program, Pace::Free, &[])?;
    playing.drawn_here()?;
    let used =
        || Ok::<_, anyhow::Error>((playing.running.cpu_seconds()?, world.plain.running.cpu_seconds()?));
    let (before, began) = (used()?, Instant::now());
    let rate = playing.rate_here(time)?;
    let (after, passed) = (used()?, began.elapsed());
    let frame = |seconds: f64| seconds * 1e3 / (rate * passed.as_secs_f64());
    Ok(Software { rate, program: frame(after.0 - before.0), screen: frame(after.1 - before.1) })
}

fn desk(world: &World, program: &Program, time: Duration) -> Result<Desk> {
    let playing = world.travelling(program, Pace::Free)?;
    let renderer = world.stat(&playing)?.renderer;
    let used = || {
        let parts = [playing.running.id(), renderer, world.proxy.running.id()];
        parts.into_iter().map(cpu_seconds).collect::<Result<Vec<f64>>>()
    };
    let (before, frames, began) = (used()?, world.stat(&playing)?.frames, Instant::now());
    std::thread::sleep(time);
    let (after, frames_after, passed) = (used()?, world.stat(&playing)?.frames, began.elapsed());
    let frames = (frames_after - frames).max(1.0);
    let mut parts = after.iter().zip(&before).map(|(after, before)| (after - before) * 1e3 / frames);
    let mut next = || parts.next().unwrap_or(f64::NAN);
    let (program, renderer, proxy) = (next(), next(), next());
    Ok(Desk { rate: frames / passed.as_secs_f64(), program, renderer, proxy })
}

fn tell(program: &Program, runs: &[(Software, Desk)]) -> Option<Bar> {
    let middle = |of: &dyn Fn(&(Software, Desk)) -> f64| median(runs.iter().map(of).collect());
    let ratio = middle(&|(software, desk)| (desk.program + desk.renderer) / software.program);
    println!(
        "  {:<24} {:>9.1} {:>9.2} {:>9.2} | {:>9.1} {:>9.2} {:>9.2} {:>9.2} | {:>6.2}",
        program.name,
        middle(&|(software, _)| software.rate),
        middle(&|(software, _)| software.program),
        middle(&|(software, _)| software.screen),
        middle(&|(_, desk)| desk.rate),
        middle(&|(_, desk)| desk.program),
        middle(&|(_, desk)| desk.renderer),
        middle(&|(_, desk)| desk.proxy),
        ratio,
    );
    let what = format!("{}: CPU of program and renderer by software's", program.name);
    program.raster.then(|| Bar::at_most(what, ratio, "", MORE))
}
