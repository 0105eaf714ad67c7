//! The paper's evaluation, first form: two bimodal jobs at a slow desk only, at a fast server only, and where Snowbird has them
//! (Middleware 2007, section 3.5). Its Table 2 (detection, migration, suspension), Fig. 6 (how long a crunch takes) and Fig. 7
//! (frames a second and response of a session that is replayed) as tables and drawings.
//!
//! A run measures all of it at one round trip, or some; what is measured is kept below `target/paper`, and each run prints all that
//! is there. A newer figure takes the place of an older one of the same job, mode and round trip. What fails is told, at its place and
//! in the end, and costs none of the rest.

mod job;
mod kept;
mod look;
mod modes;
mod nfs;
mod plot;
mod tables;
mod trace;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::rig::{Scratch, Shape, World, build};
use crate::wan::Wan;
use crate::{setup, workspace};
use job::Job;
use kept::Kept;
use modes::Mode;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench paper --rtt 66ms --draw
  cargo xtask bench paper --job render --mode desk,server --desk 0.4
  cargo xtask bench paper --job surfaces --mode snowbird --rtt 100ms
  cargo xtask bench paper --job none --draw")]
pub(crate) struct Arguments {
    /// These jobs only.
    #[arg(long, value_delimiter = ',', default_value = "render,surfaces")]
    job: Vec<Job>,
    /// These modes only, in this order.
    #[arg(long, value_delimiter = ',', default_value = "desk,server,snowbird")]
    mode: Vec<Mode>,
    #[command(flatten)]
    wan: Wan,
    /// The desk's part of one processor.
    #[arg(long, default_value_t = 0.3)]
    desk: f64,
    /// The render's width in pixels (its time grows with the square).
    #[arg(long, default_value_t = 320)]
    width: u32,
    /// How often surfaces are smoothed.
    #[arg(long, default_value_t = 20)]
    passes: u32,
    /// Steps of the earthquake, 1 MB each.
    #[arg(long, default_value_t = 10)]
    steps: u16,
    /// Seconds of the session that is replayed; with Snowbird 90 at least, since nothing moves sooner than a minute after a move. 0: none.
    #[arg(long, default_value_t = 20)]
    look: u32,
    /// With Snowbird: writes what the agent's supervisor tells until it moves to JOB.jsonl in this folder, as a trace for profiles.
    #[arg(long, value_name = "DIR")]
    trace: Option<PathBuf>,
    /// Draw to docs/bench/paper-*.svg, too.
    #[arg(long)]
    draw: bool,
    /// Where snowbird, wandisk and vmgl-proxy are (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Measures, and tells what is there.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    let jobs: Vec<Job> = arguments.job.iter().copied().filter(|job| *job != Job::None).collect();
    let programs = || arguments.programs.clone().map_or_else(build, Ok);
    let kept = Kept::open(&workspace::target().join("paper"))?;
    let mut faults = Vec::new();
    if !jobs.is_empty() {
        setup::ensure_all()?;
        let shape = Shape { wan: arguments.wan.clone(), desk: Some(arguments.desk), programs: programs()? };
        let began = Instant::now();
        for job in jobs {
            if let Err(error) = one_job(&shape, job, arguments, &kept, &mut faults) {
                faults.push(format!("{}: {error:#}", job.name()));
            }
        }
        println!("\nall of it took {:.1} min", began.elapsed().as_secs_f64() / 60.0);
    }
    let rows = kept.rows()?;
    tables::print(&rows);
    if arguments.draw {
        let docs = workspace::root().join("docs/bench");
        plot::draw_to(&docs.join("paper-crunch.svg"), &rows)?;
        look::draw(&programs()?, &kept, &rows, &docs)?;
    }
    ensure!(faults.is_empty(), "not measured:\n{}", faults.join("\n"));
    Ok(())
}

fn one_job(
    shape: &Shape,
    job: Job,
    arguments: &Arguments,
    kept: &Kept,
    faults: &mut Vec<String>,
) -> Result<()> {
    let mut folder = Scratch::make("paper")?;
    let world = World::make(shape, &mut folder)?;
    modes::run(&world, job, arguments, kept, faults)
}
