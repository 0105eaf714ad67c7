//! QEMUs of two versions: 10 (`cargo xtask setup` unpacks it) at one site, the machine's own at the other.

use crate::world::{AGENT, World, eventually};

#[test]
fn an_agent_goes_on_while_its_memory_is_copied_and_moves_between_qemus_of_two_versions() {
    let world = World::with_newer_qemu(&["a"]);
    // What is noted of the other site here decides the agent's machine.
    let major = |args: &[&str]| world.ok("a", args)["inventory"]["qemu"]["version"][0].as_u64().unwrap();
    let (here, there) = (major(&["site", "check"]), major(&["site", "check", "b"]));
    assert!(here >= 9 && there <= here, "{here} {there}");
    let world = World::with_agent_on(world, &["--size", "8M"]);

    // The stream is held where part of the memory is there: the agent goes on.
    world.hold(true);
    let mut moves = world.command("a", &["migrate", AGENT, "--to", "b"]).spawn().unwrap();
    eventually("memory is being copied", || world.is_copied_from("a"));
    world.judge.goes_on_at("a");
    assert!(world.is_copied_from("a"));
    assert_eq!(world.state("a"), "leaving");
    world.hold(false);
    assert!(moves.wait().unwrap().success());
    world.judge.goes_on_at("b");

    // And back from the other version.
    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}
