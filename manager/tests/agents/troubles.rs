//! Trouble at every step of a move, made by what stands before `wandisk` and before the link. After each one exactly one
//! agent runs, and it goes on where it was or at the other site.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use manager::agent::store::Store;
use manager::control::PROTOCOL;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{AGENT, World, eventually, kill};

/// The supervisor that calls this dies before, or after, the disk does it; once.
fn dies(command: &str, after: bool) -> String {
    let act = if after { "$real \"$@\" > /dev/null;" } else { "" };
    format!("if [ \"$4\" = {command} ]; then rm -f $hook; {act} kill -9 $PPID; exit 1; fi")
}

/// Tries to move it to the other site and waits until that is decided; where it goes on then.
fn move_with_trouble(world: &World, from: &'static str, to: &'static str) -> &'static str {
    let output = world.run(from, &["migrate", AGENT, "--to", to]);
    let mut at = from;
    eventually("it is decided where the agent runs", || {
        let status = world.ok(from, &["status", AGENT]);
        at = if status["site"] == to { to } else { from };
        status["state"] == "running"
    });
    eprintln!("{}: at {at}", crate::world::shown(&output).trim());
    world.judge.goes_on_at(at);
    at
}

/// A supervisor dies at each call of wandisk that a move from its site makes.
#[test]
fn a_source_that_dies_at_any_step_leaves_one_agent() {
    let world = World::with_agent();
    let mut at = "a";
    for (command, after) in [
        ("prepare", false),
        ("prepare", true),
        ("abort", true),
        ("quiesce", false),
        ("commit", false),
        ("commit", true),
    ] {
        let to = if at == "a" { "b" } else { "a" };
        world.hook(at, &dies(command, after));
        let now = move_with_trouble(&world, at, to);
        // Before the commit the source goes on by itself; with it, the destination does.
        let committed = command == "commit";
        assert_eq!(now == to, committed, "{command}, after it: {after}");
        at = now;
    }
    world.end_at(at);
}

/// The second `prepare` is the one at the switchover: the agent stands.
#[test]
fn trouble_at_the_switchover_leaves_the_agent_where_it_was() {
    let world = World::with_agent();
    let second = |act: &str| {
        format!(
            "if [ \"$4\" = prepare ]; then if [ -e $hook.1 ]; then rm -f $hook $hook.1; {act} else : > $hook.1; fi; fi"
        )
    };
    let cut = format!(": > {};", world.file("cut").display());
    let end_links = format!("kill -9 $(cat {});", world.file("links").display());
    for (name, act) in [
        ("the supervisor dies", "kill -9 $PPID; exit 1;".to_owned()),
        ("it dies after it", "$real \"$@\" > /dev/null; kill -9 $PPID; exit 1;".to_owned()),
        ("the disk refuses", "exit 1;".to_owned()),
        ("the disk hangs", "exec sleep 1000;".to_owned()),
        ("the link is cut", format!("{cut} {end_links}")),
    ] {
        world.hook("a", &second(&act));
        let at = move_with_trouble(&world, "a", "b");
        assert_eq!(at, "a", "{name}");
        if world.file("cut").exists() {
            world.cut(false);
        }
    }
    // And without trouble it moves.
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    world.end_at("b");
}

/// What dies at the destination, and the link that is cut right after the commit.
#[test]
fn trouble_at_the_destination_is_survived() {
    let world = World::with_agent();
    // Its supervisor dies when it attaches in standby: nothing moves.
    world.hook("b", &dies("attach", true));
    assert_eq!(move_with_trouble(&world, "a", "b"), "a");

    // Its QEMU dies with the commit: the disk comes back, and so does the agent.
    let end_qemu = "kill -9 $(cat $(dirname $hook)/b/agents/vm/qemu.pid);";
    world.hook("a", &format!("if [ \"$4\" = commit ]; then rm -f $hook; {end_qemu} fi"));
    assert_eq!(move_with_trouble(&world, "a", "b"), "a");
    assert_eq!(world.ok("a", &["status", AGENT])["disk"]["resident"], "a");

    // So does its source's supervisor: the disk is there, where nobody has the agent any more, and nobody asks at either site.
    world.hook(
        "a",
        &format!(
            "if [ \"$4\" = commit ]; then rm -f $hook; {end_qemu} $real \"$@\" > /dev/null; kill -9 $PPID; exit 1; fi"
        ),
    );
    world.run("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("a");

    // The link is cut after the commit, before the source hears of it: both stand until the sites can talk again, then it runs at the
    // other one.
    let [cut, links, said] = ["cut", "links", "said"].map(|name| world.file(name));
    let end_links = format!(": > {}; kill -9 $(cat {}) 2> /dev/null;", cut.display(), links.display());
    let said = said.display();
    world.hook(
        "a",
        &format!(
            "if [ \"$4\" = commit ]; then rm -f $hook; $real \"$@\" > {said}; {end_links} cat {said}; exit 0; fi"
        ),
    );
    let mut moving = world.command("a", &["migrate", AGENT, "--to", "b"]).spawn().unwrap();
    eventually("the agent has been handed over", || cut.exists());
    eventually("both stand", || {
        let status = world.ok("a", &["status", AGENT]);
        status["told"].as_str().unwrap().contains("asked to start")
    });
    world.cut(false);
    assert!(moving.wait().unwrap().success());
    world.judge.goes_on_at("b");

    // Its supervisor dies while it runs: the agent does not notice, and the next one begins, whether somebody asks or not.
    for asked in [true, false] {
        world.processes("supervise").into_iter().for_each(kill);
        world.judge.goes_on_at("b");
        if asked {
            assert_eq!(world.state("b"), "running");
        }
        eventually("it is supervised again", || !world.processes("supervise").is_empty());
    }
    world.end_at("b");
}

/// A source's last word is lost: the QEMU that listens for it ends by itself. (The test is the source.)
#[test]
fn a_destination_that_hears_nothing_of_its_source_ends_by_itself() {
    let world = World::new();
    let machine =
        ["create", AGENT, "--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    world.ok("a", &machine);
    world.wandisk("a", &["sync", AGENT, "--site", "b"]);
    let agent = Store::open(&world.home("a")).unwrap().agent(AGENT).unwrap().agent;
    // One that cannot be asked is waited for as long as it said; one that can says that it moves nothing.
    for (patience_s, cut, told) in [
        (1, true, "the other site was not heard of any more"),
        (600, false, "the other site gave the move up"),
    ] {
        let mut host = world.command("b", &["host", "--stdio"]);
        let mut source = host.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(source.stdout.take().unwrap()).lines();
        let opening = json!({ "snowbird": PROTOCOL, "agent": AGENT, "open": "control", "document": agent });
        let arrive =
            json!({ "do": "arrive", "attempt": Uuid::new_v4(), "from": "a", "patience_s": patience_s });
        if cut {
            world.cut(true);
        }
        for line in [opening, arrive] {
            writeln!(source.stdin.as_ref().unwrap(), "{line}").unwrap();
            let answer: Value = serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
            assert!(answer.get("ok").is_some(), "{answer}");
        }
        source.kill().unwrap();
        source.wait().unwrap();
        eventually("nothing listens any more", || world.processes("qemu-system").is_empty());
        let log = world.ok("b", &["log", AGENT]).to_string();
        assert!(log.contains(told), "{log}");
        if cut {
            world.cut(false);
        }
    }
}

/// Whoever was asked to bound the disk's requests is slower than its supervisor's death and all that the next one tidies up.
#[test]
fn what_a_dead_supervisor_left_behind_does_not_bound_the_disk_of_an_agent_that_goes_on() {
    let world = World::with_agent();
    world.hook(
        "a",
        "if [ \"$4\" = quiesce ]; then rm -f $hook; kill -9 $PPID
         while [ ! -e $hook.go ]; do sleep 0.02; done; $real \"$@\" > $hook.said; mv $hook.said $hook.end; exit 1; fi",
    );
    assert_eq!(move_with_trouble(&world, "a", "b"), "a");
    std::fs::write(world.file("hook-a.go"), "").unwrap();
    let end = world.file("hook-a.end");
    eventually("it has come", || end.exists());
    let said = std::fs::read_to_string(end).unwrap();
    assert!(said.contains("given up before it began"), "{said}");
    assert!(world.wandisk("a", &["status", AGENT])["quiesced_ms"].is_null());
    world.end_at("a");
}
