//! Everything that may die, at every step of a move, a suspension and a resume at another site, from home and back to it.
//!
//! A step is a call of `wandisk` that a supervisor makes (in [`STEPS`]; one that is not reached fails the test, so the table is
//! true). There the supervisor is held, something is killed, and it is let go. Afterwards the agent runs at one site, or it is
//! suspended or off and says so, and then it is let go on by hand; at the end its disk holds what it said.
//!
//! With the machine's own QEMU an agent that is moved may stand before its first page is copied (before 9.0 it does, translated). Moves
//! of the kind `live` are by QEMU 10 at both sites: the agent goes on, and one more step is the middle of that, where part of the memory
//! is there and the stream is held. The switch-over comes later there, and by QEMU itself.
//!
//! A third site has chunks that the other two have not. In the cases that are about it the agent reads one of them, and the third
//! site has come to a stand when the move begins; at the step it dies, or is cut off until the move has ended. The agent has the
//! chunk in the end.
//!
//! All of it takes three quarters of an hour: a part is tried each time, `SNOWBIRD_MATRIX=migrate|suspend|resume|third|live|all` tries more, of those
//! some with `SNOWBIRD_MATRIX=migrate:0-20`, and of these every third with `SNOWBIRD_MATRIX=migrate:0-20/3`.

use std::process::Child;
use std::time::Instant;

use agent_init::SLOTS;
use rustix::process::Signal;
use serde_json::Value;

use crate::pauses::far_image;
use crate::world::{AGENT, World, beside, eventually, kill, signal};

/// Who makes a call: the site where the agent is, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Source,
    Destination,
}

/// Operations, who makes the calls, the number of the first of these, and which they are.
const STEPS: [(&str, At, usize, &[&str]); 7] = [
    // (A disk that was released is attached no more: its device died with the release.)
    ("migrate", At::Source, 1, &["prepare", "abort", "quiesce", "quiesce", "prepare", "commit"]),
    ("migrate", At::Destination, 1, &["attach"]),
    ("suspend", At::Source, 1, &["quiesce", "detach"]),
    ("resume", At::Source, 1, &["prepare", "abort", "prepare", "commit"]),
    ("resume", At::Destination, 1, &["attach"]),
    // (What comes before the first page is that of `migrate`.)
    (LIVE, At::Source, 0, &[COPYING]),
    (LIVE, At::Source, 3, &["quiesce", "prepare", "commit"]),
];
/// A move in which the agent goes on while its memory is copied.
const LIVE: &str = "live";
/// No call, but while memory is copied.
const COPYING: &str = "copying";

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
    /// Whatever runs of the third site.
    Third,
    /// The way to the third site, until whoever asked is answered.
    ThirdLink,
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
const THIRD: [Victim; 2] = [Victim::Third, Victim::ThirdLink];

/// A step of an operation, and what is killed there.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: &'static str,
    at: At,
    name: &'static str,
    /// Which call of that name it is, from 1.
    nth: usize,
    victim: Victim,
    /// Where the agent is.
    from: &'static str,
}

impl Case {
    /// Is it one of those that `SNOWBIRD_MATRIX` calls so?
    fn is(&self, word: &str) -> bool {
        let third = THIRD.contains(&self.victim) && self.kind != LIVE;
        word == "all" || if third { word == "third" } else { word == self.kind }
    }

    /// The command that does it.
    fn verb(&self) -> &'static str {
        if self.kind == LIVE { "migrate" } else { self.kind }
    }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (kind, at, first, calls) in STEPS {
        let before = &STEPS[0].3[..first.saturating_sub(1)];
        for (i, name) in calls.iter().enumerate() {
            let nth = before.iter().chain(&calls[..=i]).filter(|call| *call == name).count();
            let third = if ["migrate", LIVE].contains(&kind) { &THIRD[..] } else { &[] };
            for victim in VICTIMS.iter().chain(third) {
                for from in ["a", "b"] {
                    all.push(Case { kind, at, name, nth, victim: *victim, from });
                }
            }
        }
    }
    all
}

fn strike(world: &World, case: Case, [source, other]: [&str; 2]) {
    let site = |at| if at == At::Source { source } else { other };
    let pids = match case.victim {
        Victim::Supervisor(at) => world.processes_at(site(at), "supervise"),
        Victim::Qemu(at) => world.processes_at(site(at), "qemu-system"),
        Victim::Keeper(at) => world.processes_at(site(at), "keeper"),
        Victim::Command => world.processes_at(source, case.verb()),
        Victim::Third => world.processes_at("c", ""),
        Victim::ThirdLink => {
            world.processes_at("c", "").into_iter().for_each(|pid| signal(pid, Signal::CONT));
            return world.cut_third(true);
        }
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

/// The agent waits for a chunk that only the third site has, and that is brought to a stand.
fn reads_from_third(world: &World, site: &str) {
    // (It fails for what the agent has written since, which nobody else has.)
    for holder in ["a", "b"] {
        let mut evict = std::process::Command::new(beside("wandisk"));
        evict.arg("--home").arg(world.home(holder)).args(["--json", "evict", AGENT]).output().unwrap();
    }
    let waiting = |world: &World| world.wandisk(site, &["status", AGENT])["fetch"]["waiting"] != 0;
    // Whatever else it reads is here again when it has read all of it once: what it waits for then is what it is told to look at.
    let before = world.judge.newest();
    eventually("all else is here again", || world.judge.newest() > before + SLOTS + 2);
    world.judge.goes_on_at(site);
    eventually("nothing is waited for", || !waiting(world));
    world.processes_at("c", "").into_iter().for_each(|pid| signal(pid, Signal::STOP));
    world.judge.say(site, "look");
    eventually("a chunk of the third site is waited for", || waiting(world));
}

/// Has whoever makes the `nth` call of that name wait there; then a file is there, and another one lets it go on. (By its name:
/// `quiesce` and `prepare` are made at once.)
fn hold_at_call(world: &World, site: &str, name: &str, nth: usize) {
    world.hook(
        site,
        &format!(
            "if [ \"$4\" = {name} ]; then echo >> $hook.calls
             if [ $(wc -l < $hook.calls) = {nth} ]; then rm -f $hook $hook.calls; echo > $hook.hit
             while [ ! -e $hook.go ]; do sleep 0.02; done; rm -f $hook.go; fi; fi"
        ),
    );
}

/// Holds it at the step, kills, lets go; gives how the agent stood and where it goes on.
fn tried(world: &World, case: Case) -> &'static str {
    let source = case.from;
    let began = Instant::now();
    let third = THIRD.contains(&case.victim);
    let looked = world.judge.looked();
    let other = if source == "a" { "b" } else { "a" };
    let site = if case.at == At::Source { source } else { other };
    if case.verb() == "resume" {
        world.ok(source, &["suspend", AGENT]);
    }
    if third {
        reads_from_third(world, source);
    }
    let (hit, go) = (world.file(&format!("hook-{site}.hit")), world.file(&format!("hook-{site}.go")));
    let copying = case.name == COPYING;
    if copying {
        world.hold(true);
    } else {
        hold_at_call(world, site, case.name, case.nth);
    }
    let args: &[&str] = match case.verb() {
        "migrate" => &["migrate", AGENT, "--to", other],
        "suspend" => &["suspend", AGENT],
        _ => &["resume", AGENT, "--at", other],
    };
    let mut asked: Child = world.command(source, args).spawn().unwrap();
    let reached = || if copying { world.is_copied_from(source) } else { hit.exists() };
    eventually(&format!("{case:?} is reached"), reached);
    if copying {
        // (Who waits for the third site goes on when it has what it waits for.)
        if !third {
            world.judge.goes_on_at(source);
        }
        strike(world, case, [source, other]);
        world.hold(false);
    } else {
        std::fs::remove_file(&hit).unwrap();
        strike(world, case, [source, other]);
        std::fs::write(&go, "").unwrap();
    }
    asked.wait().unwrap();
    if case.victim == Victim::ThirdLink {
        world.cut_third(false);
    }
    let (at, by_hand) = goes_on(world);
    if third {
        eventually("it has the chunk", || world.judge.looked() > looked);
    }
    let Case { kind, name, at: who, victim, from, .. } = case;
    eprintln!("{kind} {name} {who:?} {victim:?} from {from}: {by_hand:?}, at {at}, {:.1?}", began.elapsed());
    at
}

/// Of the cases that are called so, those from one number to another, or some of them.
fn chosen(wanted: &str) -> Vec<Case> {
    let (word, part) = wanted.split_once(':').unwrap_or((wanted, "0-"));
    let (part, step) = part.split_once('/').unwrap_or((part, "1"));
    let (first, last) = part.split_once('-').unwrap();
    let (first, last) = (first.parse().unwrap(), last.parse().unwrap_or(usize::MAX));
    let all: Vec<Case> = cases().into_iter().filter(|case| case.is(word)).collect();
    let some = (first..all.len().min(last.saturating_add(1))).step_by(step.parse().unwrap());
    some.map(|n| all[n]).collect()
}

/// What `SNOWBIRD_MATRIX` says of the cases that are live or are not; without it these.
fn wanted(live: bool, sample: impl FnOnce() -> Vec<Case>) -> Vec<Case> {
    let wanted = std::env::var("SNOWBIRD_MATRIX").unwrap_or_default();
    let all = if wanted.is_empty() { sample() } else { chosen(&wanted) };
    assert!(
        !all.is_empty(),
        "SNOWBIRD_MATRIX is migrate, suspend, resume, third, live or all, and perhaps :FROM-TO or :FROM-TO/STEP"
    );
    all.into_iter().filter(|case| (case.kind == LIVE) == live).collect()
}

fn all_of(cases: Vec<Case>, world: World) {
    world.add_third();
    let image = world.file("far.raw");
    far_image(&image);
    let world = World::with_agent_on(world, &["--image", image.to_str().unwrap()]);
    world.wandisk("a", &["sync", AGENT, "--site", "c"]);
    let mut at = "a";
    for case in cases {
        if at != case.from {
            world.ok(at, &["migrate", AGENT, "--to", case.from]);
            world.judge.goes_on_at(case.from);
        }
        at = tried(&world, case);
    }
    world.end_at(at);
}

#[test]
fn whatever_dies_at_a_step_one_agent_goes_on_with_its_disk() {
    // Spread over steps, victims and directions, and one about the third site.
    let sample = || {
        let third = chosen("third").into_iter().skip(9).take(1);
        let others = cases().into_iter().filter(|case| case.kind != LIVE);
        others.step_by(63).chain(third).collect()
    };
    let cases = wanted(false, sample);
    if !cases.is_empty() {
        all_of(cases, World::new());
    }
}

#[test]
fn whatever_dies_while_memory_is_copied_or_after_it_one_agent_goes_on_with_its_disk() {
    // Three in the middle of the copying, then one about the third site there, and one at each step after it.
    let sample = || [chosen("live:0-19/7"), chosen("live:17-/17")].concat();
    let cases = wanted(true, sample);
    if !cases.is_empty() {
        all_of(cases, World::with_newer_qemu(&["a", "b"]));
    }
}
