//! QEMUs of two versions: 10 (`cargo xtask setup` unpacks it) at one site, the machine's own at the other.

use crate::world::{AGENT, World, eventually};

/// What QEMU 10 calls `max`, 7.2 has less of: it would only say so, and the guest would go on with another processor.
#[test]
fn an_agent_is_not_moved_to_a_qemu_that_would_show_it_another_processor() {
    let world = World::with_newer_qemu(&["a"]);
    let machine =
        ["create", AGENT, "--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
    for (cpu, says) in
        [("Haswell-noTSX", "whole by tcg: it lacks "), ("nothing", "knows no processor nothing")]
    {
        let (sentence, hint) = world.refused("a", &[&machine[..], &["--cpu", cpu]].concat());
        assert!(sentence.contains(says) && hint.contains("without --cpu"), "{sentence} {hint}");
    }
    world.ok("a", &["site", "check", "b"]);
    let world = World::with_agent_on(world, &["--size", "8M", "--cpu", "max"]);
    let (sentence, hint) = world.refused("a", &["migrate", AGENT, "--to", "b"]);
    assert!(sentence.contains("at site \"b\", a processor max is what each QEMU makes of it"), "{sentence}");
    assert!(hint.contains("without --cpu"), "{hint}");
    world.judge.goes_on_at("a");
    world.end_at("a");
}

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
    let status = world.ok("a", &["status", AGENT]);
    // How far it is is told at both sites, for programs and in words.
    assert_eq!((status["state"].as_str(), status["run_state"].as_str()), (Some("leaving"), Some("running")));
    for site in ["a", "b"] {
        let so_far = &world.ok(site, &["status", AGENT])["migration"];
        let known = ["percent", "bytes", "rate", "remaining_bytes"].iter().all(|name| so_far[*name].is_u64());
        assert!(known && so_far["percent"].as_u64() < Some(100), "at {site}: {so_far}");
        let told = world.text(site, &["status", AGENT]);
        assert!(told.contains("so far    ") && told.contains(" left, "), "at {site}: {told}");
    }
    world.hold(false);
    assert!(moves.wait().unwrap().success());
    world.judge.goes_on_at("b");

    // And back from the other version.
    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}
