//! A real agent at two sites, and four users who say whatever comes into their heads, at both; commands are killed in the middle,
//! and so are supervisors.
//!
//! The judge of the tests of agents listens all the time: a number said twice would be two agents.

use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::world::{AGENT, World, kill};
use crate::{from_environment, seed, told};

/// Long enough for a move and a suspension between all the rest.
const SECONDS: u64 = 12;
const USERS: u64 = 4;
/// A command that is killed is killed within this time.
const KILLED_MS: u64 = 2500;
/// What was begun may have to be waited for, and given up.
const SETTLES: Duration = Duration::from_secs(150);
const LOOK: Duration = Duration::from_millis(50);

/// What is said, more or less often.
fn order(random: &mut Rng) -> Vec<&'static str> {
    let other = if random.bool() { "a" } else { "b" };
    match random.u8(..32) {
        0..4 => vec!["status", AGENT],
        4..6 => vec!["ls"],
        6 => vec!["log", AGENT],
        7..10 => vec!["launch", AGENT],
        10 => vec!["kill", AGENT],
        11..14 => vec!["suspend", AGENT],
        14..17 => vec!["resume", AGENT],
        17..19 => vec!["resume", AGENT, "--at", other],
        19..24 => vec!["migrate", AGENT, "--to", other],
        24..27 => vec!["cancel", AGENT],
        27 => vec!["stay", AGENT, "--for", "1h"],
        28 => vec!["auto", AGENT, "advise"],
        29 => vec!["auto", AGENT, "off"],
        30 => vec!["sync", AGENT, "--site", other],
        _ => vec!["net", AGENT, "ls"],
    }
}

/// The order to its end; `None` if it was killed.
fn said(world: &World, site: &str, order: &[&str], random: &mut Rng) -> Option<Output> {
    if random.u8(..5) < 3 {
        return Some(world.run(site, order));
    }
    let mut command = world.command_for_long(site, order);
    let mut child: Child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // (When is left to chance: nothing waits for it.)
    std::thread::sleep(Duration::from_millis(random.u64(..KILLED_MS)));
    child.kill().ok();
    child.wait().unwrap();
    None
}

fn user(world: &World, mut random: Rng, end: Instant, counts: &[AtomicU64; 3]) {
    while Instant::now() < end {
        let site = if random.u8(..3) < 2 { "a" } else { "b" };
        let order = order(&mut random);
        match said(world, site, &order, &mut random) {
            Some(output) => {
                let words = [&["--json"], &order[..]].concat();
                told::well(&words, &output);
                counts[usize::from(!output.status.success())].fetch_add(1, Ordering::Relaxed);
            }
            None => drop(counts[2].fetch_add(1, Ordering::Relaxed)),
        }
        if random.u8(..12) == 0 {
            let supervisors = world.processes("supervise");
            if !supervisors.is_empty() {
                kill(supervisors[random.usize(..supervisors.len())]);
            }
        }
    }
}

#[track_caller]
fn within<T>(what: &str, mut so: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + SETTLES;
    loop {
        match so() {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < end, "{what}: {why}"),
        }
        std::thread::sleep(LOOK);
    }
}

/// How it stands, by the word of both sites.
fn stands(world: &World) -> Result<(&'static str, String), String> {
    let status = |site: &str| -> Result<Value, String> {
        let output = world.run(site, &["status", AGENT]);
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        if output.status.success() { Ok(value) } else { Err(value.to_string()) }
    };
    let at_home = status("a")?;
    let (site, state) = (if at_home["site"] == "b" { "b" } else { "a" }, at_home["state"].as_str());
    match state {
        Some(state @ ("running" | "suspended" | "off")) => {
            // (A site at which it never was does not know it.)
            let there = status("b");
            let agrees = there.as_ref().is_ok_and(|there| there["site"] == site && there["state"] == state);
            if agrees || (site == "a" && there.is_err()) {
                Ok((site, state.to_owned()))
            } else {
                Err(format!("home: {at_home}; there: {there:?}"))
            }
        }
        _ => Err(at_home.to_string()),
    }
}

#[test]
fn whatever_many_say_at_once_and_whatever_is_killed_one_agent_is_there() {
    let seed = seed();
    let world = World::with_agent();
    let end =
        Instant::now() + Duration::from_secs(from_environment("SNOWBIRD_STORM_SECONDS").unwrap_or(SECONDS));
    let counts = [const { AtomicU64::new(0) }; 3];
    std::thread::scope(|scope| {
        for n in 0..USERS {
            let (world, counts) = (&world, &counts);
            scope.spawn(move || user(world, Rng::with_seed(seed.wrapping_add(n)), end, counts));
        }
    });
    let (site, state) = within("it is said how it stands, and both sites agree", || stands(&world));
    eprintln!("done, refused, killed: {counts:?}; it is {state} at {site}");
    let machines = usize::from(state == "running");
    within("there are as many machines as run", || {
        let there = world.processes("qemu-system").len();
        if there == machines { Ok(()) } else { Err(format!("{there} machines, it is {state}")) }
    });
    match state.as_str() {
        "running" => {}
        "suspended" => drop(world.ok(site, &["resume", AGENT])),
        _ => drop(world.ok(site, &["launch", AGENT])),
    }
    world.judge.goes_on_at(site);
    world.ok("a", &["auto", AGENT, "off"]);
    // It can be moved as ever.
    let other = if site == "a" { "b" } else { "a" };
    world.ok(site, &["migrate", AGENT, "--to", other]);
    world.judge.goes_on_at(other);
    for site in ["a", "b"] {
        told::sound(&world, site);
        within("no memory is left behind", || {
            let left = told::left_behind(&world, site);
            if left.is_empty() { Ok(()) } else { Err(format!("at {site}: {left:?}")) }
        });
    }
    world.end_at(other);
}
