//! Everything that may die, at every step of a move, a suspension and a resume at another site.
//!
//! A step is a call of `wandisk` that a supervisor makes (in [`STEPS`]; one that is not reached fails the test, so the table is
//! true). There the supervisor is held, something is killed, and it is let go. Afterwards the agent runs at one site, or it is
//! suspended or off and says so, and then it is let go on by hand; at the end its disk holds what it said.
//!
//! All of it takes minutes: a part is tried each time, `SNOWBIRD_MATRIX=migrate|suspend|resume|all` tries more.

use std::process::Child;

use serde_json::Value;

use crate::world::{AGENT, World, eventually, kill};

/// Who makes a call: the site where the agent is, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Source,
    Destination,
}

const STEPS: [(&str, At, &[&str]); 5] = [
    ("migrate", At::Source, &["prepare", "abort", "quiesce", "quiesce", "prepare", "commit", "detach"]),
    ("migrate", At::Destination, &["attach"]),
    ("suspend", At::Source, &["quiesce", "detach"]),
    ("resume", At::Source, &["prepare", "abort", "prepare", "commit"]),
    ("resume", At::Destination, &["attach"]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Supervisor(At),
    Qemu(At),
    /// The process of `wandisk` that keeps the disk.
    Keeper(At),
    /// Every connection between the sites; new ones can be made.
    Link,
    /// Whoever asked.
    Command,
}

const VICTIMS: [Victim; 8] = [
    Victim::Supervisor(At::Source),
    Victim::Supervisor(At::Destination),
    Victim::Qemu(At::Source),
    Victim::Qemu(At::Destination),
    Victim::Keeper(At::Source),
    Victim::Keeper(At::Destination),
    Victim::Link,
    Victim::Command,
];

/// A step of an operation, and what is killed there.
#[derive(Clone, Copy, Debug)]
struct Case {
    verb: &'static str,
    at: At,
    /// Which call it is, from 1.
    call: usize,
    name: &'static str,
    victim: Victim,
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (verb, at, calls) in STEPS {
        for (before, name) in calls.iter().enumerate() {
            for victim in VICTIMS {
                all.push(Case { verb, at, call: before + 1, name, victim });
            }
        }
    }
    all
}

/// Processes of a site with this word.
fn of_site(world: &World, site: &str, word: &str) -> Vec<i32> {
    let home = world.home(site).display().to_string();
    let of = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        words.iter().any(|w| *w == home) || cwd.starts_with(&home)
    };
    world.processes(word).into_iter().filter(of).collect()
}

fn strike(world: &World, case: Case, [source, other]: [&str; 2]) {
    let site = |at| if at == At::Source { source } else { other };
    let pids = match case.victim {
        Victim::Supervisor(at) => of_site(world, site(at), "supervise"),
        Victim::Qemu(at) => of_site(world, site(at), "qemu-system"),
        Victim::Keeper(at) => of_site(world, site(at), "keeper"),
        Victim::Command => of_site(world, source, case.verb),
        Victim::Link => {
            world.sever();
            return world.cut(false);
        }
    };
    pids.into_iter().for_each(kill);
}

/// Where the agent runs once it does, and how it stood before, if it had to be let go on by hand.
fn goes_on(world: &World) -> (&'static str, Option<String>) {
    let mut by_hand = None;
    let mut seen: Option<(&str, u64)> = None;
    let mut at = "a";
    eventually("the agent runs at one site and says new numbers", || {
        let output = world.run("a", &["status", AGENT]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let site = if status["site"] == "b" { "b" } else { "a" };
        let newest = world.judge.newest();
        match status["state"].as_str() {
            Some("running") => match seen {
                Some((before, number)) if before == site => {
                    at = site;
                    return newest >= number + 5;
                }
                _ => seen = Some((site, newest)),
            },
            Some(state @ ("suspended" | "off")) => {
                seen = None;
                by_hand = Some(status["told"].as_str().unwrap_or_default().to_owned());
                world.run(site, &[if state == "off" { "launch" } else { "resume" }, AGENT]);
            }
            _ => seen = None,
        }
        false
    });
    world.judge.goes_on_at(at);
    (at, by_hand)
}

/// Holds whoever makes the call, kills, lets go; gives how the agent stood and where it goes on.
fn tried(world: &World, case: Case, source: &'static str) -> &'static str {
    let other = if source == "a" { "b" } else { "a" };
    let site = if case.at == At::Source { source } else { other };
    if case.verb == "resume" {
        world.ok(source, &["suspend", AGENT]);
    }
    let hit = world.file(&format!("hook-{site}.hit"));
    let go = world.file(&format!("hook-{site}.go"));
    world.hook(
        site,
        &format!(
            "if [ \"$4\" != status ]; then echo \"$4\" >> $hook.calls
             if [ $(wc -l < $hook.calls) = {} ]; then rm -f $hook $hook.calls; echo \"$4\" > $hook.hit.new; mv $hook.hit.new $hook.hit
             while [ ! -e $hook.go ]; do sleep 0.02; done; rm -f $hook.go; fi; fi",
            case.call
        ),
    );
    let args: &[&str] = match case.verb {
        "migrate" => &["migrate", AGENT, "--to", other],
        "suspend" => &["suspend", AGENT],
        _ => &["resume", AGENT, "--at", other],
    };
    let mut asked: Child = world.command(source, args).spawn().unwrap();
    eventually(&format!("{case:?} is reached"), || hit.exists());
    assert_eq!(std::fs::read_to_string(&hit).unwrap().trim(), case.name, "{case:?}");
    std::fs::remove_file(&hit).unwrap();
    strike(world, case, [source, other]);
    std::fs::write(&go, "").unwrap();
    asked.wait().unwrap();
    let (at, by_hand) = goes_on(world);
    eprintln!("{} {} {:?} {:?}: {by_hand:?}, at {at}", case.verb, case.name, case.at, case.victim);
    at
}

#[test]
fn whatever_dies_at_a_step_one_agent_goes_on_with_its_disk() {
    let wanted = std::env::var("SNOWBIRD_MATRIX").unwrap_or_default();
    let all = cases();
    let chosen: Vec<Case> = match wanted.as_str() {
        // Spread over steps and victims: 43 has no factor in common with the eight victims.
        "" => all.iter().step_by(43).copied().collect(),
        "all" => all,
        verb => all.into_iter().filter(|case| case.verb == verb).collect(),
    };
    assert!(!chosen.is_empty(), "SNOWBIRD_MATRIX is migrate, suspend, resume or all");
    let world = World::with_agent();
    let mut at = "a";
    for case in chosen {
        at = tried(&world, case, at);
    }
    world.end_at(at);
}
