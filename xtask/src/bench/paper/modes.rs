//! A job in each mode: at the desk only, at the server only, and where Snowbird has it. One agent does them in turn; it is moved
//! by hand between two modes, never within one of the first two. A session that cannot be replayed costs no crunch: that is kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::job::Job;
use super::kept::{Kept, Moved, Row, Seen};
use super::trace::Listener;
use super::{Arguments, look};
use crate::rig::console::Console;
use crate::rig::{AGENT, DESK, PATIENCE, SERVER, World, now_ms, shown, since_s, took_s};

/// How long the agent idles, watched, before it computes: longer than the profile's window, which is full then.
const IDLES: Duration = Duration::from_secs(12);
/// How long it has computed when it is moved by hand: about as long as the profile takes to see it.
const COMPUTES: Duration = Duration::from_secs(10);
/// After a session: for a move that is under way.
const LEAST: Duration = Duration::from_secs(45);
/// A session with Snowbird, in seconds: the profile's least time at a place, its window, and some keys.
const SESSION_S: u32 = 90;

/// Where a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// At the desk only; its screen is looked at there.
    Desk,
    /// At the server only; its screen is looked at by a plain viewer over the WAN.
    Server,
    /// Begun at the desk, moved by itself; its screen is looked at through `snowbird view`.
    Snowbird,
    /// Begun at the desk, moved by hand while it computes; nobody looks. Tells the move's account.
    Hand,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Server => "server",
            Self::Snowbird => "snowbird",
            Self::Hand => "hand",
        }
    }
}

/// Does a job in the modes that are wanted; sessions that were not replayed are told in `faults`.
pub(super) fn run(
    world: &World,
    job: Job,
    arguments: &Arguments,
    kept: &Kept,
    faults: &mut Vec<String>,
) -> Result<()> {
    println!("\n{}: the agent boots at the desk …", job.name());
    let console = world.launch(&job.work(world, arguments)?)?;
    let _nfs = job.surroundings(world, arguments)?;
    let mut at = DESK;
    for mode in arguments.mode.iter().copied() {
        let wanted = if mode == Mode::Server { SERVER } else { DESK };
        if at != wanted {
            world.migrate(wanted)?;
        }
        at = wanted;
        println!("\n{}, {}:", job.name(), mode.name());
        let rtt_ms = u64::try_from(arguments.wan.rtt.as_millis()).unwrap_or(u64::MAX);
        let mut row = Row {
            job: job.name().to_owned(),
            mode: mode.name().to_owned(),
            rtt_ms,
            size: format!("{}, desk {}", job.size(arguments), arguments.desk),
            crunch_s: 0.0,
            there: None,
            back: None,
            seen: None,
        };
        let report = kept.report(&row.job, &row.mode, rtt_ms);
        let seconds = arguments.look;
        let looked = match mode {
            Mode::Desk => {
                row.crunch_s = console.job(DESK, PATIENCE)?;
                look::replay(world, &look::at_desk(world), seconds, &report)
            }
            Mode::Server => {
                row.crunch_s = console.job(SERVER, PATIENCE)?;
                look::Far::open(world).and_then(|far| look::replay(world, far.address(), seconds, &report))
            }
            Mode::Snowbird => {
                let (looked, site) = snowbird(world, &console, &mut row, arguments, &report, faults)?;
                at = site;
                looked
            }
            Mode::Hand => {
                row.crunch_s = by_hand(world, &console)?;
                at = SERVER;
                Ok(None)
            }
        };
        match looked {
            Ok(seen) => row.seen = seen,
            Err(error) => {
                let fault = format!("{}, {}, its session: {error:#}", row.job, row.mode);
                println!("   {fault}");
                faults.push(fault);
            }
        }
        println!("   crunch {:.1} s", row.crunch_s);
        kept.add(&row)?;
    }
    world.end()
}

/// A crunch that is moved to the server while it goes; how long it took.
fn by_hand(world: &World, console: &Console) -> Result<f64> {
    let began = console.begins(DESK, PATIENCE)?;
    std::thread::sleep(COMPUTES);
    let account = world.snowbird(&["migrate", AGENT, "--to", SERVER])?;
    println!("   {}\n   {account}", shown(&account));
    console.ends(began, PATIENCE)
}

/// Crunch and session where it wants to be; what was seen, and where it is afterwards.
fn snowbird(
    world: &World,
    console: &Console,
    row: &mut Row,
    arguments: &Arguments,
    report: &std::path::Path,
    faults: &mut Vec<String>,
) -> Result<(Result<Option<Seen>>, &'static str)> {
    world.snowbird(&["auto", AGENT, "auto", "--role", &format!("compute={SERVER}")])?;
    let listener = arguments.trace.as_ref().map(|_| Listener::begin(world)).transpose()?;
    std::thread::sleep(IDLES);
    let (asked, began) = (now_ms(), Instant::now());
    row.crunch_s = console.job(DESK, PATIENCE)?;
    if let (Some(listener), Some(folder)) = (listener, &arguments.trace) {
        let made =
            format!("recorded (cargo xtask bench paper): {}, {}, {} ms", row.job, row.size, row.rtt_ms);
        listener.write(&folder.join(format!("{}.jsonl", row.job)), &made, began)?;
    }
    match world.moved(SERVER, asked, LEAST) {
        Ok((decided, account)) => {
            println!("   there: seen after {:.1} s; {}", since_s(asked, decided), shown(&account));
            row.there = Some(moved(asked, decided, &account).context("the move's account lacks a time")?);
        }
        // The crunch is one all the same, and the log says why it stayed.
        Err(error) => faults.push(format!("{}, {}, its move: {error:#}", row.job, row.mode)),
    }
    let mut looked = Ok(None);
    let seconds = arguments.look;
    if seconds > 0 {
        let began = now_ms();
        looked = look::view(world)
            .and_then(|address| look::replay(world, &address, seconds.max(SESSION_S), report));
        match world.moved(DESK, began, LEAST) {
            Ok((decided, account)) => {
                println!("   back: seen after {:.1} s; {}", since_s(began, decided), shown(&account));
                row.back = moved(began, decided, &account);
            }
            // That it is crisp enough where it is, is an answer, too; the log says which.
            Err(error) => println!("   {error:#}"),
        }
    }
    world.tell_log()?;
    world.snowbird(&["auto", AGENT, "off"])?;
    // A move that was late may have ended since.
    let standing = world.ask(&["status", AGENT])?;
    match standing["site"].as_str().context("the agent's status names no site")? {
        site if site == SERVER => Ok((looked, SERVER)),
        _ => Ok((looked, DESK)),
    }
}

fn moved(from_ms: u64, decided_ms: u64, account: &serde_json::Value) -> Option<Moved> {
    let migrate_s = took_s(account, "total_ms")?;
    Some(Moved {
        detect_s: since_s(from_ms, decided_ms),
        migrate_s,
        suspend_s: took_s(account, "suspended_ms")?,
    })
}
