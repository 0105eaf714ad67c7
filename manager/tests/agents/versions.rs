//! QEMUs of two versions: 10 (`cargo xtask setup` unpacks it) at one site, the machine's own at the other.

use std::path::{Path, PathBuf};

use crate::world::{AGENT, World, eventually};

/// The folder of QEMU 10.
fn newer() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/guest/qemu-10/bin");
    assert!(folder.is_dir(), "QEMU 10 is missing: cargo xtask setup");
    folder
}

#[test]
fn an_agent_goes_on_while_its_memory_is_copied_and_moves_between_qemus_of_two_versions() {
    let world = World::with_qemu("a", &newer());
    // What is noted of the other site here decides the agent's machine.
    let major = |args: &[&str]| world.ok("a", args)["inventory"]["qemu"]["version"][0].as_u64().unwrap();
    let (here, there) = (major(&["site", "check"]), major(&["site", "check", "b"]));
    assert!(here >= 9 && there <= here, "{here} {there}");
    let world = World::with_agent_on(world, &["--size", "8M"]);

    // The stream is held where part of the memory is there: the agent goes on.
    std::fs::write(world.file("hold"), "").unwrap();
    let mut moves = world.command("a", &["migrate", AGENT, "--to", "b"]).spawn().unwrap();
    eventually("memory is being copied", || {
        world.ok("a", &["status", AGENT])["migration"]["bytes"].as_u64() > Some(1 << 20)
    });
    world.judge.goes_on_at("a");
    let status = world.ok("a", &["status", AGENT]);
    assert_eq!(
        (status["state"].as_str(), status["moving"]["stands"].as_bool()),
        (Some("leaving"), Some(false))
    );
    std::fs::remove_file(world.file("hold")).unwrap();
    assert!(moves.wait().unwrap().success());
    world.judge.goes_on_at("b");

    // And back from the other version.
    world.ok("a", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}
