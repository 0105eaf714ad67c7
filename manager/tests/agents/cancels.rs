//! A move is given up while the agent's memory is copied, by `snowbird cancel` and by Ctrl-C: the agent goes on where it is, the other
//! site has nothing left of it but what it knows of its disk, and the next move works. Meanwhile, and after it is too late, whoever
//! wants something else of it is told what to do.

use std::fs::File;
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{AGENT, World, eventually, signal};

fn world() -> World {
    World::with_agent_on(World::with_newer_qemu(&["a", "b"]), &["--size", "8M"])
}

fn news(world: &World) -> String {
    std::fs::read_to_string(world.file("news")).unwrap()
}

/// A move to `b` that is ordered at a site; it says its news to a file.
fn ordered(world: &World, site: &str) -> Child {
    let mut moves = world.command_for_long(site, &["migrate", AGENT, "--to", "b"]);
    let news = File::create(world.file("news")).unwrap();
    moves.stdout(Stdio::piped()).stderr(news).spawn().unwrap()
}

/// One that comes no further than to a part of the memory.
fn halted(world: &World, site: &str) -> Child {
    world.hold(true);
    let moves = ordered(world, site);
    eventually("memory is being copied", || world.is_copied_from("a"));
    moves
}

fn press_ctrl_c(moves: &Child) {
    signal(moves.id().try_into().unwrap(), Signal::INT);
}

/// Whoever ordered the move, at that site, is told that it was given up, and that is so.
#[track_caller]
fn is_given_up(world: &World, site: &str, moves: Child) {
    let output = moves.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    // It is the site which the agent would have left that says so.
    let at = if site == "a" { "" } else { "at site \"a\", " };
    assert_eq!(told["error"], format!("{at}the agent was not moved: it was cancelled"));
    assert_eq!(told["hint"], "the agent is running at site \"a\"");
    world.judge.goes_on_at("a");
    assert_eq!(world.state("a"), "running");
    let disk = world.wandisk("a", &["status", AGENT]);
    assert_eq!((disk["resident"].as_str(), disk["attempt"].is_null()), (Some("a"), true), "{disk}");
    eventually("nothing of it runs at the other site", || {
        world.processes("guest=vm").len() == 1 && world.processes_at("b", "supervise").is_empty()
    });
    let there = &world.ok("b", &["ls"])["agents"][0];
    assert_eq!(there["told"], "at site a", "{there}");
    assert_eq!(world.wandisk("b", &["status", AGENT, "--here"])["attached"], false);
    world.hold(false);
}

#[test]
fn a_move_that_is_cancelled_while_memory_is_copied_leaves_nothing_behind_and_the_next_one_works() {
    let world = world();
    let moves = halted(&world, "a");
    // Nobody moves it meanwhile, whichever site he asks, and he is told what he can do.
    for (site, to) in [("a", "b"), ("a", "a"), ("b", "b"), ("b", "a")] {
        let output = world.run(site, &["migrate", AGENT, "--to", to]);
        let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{refused}");
        assert_eq!(refused["error"], "the agent is being moved", "at {site}, to {to}");
        assert_eq!(refused["hint"], "wait for it, or `snowbird cancel` the move");
    }
    world.judge.goes_on_at("a");
    assert_eq!(world.ok("a", &["cancel", AGENT])["state"], "running");
    is_given_up(&world, "a", moves);
    assert!(world.fails("a", &["cancel", AGENT]).contains("not being moved"));

    // As well at the site to which it would come.
    let moves = halted(&world, "a");
    assert_eq!(world.ok("b", &["cancel", AGENT])["state"], "running");
    is_given_up(&world, "a", moves);

    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    world.end_at("b");
}

#[test]
fn ctrl_c_gives_a_move_up_until_the_disk_is_handed_over_and_waits_for_it_from_then_on() {
    let world = world();
    // Also where it was ordered by the site to which it would come: somebody at home calls it home.
    for site in ["a", "b"] {
        let moves = halted(&world, site);
        press_ctrl_c(&moves);
        is_given_up(&world, site, moves);
    }

    world.hook(
        "a",
        "if [ \"$4\" = commit ]; then rm -f $hook; $real \"$@\"; ended=$?; : > $hook.done
         while [ ! -e $hook.go ]; do sleep 0.02; done; exit $ended; fi",
    );
    let mut moves = ordered(&world, "a");
    eventually("the disk is handed over", || world.file("hook-a.done").exists());
    press_ctrl_c(&moves);
    eventually("it is said that it is too late", || {
        news(&world).contains("the agent has been handed over to site \\\"b\\\"")
    });
    std::fs::write(world.file("hook-a.go"), "").unwrap();
    assert!(moves.wait().unwrap().success());
    world.judge.goes_on_at("b");
    world.end_at("b");
}
