//! An agent whose program draws at its user's desk is moved to the server and back: how long the user has no picture, beside how long the
//! agent stood; how fast it draws before and after; and whether each picture came, and came once.
//!
//! Two sites over a line with a real sshd each, a translated machine by QEMU 10, and `snowbird view --gl` ([`rig`](crate::rig)). Far from
//! home each picture goes over the line, through the agent's switches and home's gateway. The time without a picture is seen by asking the
//! desk's proxy again and again how many its renderer has drawn; beside it stands what the agent's processor computed at its new place until the
//! next picture came ([`processor`](super::processor)), and what a picture costs it when nothing has moved.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::Arguments;
use super::processor::{Processor, Used};
use super::world::{Built, wan};
use crate::bench::display::bar::Bar;
use crate::bench::display::stage::ask;
use crate::rig::numbers::{COMMANDS, COMMANDS_ONCE, Told, work};
use crate::rig::{AGENT, DESK, PATIENCE, SERVER, Scratch, Shape, World, build, took_s};
use crate::workspace;

/// Where the desk hears the agent's program.
const PORT: u16 = 7300;
/// Longest wait for pictures.
const LONGEST: Duration = Duration::from_secs(120);
/// So many pictures have come before it is said that they come.
const COME: u64 = 10;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// What a TCP stream may pause beside the time in which the agent stands, and a round trip: its retransmission.
const BESIDE_S: f64 = 0.2;
/// What an agent's processor uses before the agent runs is less.
const RUNS_S: f64 = 0.003;

/// A move.
struct Moved {
    to: &'static str,
    before: f64,
    after: f64,
    total_s: f64,
    stood_s: f64,
    gap: Gap,
    /// What a picture takes of the agent's processor, at the new place, when nothing has moved for a while.
    picture_s: f64,
}

/// The longest time without a picture.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    lasted: Duration,
    /// Of that, until the agent's processor ran where it moved to.
    ran_after: Duration,
    /// Of that processor, from one picture to the other.
    used: Used,
}

impl Gap {
    /// What was neither stand nor computing, nor its turn's being waited for: somebody waited for something.
    fn waited_s(&self) -> f64 {
        self.lasted.saturating_sub(self.ran_after).as_secs_f64() - self.used.computed_s - self.used.queued_s
    }
}

/// Over each line.
pub(super) fn measure(built: &Built, arguments: &Arguments) -> Result<Vec<Bar>> {
    let programs = arguments.programs_from.clone().map_or_else(build, Ok)?.canonicalize()?;
    let mut bars = Vec::new();
    for ms in &arguments.rtts {
        let folder = workspace::target().join(format!("bench-moved-{}-{ms}", std::process::id()));
        bars.extend(one_line(*ms, &programs, &mut Scratch::at(folder)?, built, arguments)?);
    }
    Ok(bars)
}

fn one_line(
    rtt_ms: u64,
    programs: &Path,
    scratch: &mut Scratch,
    built: &Built,
    arguments: &Arguments,
) -> Result<Vec<Bar>> {
    let shape = Shape { wan: wan(rtt_ms), desk: None, programs: programs.to_owned() };
    let world = World::make(&shape, scratch)?;
    let library = built.library().join("libGLX_vmgl.so.0").canonicalize()?;
    let console = world.launch(&work(&world.folder, &library, PORT)?)?;
    world.snowbird(&["view", AGENT, "--print", &format!("--gl={PORT}")])?;
    let desk = Desk { ctl: world.folder.join(DESK).join("agents").join(AGENT).join("view.ctl") };
    desk.reach("the agent's program draws", |drawn| drawn.frames > COME)?;

    let mut moves = Vec::new();
    for _ in 0..arguments.runs {
        for to in [SERVER, DESK] {
            moves.push(moved(&world, &desk, to, arguments.time())?);
        }
    }

    console.forget();
    console.say(DESK, "job")?;
    let mut told = Told::default();
    let end = Instant::now() + PATIENCE;
    while told.drawn == 0 {
        told.hear(&console.next(end.saturating_duration_since(Instant::now()))?);
    }
    // What it has given may be on its way; what comes beyond it comes right behind it.
    let last = desk.reach("each picture has come", |drawn| drawn.frames >= told.drawn);
    let drawn = last.or_else(|_| desk.drawn())?;
    world.ask(&["kill", AGENT])?;
    ensure!(told.errors == 0, "the program was told of {} errors", told.errors);
    Ok(tell(rtt_ms, &moves, &told, &drawn))
}

/// One move, and what was seen beside it.
fn moved(world: &World, desk: &Desk, to: &'static str, time: Duration) -> Result<Moved> {
    let before = desk.rate(time)?;
    let end = AtomicBool::new(false);
    let there = world.folder.join(to).join("agents").join(AGENT);
    let (report, gap) = thread::scope(|scope| {
        let looking = scope.spawn(|| desk.longest_gap(&there, &end));
        let report = world.snowbird(&["migrate", AGENT, "--to", to]);
        let come = report.is_ok().then(|| desk.come("pictures come after the move"));
        end.store(true, Ordering::SeqCst);
        let gap = looking.join().map_err(|_| anyhow!("who looked for pictures panicked"))?;
        come.transpose()?;
        Ok::<_, anyhow::Error>((report?, gap))
    })?;
    let processor = Processor::of(&there).context("the agent has no processor where it moved to")?;
    let (used, drawn) = (processor.used(), desk.drawn()?.frames);
    let after = desk.rate(time)?;
    let pictures = desk.drawn()?.frames.saturating_sub(drawn);
    let used = processor.used().zip(used).map(|(now, before)| now - before);
    Ok(Moved {
        to,
        before,
        after,
        picture_s: used.context("the agent's processor has gone")?.computed_s / pictures.max(1) as f64,
        total_s: took_s(&report, "total_ms").context("the move's account has no time")?,
        stood_s: took_s(&report, "suspended_ms").context("the account does not say how long it stood")?,
        gap,
    })
}

/// What the renderer at the desk has drawn.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    frames: u64,
    commands: u64,
    packed_bytes: u64,
}

/// The proxy of the agent's view.
struct Desk {
    ctl: PathBuf,
}

impl Desk {
    /// Of the program, whether or not it is connected just now.
    fn drawn(&self) -> Result<Drawn> {
        let told = ask(&self.ctl, &json!({ "do": "gl" }))?;
        let programs = told["programs"].as_array().context("no programs")?;
        let number = |program: &Value, name: &str| program[name].as_u64().unwrap_or(0);
        let most = programs.iter().max_by_key(|program| number(program, "frames"));
        let most = most.context("no program draws at the desk")?;
        Ok(Drawn {
            frames: number(most, "frames"),
            commands: number(most, "commands"),
            packed_bytes: number(most, "packed_bytes"),
        })
    }

    fn reach(&self, what: &str, so: impl Fn(&Drawn) -> bool) -> Result<Drawn> {
        let end = Instant::now() + LONGEST;
        loop {
            match self.drawn() {
                Ok(drawn) if so(&drawn) => return Ok(drawn),
                // Before the first one there is none to be told of.
                last if Instant::now() > end => bail!("never: {what} ({last:?})"),
                _ => thread::sleep(LOOK),
            }
        }
    }

    /// Waits until more have come.
    fn come(&self, what: &str) -> Result<()> {
        let before = self.drawn()?.frames;
        self.reach(what, |drawn| drawn.frames > before + COME).map(drop)
    }

    /// Frames a second, in so long a time from now.
    fn rate(&self, time: Duration) -> Result<f64> {
        let (before, began) = (self.drawn()?.frames, Instant::now());
        thread::sleep(time);
        let (after, passed) = (self.drawn()?.frames, began.elapsed());
        Ok(after.saturating_sub(before) as f64 / passed.as_secs_f64())
    }

    /// The longest time without a picture, until it is told to end, of an agent that moves to where it has this folder.
    fn longest_gap(&self, there: &Path, end: &AtomicBool) -> Gap {
        let (mut count, mut since, mut longest) = (0, Instant::now(), Gap::default());
        let (mut processor, mut ran, mut used_before) = (None, None, Used::default());
        while !end.load(Ordering::SeqCst) {
            let frames = self.drawn().map_or(count, |drawn| drawn.frames);
            let now = Instant::now();
            processor = processor.or_else(|| Processor::of(there));
            let used = processor.as_ref().and_then(Processor::used).unwrap_or_default();
            if used.computed_s >= RUNS_S {
                ran.get_or_insert(now);
            }
            if now - since > longest.lasted {
                let ran_after = ran.unwrap_or(now).saturating_duration_since(since);
                longest = Gap { lasted: now - since, ran_after, used: used - used_before };
            }
            if frames > count {
                (count, since, used_before) = (frames, now, used);
            }
            thread::sleep(LOOK);
        }
        longest
    }
}

fn tell(rtt_ms: u64, moves: &[Moved], told: &Told, drawn: &Drawn) -> Vec<Bar> {
    println!(
        "\n{rtt_ms} ms, 100 Mbit/s: an agent of 256 MiB that draws is moved; seconds, and frames a second at the desk"
    );
    println!(
        "  {:<8} {:>7} {:>7} {:>11} {:>7} | {:>9} {:>9} {:>8} {:>7} | {:>8} | {:>7} {:>7}",
        "to the",
        "in all",
        "stood",
        "no picture",
        "bar",
        "until ran",
        "computed",
        "queued",
        "waited",
        "ms, warm",
        "before",
        "after"
    );
    let mut bars = Vec::new();
    for Moved { to, before, after, total_s, stood_s, gap, picture_s } in moves {
        let to = if *to == DESK { "desk" } else { "server" };
        let (gap_s, ran_s) = (gap.lasted.as_secs_f64(), gap.ran_after.as_secs_f64());
        let bar = stood_s + rtt_ms as f64 / 1e3 + BESIDE_S;
        println!(
            "  {to:<8} {total_s:>7.2} {stood_s:>7.3} {gap_s:>11.3} {bar:>7.3} | {ran_s:>9.3} {:>9.3} {:>8.3} {:>7.3} | {:>8.1} | {before:>7.1} {after:>7.1}",
            gap.used.computed_s,
            gap.used.queued_s,
            gap.waited_s(),
            picture_s * 1e3
        );
        let what = format!("moved to the {to}, {rtt_ms} ms: seconds without a picture");
        bars.push(Bar::at_most(what, gap_s, " s", bar));
    }
    println!(
        "  no picture: until the agent's processor ran at its new place, then what that computed (all it runs is translated anew), what\n  \
         it waited for one of this machine's, and what it waited otherwise; warm: what a picture costs it when nothing has moved"
    );
    let (lost, twice) = (told.drawn.saturating_sub(drawn.frames), drawn.frames.saturating_sub(told.drawn));
    // What a picture is made of has come once, too: beyond that there is what the program says at its beginning.
    let beyond = drawn.commands as f64 - (told.drawn * COMMANDS) as f64;
    println!(
        "  {} pictures: {lost} lost, {twice} drawn twice; {beyond} commands beyond theirs; {} bytes came, {} were sent by the last connection, {} of them again",
        told.drawn, drawn.packed_bytes, told.sent, told.again
    );
    bars.push(Bar::at_most(
        format!("{rtt_ms} ms: pictures lost or drawn twice"),
        (lost + twice) as f64,
        "",
        0.0,
    ));
    bars.push(Bar::at_most(
        format!("{rtt_ms} ms: commands beyond the pictures'"),
        beyond.abs(),
        "",
        COMMANDS_ONCE as f64,
    ));
    bars
}
