//! A chunk that cannot be had (law M8): the agent stands and says why, and goes on when the link is back; one that its user
//! suspends meanwhile does not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use agent_init::{FAR, block};
use serde_json::Value;

use crate::world::{AGENT, World, eventually};

/// Writes an image with the far blocks.
pub fn far_image(file: &Path) {
    let file = File::create(file).unwrap();
    file.set_len(40 << 20).unwrap();
    for (place, number) in FAR {
        file.write_all_at(&block(number), place).unwrap();
    }
}

/// The agent is at `b`, where nobody has read the far blocks yet; `a` has them.
fn world_with_far_blocks() -> World {
    let world = World::new();
    let image = world.file("far.raw");
    far_image(&image);
    // Requests wait shortly here, so that the test does.
    let soon = "if [ \"$4\" = attach ]; then exec $real $(echo \"$@\" | sed -E 's/(--fetch-timeout) [0-9]+s/\\1 1s/'); fi";
    world.hook("b", soon);
    let world = World::with_agent_on(world, &["--image", image.to_str().unwrap()]);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    world
}

fn stands_for_want_of_a(world: &World) -> Value {
    let mut status = Value::Null;
    eventually("the agent stands, and says for whom it waits", || {
        status = world.ok("b", &["status", AGENT]);
        status["paused_because"].as_str().is_some_and(|why| why.contains("site \"a\", which does not answer"))
    });
    assert_eq!(status["state"], "paused");
    assert!(status["paused_because"].as_str().unwrap().contains("goes on by itself"), "{status}");
    status
}

#[test]
fn an_agent_stands_while_a_chunk_cannot_be_had_and_goes_on_by_itself_unless_it_is_suspended() {
    let world = world_with_far_blocks();
    let [first, second] = FAR.map(|(_, number)| format!("far {number}"));

    world.sever();
    world.judge.say("b", "look");
    stands_for_want_of_a(&world);
    assert!(!world.judge.said("b", &first));
    world.cut(false);
    world.judge.goes_on_at("b");
    assert!(world.judge.said("b", &first));

    // The request that waits is part of the memory that is kept.
    world.sever();
    world.judge.say("b", "look");
    stands_for_want_of_a(&world);
    world.ok("b", &["suspend", AGENT]);
    world.cut(false);
    eventually("the chunk can be had", || {
        world.wandisk("b", &["status", AGENT])["sites"][0]["reachable"] == true
    });
    assert_eq!(world.state("b"), "suspended");
    assert!(!world.judge.said("b", &second));
    world.ok("b", &["resume", AGENT]);
    eventually("it has what it waited for", || world.judge.said("b", &second));
    world.judge.goes_on_at("b");
    world.end_at("b");
}
