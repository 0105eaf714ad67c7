//! The display proxy beside what viewers get without it: frames a second at a distance, age of frames on a thin
//! line, what it adds to latency, what it takes of a processor, what viewers see of re-homes.
//!
//! Sources paint frames that are stamped in their pixels (`vmgl-proxy/bench`), so that frames are counted and
//! their age is read where they arrive. Peers alternate in one run; medians are shown; each bar is said to be
//! met or missed.

pub(crate) mod bar;
mod cpu;
pub(crate) mod fps;
mod lag;
mod latency;
pub(crate) mod plot;
mod rehome;
pub(crate) mod stage;

use anyhow::Result;

use crate::workspace;
use stage::Stage;

/// What to measure, and how long.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench display
  cargo xtask bench display --rows fps,latency --runs 1 --seconds 2")]
pub(crate) struct Arguments {
    /// These rows only; by default all.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Runs of each peer; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds a run.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Changes of the server.
    #[arg(long, default_value_t = 100)]
    rehomes: usize,
    /// Draw frames a second against the round trip to docs/bench/display.svg.
    #[arg(long)]
    plot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Row {
    /// Frames a second of Xvnc at 33, 66 and 100 ms.
    Fps,
    /// The same of QEMU's server.
    Qemu,
    /// Age of frames at 20 Mbit/s.
    Lag,
    /// Latency that the proxy adds.
    Latency,
    /// The proxy's CPU beside vncviewer's.
    Cpu,
    /// Re-homes under load.
    Rehome,
}

type Measure = fn(&Stage, usize, f64) -> Result<fps::Table>;

/// Measures.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    let stage = Stage::make()?;
    let Arguments { runs, seconds, .. } = *arguments;
    let wanted = |row| arguments.rows.is_empty() || arguments.rows.contains(&row);
    let (mut bars, mut tables) = (Vec::new(), Vec::new());
    for (row, table) in [(Row::Fps, fps::xvnc as Measure), (Row::Qemu, fps::qemu)] {
        if wanted(row) {
            let table = table(&stage, runs, seconds)?;
            table.print();
            bars.extend(table.bars());
            tables.push(table);
        }
    }
    if wanted(Row::Lag) {
        for trip in fps::TRIPS {
            bars.extend(lag::measure(&stage, trip, seconds * 2.0)?);
        }
    }
    if wanted(Row::Latency) {
        bars.extend(latency::measure(&stage, runs, seconds)?);
    }
    if wanted(Row::Cpu) {
        bars.extend(cpu::measure(&stage, runs, seconds)?);
    }
    if wanted(Row::Rehome) {
        bars.extend(rehome::measure(&stage, arguments.rehomes)?);
    }
    println!();
    bars.iter().for_each(|bar| println!("{}", bar.line()));
    if arguments.plot {
        plot::draw_to(&workspace::root().join("docs/bench/display.svg"), &tables)?;
    }
    Ok(())
}
