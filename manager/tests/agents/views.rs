//! Who looks at an agent stays connected while it moves, sees what it shows where it is, and is heard there.

use std::path::PathBuf;
use std::process::Stdio;

use crate::viewer::Viewer;
use crate::world::{AGENT, World, beside, eventually, kill};

fn qemu(world: &World, site: &str) -> PathBuf {
    world.home(site).join("agents").join(AGENT).join("display.sock")
}

fn address(world: &World) -> String {
    beside("vmgl-proxy");
    world.ok("a", &["view", AGENT, "--print"])["address"].as_str().unwrap().to_owned()
}

fn phase(world: &World) -> String {
    world.ok("a", &["status", AGENT])["view"]["phase"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_viewer_stays_while_the_agent_moves_there_and_back_and_is_heard_at_each_site() {
    let world = World::with_agent();
    let place = address(&world);
    let mut viewer = Viewer::at(&place);
    viewer.sees(&qemu(&world, "a"));
    viewer.types("here");
    world.judge.heard("a", "here");
    viewer.sees(&qemu(&world, "a"));

    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    // Typed at once: it waits where the agent cannot hear it yet.
    viewer.types("there");
    world.judge.heard("b", "there");
    viewer.sees(&qemu(&world, "b"));
    assert_eq!(address(&world), place);
    let view = &world.ok("a", &["status", AGENT])["view"];
    assert_eq!((&view["viewers"], &view["rehomes"]), (&1.into(), &1.into()), "{view}");

    // A move that comes to nothing when the agent stands already: what is typed then waits, and is heard where it was.
    let typed = world.file("typed");
    let second = format!("while [ ! -e {} ]; do sleep 0.02; done; exit 1;", typed.display());
    world.hook(
        "b",
        &format!(
            "if [ \"$4\" = prepare ]; then if [ -e $hook.1 ]; then rm -f $hook $hook.1; {second} else : > $hook.1; fi; fi"
        ),
    );
    let mut moving =
        world.command("a", &["migrate", AGENT, "--to", "a"]).stdout(Stdio::null()).spawn().unwrap();
    eventually("input is held back", || world.ok("a", &["status", AGENT])["view"]["held"] == true);
    viewer.types("still there");
    std::fs::write(typed, "").unwrap();
    assert!(!moving.wait().unwrap().success());
    world.judge.heard("b", "still there");
    viewer.sees(&qemu(&world, "b"));

    // The way to the other site breaks, and is made anew.
    world.processes("--stdio").into_iter().for_each(kill);
    viewer.sees(&qemu(&world, "b"));
    eventually("the other site is shown again", || phase(&world) == "attached");
    viewer.types("after the cut");
    world.judge.heard("b", "after the cut");

    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    viewer.types("back");
    world.judge.heard("a", "back");
    viewer.sees(&qemu(&world, "a"));
    world.end_at("a");
    eventually("with the agent its proxy ends", || {
        world.processes("vmgl-proxy").is_empty() && world.processes("attend").is_empty()
    });
}

#[test]
fn whichever_process_of_a_view_dies_it_is_found_again_at_the_same_place() {
    let world = World::with_agent();
    let place = address(&world);
    assert_eq!(address(&world), place, "the second asks for the same proxy");
    // A keeper that finds another one there says so, and may be ending still.
    eventually("there is one of each", || {
        (world.processes("vmgl-proxy").len(), world.processes("attend").len()) == (1, 1)
    });
    // Without its keeper the proxy goes on, and the next keeper takes it over.
    let mut viewer = Viewer::at(&place);
    let proxies = world.processes("vmgl-proxy");
    world.processes("attend").into_iter().for_each(kill);
    viewer.sees(&qemu(&world, "a"));
    assert_eq!(address(&world), place);
    assert_eq!(world.processes("vmgl-proxy"), proxies);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    viewer.types("kept");
    world.judge.heard("b", "kept");
    viewer.sees(&qemu(&world, "b"));
    // And without its proxy viewers come in at the same place again.
    drop(viewer);
    proxies.iter().copied().for_each(kill);
    eventually("another proxy", || phase(&world) == "attached" && world.processes("vmgl-proxy") != proxies);
    assert_eq!(address(&world), place);
    let mut viewer = Viewer::at(&place);
    viewer.sees(&qemu(&world, "b"));
    viewer.types("again");
    world.judge.heard("b", "again");
    // With the agent off there is nothing to see, and that is said.
    world.ok("a", &["kill", AGENT]);
    eventually("the proxy ends", || world.processes("vmgl-proxy").is_empty());
    let sentence = world.fails("a", &["view", AGENT, "--print"]);
    assert!(sentence.contains("the agent is off"), "{sentence}");
    let sentence = world.fails("a", &["view", "nobody", "--print"]);
    assert!(sentence.contains("nobody"), "{sentence}");
}
