//! VMGL beside what users have without it: programs of an agent whose OpenGL is drawn at the desk, over a line of 100 Mbit/s.
//!
//! Agent and desk are two network namespaces ([`world`]). A program ([`programs`]) is started unmodified, once with VMGL's library
//! and once with Mesa's software in the agent, and what is seen of it is counted by viewers: by the proxy's, and by a plain
//! one over the same line. Peers take turns in one run; medians are shown; each bar is said to be met or missed.

mod again;
mod cost;
mod fps;
mod guest;
mod lag;
mod moved;
mod processor;
pub(crate) mod programs;
mod restore;
mod trace;
mod virpipe;
pub(crate) mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::display::bar::Bar;
use crate::rig::Scratch;
use programs::{PROGRAMS, Program};
use world::{Built, World};

/// What to measure, and how long.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench gl
  cargo xtask bench gl --rows fps --rtts 100 --programs gears,vtk --runs 1
  cargo xtask bench gl --rows fps --rtts 100 --programs neverball --runs 1 --settle 12 --seconds 8
  cargo xtask bench gl --rows cost,trace --programs glmark2
  cargo xtask bench gl --rows restore --rtts 100 --state 64
  cargo xtask bench gl --rows restore --rtts 10 --state 2 --runs 1
  cargo xtask bench gl --rows guest --seconds 5
  cargo xtask bench gl --rows moved --rtts 66,100 --runs 2")]
pub(crate) struct Arguments {
    /// These rows only; by default all but the last four.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Only programs whose names have one of these words in them; by default each row's own choice.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    programs: Vec<String>,
    /// Lines of these lengths, there and back, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "0,33,66,100", value_name = "MS")]
    rtts: Vec<u64>,
    /// Runs of each peer; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds a run.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Row `fps`: seconds that a program has drawn before it is measured, wherever it is drawn. Drivers compile at first sight of what
    /// they draw; Mesa keeps on the disk what it compiled for programs that draw in the agent, and nothing of a renderer's.
    #[arg(long, default_value_t = 0.5, value_parser = settle)]
    settle: f64,
    /// MiB of textures, of buffers, of lists whose renderer is killed.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=200))]
    state: u32,
    /// Where vmgl-proxy, vmgl-bench and libGLX_vmgl.so are, and for `moved` snowbird and wandisk (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs_from: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Row {
    /// Frames a second, bytes and waits a frame, over each line.
    Fps,
    /// From a key to the picture, over each line.
    Lag,
    /// Mesa's virpipe over each line.
    Virpipe,
    /// Seconds of a processor a frame, as fast as it goes, at 0 ms.
    Cost,
    /// Bytes a frame beside those of apitrace.
    Trace,
    /// From the end of a renderer to the next one's first picture, over the longest line.
    Restore,
    /// Bytes a frame of textures that are given anew with each picture, over the longest line.
    Again,
    /// Frames a second of programs in a guest that is translated, beside its own software; one run.
    Guest,
    /// An agent that draws and is moved, there and back, over each line: how long its user has no picture, and whether each comes once.
    Moved,
}

impl Arguments {
    /// Of these programs those that are asked for.
    fn chosen(&self, usual: impl Fn(&Program) -> bool) -> Vec<&'static Program> {
        let named = |program: &Program| self.programs.iter().any(|word| program.name.contains(word.as_str()));
        let wanted =
            |program: &&Program| if self.programs.is_empty() { usual(program) } else { named(program) };
        PROGRAMS.iter().filter(wanted).collect()
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn settling(&self) -> Duration {
        Duration::from_secs_f64(self.settle)
    }
}

fn settle(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse()?;
    ensure!((0.5..=600.0).contains(&seconds), "a program settles for half a second to ten minutes");
    Ok(seconds)
}

/// Measures.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.runs > 0 && arguments.seconds >= 1.0, "a run takes a second or more");
    let mut scratch = Scratch::make("gl")?;
    let built = match &arguments.programs_from {
        Some(programs) => Built::of(programs, scratch.path())?,
        None => Built::make(scratch.path())?,
    };
    let wanted = |row| arguments.rows.is_empty() || arguments.rows.contains(&row);
    let mut bars = Vec::new();
    for ms in &arguments.rtts {
        if !(wanted(Row::Fps) || wanted(Row::Lag) || wanted(Row::Virpipe)) {
            break;
        }
        let world = World::make(&mut scratch, &built, *ms)?;
        if wanted(Row::Fps) {
            bars.extend(fps::measure(&world, arguments)?);
        }
        if wanted(Row::Lag) {
            bars.extend(lag::measure(&world, arguments)?);
        }
        if wanted(Row::Virpipe) {
            virpipe::measure(&world, arguments)?;
        }
    }
    if wanted(Row::Cost) {
        bars.extend(cost::measure(&World::make(&mut scratch, &built, 0)?, arguments)?);
    }
    if wanted(Row::Trace) {
        bars.extend(trace::measure(&World::make(&mut scratch, &built, 0)?, arguments)?);
    }
    let named = |row| arguments.rows.contains(&row);
    if named(Row::Restore) || named(Row::Again) {
        let ms = arguments.rtts.iter().copied().max().unwrap_or(0);
        let world = World::make(&mut scratch, &built, ms)?;
        if named(Row::Restore) {
            bars.extend(restore::measure(&world, arguments)?);
        }
        if named(Row::Again) {
            again::measure(&world, arguments)?;
        }
    }
    if named(Row::Guest) {
        bars.extend(guest::measure(&built, arguments)?);
    }
    if named(Row::Moved) {
        bars.extend(moved::measure(&built, arguments)?);
    }
    println!();
    bars.iter().for_each(|bar| println!("{}", Bar::line(bar)));
    Ok(())
}
