//! From a key to the picture, through everything: viewer, proxy, line, X server, program, line, renderer, viewer.
//!
//! glxgears stands and turns by a key. From the key that stops it to the last picture that still changes is what lies in the
//! way of pictures (and up to a frame less: the last one was drawn before the key came); from the key that lets it turn to
//! the first change is what a user at a still picture waits.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::{Pixels, Playing, World};
use crate::bench::display::bar::{Bar, median, part};
use crate::bench::display::stage::Running;

const PROGRAM: &str = "glxgears";
/// Keys a run, of each kind.
const TIMES: usize = 4;
/// A first answer may take a round trip and so much.
const MORE_MS: f64 = 20.0;

#[derive(Debug, Default)]
struct Pressed {
    stops: Vec<f64>,
    starts: Vec<f64>,
}

/// In each way.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<Vec<Bar>> {
    let program = Program::named(PROGRAM).context("no such program")?;
    let [mut desk, mut plain, mut proxied] = [(); 3].map(|()| Pressed::default());
    for _ in 0..arguments.runs {
        desk.press(world, world.travelling(program, Pace::Screen)?, &world.proxy.at, Pixels::Raw)?;
        let stays = || -> Result<Playing> {
            let mut playing = world.staying(program, Pace::Screen, &[])?;
            playing.drawn_here()?;
            Ok(playing)
        };
        plain.press(world, stays()?, &world.plain.at, Pixels::Zrle)?;
        let proxy = world.proxy_of_plain()?;
        proxied.press(world, stays()?, &proxy.at, Pixels::Raw)?;
    }
    println!("\n{} ms, {PROGRAM}: from a key to the picture, ms; median and longest", world.rtt_ms);
    println!("  {:<24} {:>8} {:>8} | {:>8} {:>8}", "", "it turns", "", "it stops", "");
    for (name, pressed) in [("VMGL", &desk), ("VNC, pull", &plain), ("VNC, proxy", &proxied)] {
        let ends = |values: &Vec<f64>| {
            let longest = values.iter().copied().fold(0.0, f64::max);
            (median(values.clone()), longest)
        };
        let ((turns, turns_most), (stops, stops_most)) = (ends(&pressed.starts), ends(&pressed.stops));
        println!("  {name:<24} {turns:>8.1} {turns_most:>8.1} | {stops:>8.1} {stops_most:>8.1}");
    }
    let mut starts = desk.starts;
    starts.sort_by(f64::total_cmp);
    let what = format!("{PROGRAM}, {} ms: from a key to the first picture, median", world.rtt_ms);
    Ok(vec![Bar::at_most(what, part(&starts, 0.5), " ms", world.rtt_ms as f64 + MORE_MS)])
}

impl Pressed {
    fn press(&mut self, world: &World, _playing: Playing, at: &str, pixels: Pixels) -> Result<()> {
        let mut command = world.viewer("press", at, pixels);
        command.args(["--times", &TIMES.to_string()]).stdout(Stdio::piped());
        let said: Value = serde_json::from_str(&Running::start(&mut command)?.said()?)
            .context("the viewer gave no report: the picture did not stop, or not begin to move")?;
        for (name, values) in [("stops_ms", &mut self.stops), ("starts_ms", &mut self.starts)] {
            values.extend(said[name].as_array().into_iter().flatten().filter_map(Value::as_f64));
        }
        Ok(())
    }
}
