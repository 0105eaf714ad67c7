//! Live moves of an agent over a WAN: how long it stands, of what that is made, and all in all.
//!
//! Two sites in two network namespaces, joined by [`wan`](crate::wan), with a real sshd each; a translated machine whose memory is
//! full and changes at a known pace, which streams over TCP to its home and is typed at. It moves there and back; the bars are
//! printed beside each move.

mod memory;
pub(crate) mod near;
mod own;
mod world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::rig::{self, AGENT, Scratch};
use crate::wan::{self, Wan};
use crate::{setup, workspace};
use memory::Memory;
use world::{Move, World};

/// What to move, over which line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench migrate
  cargo xtask bench migrate --rtts 66 --runs 3 --dirty 6000
  cargo xtask bench migrate --rtts 33 --memory 160 --fill 40
  cargo xtask bench migrate --rtts 66 --own 0,2,4")]
pub(crate) struct Arguments {
    #[command(flatten)]
    wan: Wan,
    /// Lines of these lengths, there and back, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "33,66,100", value_name = "MS")]
    rtts: Vec<u64>,
    /// Moves there and back over each.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// The agent's memory, in MiB.
    #[arg(long, default_value_t = 512)]
    memory: u64,
    /// How much of that its program fills, in MiB.
    #[arg(long, default_value_t = 256)]
    fill: u64,
    /// How much it changes, in KiB a second; by default a third of what the line carries.
    #[arg(long, default_value_t = 4000)]
    dirty: u64,
    /// Instead: QEMU's own stream over the same line, plain (0) or by `multifd` with zstd over so many connections.
    #[arg(long, value_delimiter = ',', value_name = "CONNECTIONS")]
    own: Vec<u8>,
    /// The folder of the QEMU at both sites; by default the one that `cargo xtask setup` unpacks.
    #[arg(long, value_name = "DIR")]
    qemu: Option<PathBuf>,
    /// Where snowbird, wandisk and vmgl-proxy are (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Somebody types for so long before a move, to know what is usual.
const USUAL: Duration = Duration::from_secs(8);

/// Measures.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    setup::ensure_all()?;
    let rate = arguments.wan.rate as f64 / 8.0;
    ensure!(
        arguments.dirty as f64 * 1024.0 <= rate / 2.0,
        "what is dirtied is more than half of what the line carries"
    );
    println!(
        "{}; {} MiB, {} of them filled, {} KiB of them changed a second",
        wan::show_rate(arguments.wan.rate as f64),
        arguments.memory,
        arguments.fill,
        arguments.dirty
    );
    let lines =
        arguments.rtts.iter().map(|ms| Wan { rtt: Duration::from_millis(*ms), ..arguments.wan.clone() });
    let scratch = || Scratch::at(workspace::target().join(format!("bench-migrate-{}", std::process::id())));
    let qemu = arguments.qemu.clone().map_or_else(setup::qemu::folder, Ok)?.canonicalize()?;
    if !arguments.own.is_empty() {
        let program = qemu.join(setup::qemu::PROGRAM);
        let all = lines.flat_map(|line| arguments.own.iter().map(move |channels| (line.clone(), *channels)));
        return all.into_iter().try_for_each(|(line, channels)| {
            own::measure(arguments, &line, channels, &mut scratch()?, &program)
        });
    }
    let programs = arguments.programs.clone().map_or_else(rig::build, Ok)?.canonicalize()?;
    lines.into_iter().try_for_each(|line| one_line(arguments, &line, &qemu, &mut scratch()?, &programs))
}

fn one_line(
    arguments: &Arguments,
    line: &Wan,
    qemu: &Path,
    folder: &mut Scratch,
    programs: &Path,
) -> Result<()> {
    let world = World::make(arguments, line, qemu, folder, programs)?;
    for _ in 0..arguments.runs {
        for (from, to) in [("a", "b"), ("b", "a")] {
            Row::measure(&world, arguments, line, from, to)?.print(arguments.wan.rate as f64 / 8.0);
        }
    }
    world.ask(&["kill", AGENT]).map(drop)
}

/// A move and what was seen beside it.
struct Row {
    rtt_ms: f64,
    from: &'static str,
    memory: Memory,
    dirty: u64,
    account: Move,
    /// The longest time between two blocks of the agent's stream.
    gap_ms: f64,
    usual_ms: Vec<f64>,
    beside_ms: Vec<f64>,
}

impl Row {
    fn measure(
        world: &World,
        arguments: &Arguments,
        line: &Wan,
        from: &'static str,
        to: &str,
    ) -> Result<Row> {
        // Only from afar the screen shares the line with the move.
        let typist = if from == "b" { Some(world.typist()?) } else { None };
        if typist.is_some() {
            std::thread::sleep(USUAL);
        }
        let memory = memory::look(&world.pid_file(from), arguments.memory << 20)?;
        let usual = typist.as_ref().map_or_else(Vec::new, world::Samples::taken);
        world.gaps();
        let before = world::dirtied(&world.console)?;
        let account = world.migrate(to)?;
        let after = world::dirtied(&world.console)?;
        // The stream's other end may have to be asked once more.
        std::thread::sleep(Duration::from_secs(1));
        let gaps = world.gaps();
        ensure!(!gaps.is_empty(), "the agent's stream ended with the move from {from} or before it");
        let stood = account.stood_ms();
        let beside = typist.as_ref().map_or_else(Vec::new, world::Samples::taken);
        let times = |samples: &[(u64, f64)], from: u64, to: u64| {
            let within = samples.iter().filter(|(at, time)| *at >= from && *at as f64 + time <= to as f64);
            within.map(|(_, time)| *time).collect::<Vec<_>>()
        };
        Ok(Row {
            rtt_ms: line.rtt.as_secs_f64() * 1e3,
            from,
            memory,
            dirty: (after - before) * 4096,
            gap_ms: gaps.iter().map(|(_, gap)| *gap).fold(0.0, f64::max),
            usual_ms: times(&usual, 0, u64::MAX),
            beside_ms: times(&beside, account.asked_ms, stood),
            account,
        })
    }

    fn print(&self, rate: f64) {
        let report = &self.account.report;
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let parts = &report["parts"];
        let wire = &report["wire"];
        let (stood, total) = (number(&report["suspended_ms"]), number(&report["total_ms"]));
        let (last, queued) = (number(&wire["last_bytes"]), number(&wire["queued_bytes"]));
        let last_ms = last / rate * 1e3;
        let (besides, may) = (stood - last_ms, 3.0 * self.rtt_ms + 150.0);
        // What the command does before the move begins, where the agent is elsewhere, is waited for, too.
        let took = self.account.took_ms();
        let due_ms = (self.memory.packed + self.dirty) as f64 / rate * 1.15 * 1e3 + 2000.0;
        let gap_may = stood + self.rtt_ms + 200.0;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "\n{} ms, from {}: {}",
            self.rtt_ms,
            self.from,
            verdicts(&[besides <= may, took <= due_ms, self.gap_ms <= gap_may])
        );
        println!(
            "  total {took:.0} ms, {total:.0} of them the move's; bar {due_ms:.0}: {:.1} MiB not zero, {:.1} distinct, {:.1} packed by zstd -3; {:.1} dirtied",
            mib(self.memory.not_zero),
            mib(self.memory.distinct),
            mib(self.memory.packed),
            mib(self.dirty)
        );
        println!(
            "  on the line {:.1} MiB, {:.1} Mbit/s in all, {:.1} where its window was full; QEMU gave {:.1} MiB in {} passes; round trip seen {} ms",
            number(&wire["bytes"]) / f64::from(1 << 20),
            number(&wire["bytes"]) * 8e-3 / total,
            number(&wire["bytes_per_s"]) * 8e-6,
            number(&report["ram_bytes"]) / f64::from(1 << 20),
            report["ram"]["passes"],
            wire["rtt_ms"],
        );
        println!(
            "  stood {stood:.0} ms = drain {} + (table {} beside last pass and devices {}) + commit {} + start {}",
            parts["drain"], parts["table"], parts["device"], parts["commit"], parts["cont"]
        );
        println!(
            "  last pass and devices {:.0} KB = {last_ms:.0} ms of the line; {:.0} KB were on their way before; besides {besides:.0} ms; bar {may:.0}",
            last / 1e3,
            queued / 1e3
        );
        let (ready, preparing) = (&report["ready"], &report["preparing"]);
        println!(
            "  ready after {} ms until a replica was there + {} until its QEMU listened + {} until memory went",
            ready["replica"], ready["open"], ready["way"]
        );
        println!(
            "  the table's {:.0} ms = {:.0} before writes were held + {:.0} until they were + {:.0} until it was there, and the program; ahead of time: {}; QEMU answered after {} ms",
            number(&preparing["all_ms"]),
            number(&preparing["before_ms"]),
            number(&preparing["freeze_ms"]),
            number(&preparing["answer_ms"]),
            preparing["ahead"],
            parts["answer"]
        );
        println!("  {}", self.account.steps().join(", "));
        println!("  the agent's stream paused for {:.0} ms at most; bar {gap_may:.0}", self.gap_ms);
        if !self.usual_ms.is_empty() {
            let (usual, beside) = (middle(&self.usual_ms), middle(&self.beside_ms));
            println!(
                "  a key is seen after {usual:.0} ms, {beside:.0} while memory goes (medians of {} and {}); bar {:.0}: {}",
                self.usual_ms.len(),
                self.beside_ms.len(),
                usual + 30.0,
                verdicts(&[beside <= usual + 30.0])
            );
        }
    }
}

fn middle(times: &[f64]) -> f64 {
    super::link::median(&mut times.to_vec())
}

fn verdicts(met: &[bool]) -> String {
    met.iter().map(|met| if *met { "met" } else { "MISSED" }).collect::<Vec<_>>().join(", ")
}
