//! Close the laptop, the crunch goes on, open it and it is there: an agent computes at the server while nothing answers at home, which
//! sleeps (its processes stand, and the lines to it are dead when it wakes) or has lost its power (they are gone).

use std::collections::BTreeSet;

use agent_init::{RESULT, number};
use rustix::process::Signal;

use crate::viewer::Viewer;
use crate::world::{AGENT, World, beside, eventually, signal};

/// Nothing of home's does anything any more, and nobody reaches it. Gives what it did it with.
fn close(world: &World, how: Signal) -> BTreeSet<i32> {
    world.cut(true);
    let mut all = BTreeSet::new();
    // (One may just have begun another.)
    while let Some(pid) = world.processes_at("a", "").into_iter().find(|pid| !all.contains(pid)) {
        signal(pid, how);
        all.insert(pid);
    }
    world.sever();
    all
}

fn open(world: &World, all: BTreeSet<i32>, how: Signal) {
    world.cut(false);
    if how == Signal::STOP {
        all.into_iter().for_each(|pid| signal(pid, Signal::CONT));
    }
}

fn view(world: &World) -> Viewer {
    let shown = world.ok("a", &["view", AGENT, "--print"]);
    let mut viewer = Viewer::at(shown["address"].as_str().unwrap());
    viewer.sees(&world.home("b").join("agents").join(AGENT).join("display.sock"));
    viewer
}

fn computes_while_home_is_away(how: Signal) {
    beside("vmgl-proxy");
    let world = World::with_agent_on(World::with_newer_qemu(&["a", "b"]), &["--size", "8M"]);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    world.ok("a", &["sync", AGENT, "--site", "b"]);
    drop(view(&world));
    world.judge.say("b", "work");
    eventually("the agent computes", || world.judge.said("b", "works"));

    let all = close(&world, how);
    world.judge.goes_on_at("b");
    world.judge.say("b", "rest");
    eventually("its work is done", || world.judge.begins("b", "result ").is_some());
    world.judge.goes_on_at("b");
    assert_eq!(world.state("b"), "running");

    open(&world, all, how);
    let status = world.ok("a", &["status", AGENT]);
    assert_eq!((status["state"].as_str(), status["site"].as_str()), (Some("running"), Some("b")), "{status}");
    drop(view(&world));
    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    assert_eq!(world.processes("guest=vm").len(), 1);
    world.end_at("a");
    let disk = std::fs::read(world.file("disk.raw")).unwrap();
    let found = number(&disk[usize::try_from(RESULT).unwrap()..][..agent_init::BLOCK]).unwrap();
    assert_eq!(world.judge.begins("b", "result "), Some(format!("result {found}")));
}

#[test]
fn an_agent_computes_on_while_home_sleeps_and_its_result_is_there_when_home_wakes() {
    computes_while_home_is_away(Signal::STOP);
}

#[test]
fn and_so_it_does_while_home_has_no_power() {
    computes_while_home_is_away(Signal::KILL);
}
