//! Suspended agents: memory in a file, which goes on here or at another site, and every step of that with a supervisor that dies.

use serde_json::Value;

use crate::world::{AGENT, World, eventually, kill};

/// Files of memory at a site.
fn images(world: &World, site: &str) -> Vec<std::path::PathBuf> {
    let folder = world.home(site).join("agents").join(AGENT);
    let files = std::fs::read_dir(folder).map(|all| all.flatten().collect::<Vec<_>>()).unwrap_or_default();
    files
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.to_str().unwrap().contains("suspended-"))
        .collect()
}

fn suspended(world: &World, site: &str) -> Value {
    let status = world.ok(site, &["status", AGENT]);
    assert_eq!(status["state"], "suspended", "{status}");
    assert_eq!(status["site"], site, "{status}");
    assert_eq!(images(world, site), [std::path::PathBuf::from(status["image"]["path"].as_str().unwrap())]);
    eventually("its QEMU has ended, and its disk is let go", || {
        world.processes("qemu-system").is_empty()
            && world.ok(site, &["status", AGENT])["disk"]["attached"] == false
    });
    status
}

#[test]
fn an_agent_is_suspended_and_goes_on_here_and_at_another_site_and_loses_nothing() {
    let world = World::with_agent();
    world.ok("a", &["suspend", AGENT]);
    let status = suspended(&world, "a");
    let (packed, whole) =
        (status["image"]["len_bytes"].as_u64().unwrap(), status["image"]["unpacked_bytes"].as_u64().unwrap());
    eprintln!("{whole} bytes of memory in {packed}");
    assert!(packed > 1 << 20 && packed < whole, "{status}");
    for (args, word) in [
        (&["launch", AGENT][..], "suspended here"),
        (&["suspend", AGENT], "suspended here"),
        (&["shutdown", AGENT], "suspended here"),
        (&["migrate", AGENT, "--to", "b"], "suspended here"),
        (&["resume", AGENT, "--at", "nowhere"], "nowhere"),
    ] {
        let sentence = world.fails("a", args);
        assert!(sentence.contains(word), "{args:?}: {sentence}");
    }
    suspended(&world, "a");
    world.ok("a", &["resume", AGENT]);
    world.judge.goes_on_at("a");
    assert!(images(&world, "a").is_empty());

    // At another site; home asks there.
    world.ok("a", &["suspend", AGENT]);
    let report = world.ok("a", &["resume", AGENT, "--at", "b"]);
    assert_eq!((report["from"].as_str(), report["to"].as_str()), (Some("a"), Some("b")));
    world.judge.goes_on_at("b");
    assert!(images(&world, "a").is_empty() && images(&world, "b").is_empty());
    world.ok("a", &["suspend", AGENT]);
    suspended(&world, "b");
    world.ok("a", &["resume", AGENT, "--at", "a"]);
    world.judge.goes_on_at("a");

    // Memory that is given up is removed; the agent begins anew with its disk.
    world.ok("a", &["suspend", AGENT]);
    world.ok("a", &["kill", AGENT]);
    assert_eq!(world.state("a"), "off");
    eventually("the image is removed", || images(&world, "a").is_empty());
    world.ok("a", &["launch", AGENT]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}

#[test]
fn a_resume_that_fails_leaves_the_agent_suspended_and_says_why() {
    let world = World::with_agent();
    world.ok("a", &["suspend", AGENT]);
    let file = images(&world, "a").remove(0);

    // Damaged: neither this site's QEMU nor the other one's gets a byte of it.
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    for args in [&["resume", AGENT][..], &["resume", AGENT, "--at", "b"]] {
        let sentence = world.fails("a", args);
        assert!(sentence.contains("damaged"), "{sentence}");
        suspended(&world, "a");
    }
    std::fs::write(&file, &whole).unwrap();

    // The other site cannot be reached; or its QEMU ends when it takes the image.
    world.cut(true);
    let sentence = world.fails("a", &["resume", AGENT, "--at", "b"]);
    assert!(sentence.contains("not moved"), "{sentence}");
    world.cut(false);
    suspended(&world, "a");
    world.hook("b", "if [ \"$4\" = attach ]; then rm -f $hook; exit 1; fi");
    world.fails("a", &["resume", AGENT, "--at", "b"]);
    suspended(&world, "a");

    // Its disk was elsewhere: it may have been written to.
    world.wandisk("a", &["move", AGENT, "--to", "b"]);
    let sentence = world.fails("a", &["resume", AGENT]);
    assert!(sentence.contains("not resident at site \"a\""), "{sentence}");
    world.wandisk("b", &["move", AGENT, "--to", "a"]);
    let sentence = world.fails("a", &["resume", AGENT]);
    assert!(sentence.contains("at another site since"), "{sentence}");
    suspended(&world, "a");
    world.ok("a", &["resume", AGENT, "--force"]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}

/// Where the agent is, once it is known; it was made to go on there if it was left suspended.
fn goes_on(world: &World, sites: [&'static str; 2]) -> (String, &'static str) {
    let mut found = (String::new(), sites[0]);
    eventually("it is decided how the agent stands", || {
        let status = world.ok(sites[0], &["status", AGENT]);
        let at = if status["site"] == sites[1] { sites[1] } else { sites[0] };
        found = (status["state"].as_str().unwrap().to_owned(), at);
        ["running", "suspended"].contains(&found.0.as_str())
    });
    if found.0 == "suspended" {
        suspended(world, found.1);
        world.ok(found.1, &["resume", AGENT]);
    }
    world.judge.goes_on_at(found.1);
    eventually("no image is left", || images(world, "a").is_empty() && images(world, "b").is_empty());
    found
}

/// A supervisor that dies, or a disk that refuses, at each call of wandisk in a suspension and in a resume at another site.
#[test]
fn trouble_at_any_step_of_a_suspension_or_a_resume_leaves_one_agent_with_its_memory() {
    let world = World::with_agent();
    let hook = |command: &str, then: &str| format!("if [ \"$4\" = {command} ]; then rm -f $hook; {then} fi");
    let dies = "kill -9 $PPID; exit 1;";
    let dies_after = "$real \"$@\" > /dev/null; kill -9 $PPID; exit 1;";
    // (The first `status` is the one of the image, when it is whole and has no name yet.)
    for (command, then) in [("quiesce", dies), ("status", dies), ("status", "exit 1;"), ("detach", dies)] {
        world.hook("a", &hook(command, then));
        let output = world.run("a", &["suspend", AGENT]);
        let (state, at) = goes_on(&world, ["a", "b"]);
        eprintln!("{command}, {then} {}: {state}", crate::world::shown(&output).trim());
        assert_eq!(
            (state.as_str(), at),
            (if command == "detach" { "suspended" } else { "running" }, "a"),
            "{command}"
        );
    }
    // A resume here whose supervisor dies before anything runs.
    world.ok("a", &["suspend", AGENT]);
    world.hook("a", &hook("attach", dies_after));
    world.run("a", &["resume", AGENT]);
    assert_eq!(goes_on(&world, ["a", "b"]).1, "a");

    let end_qemu = "kill -9 $(cat $(dirname $hook)/b/agents/vm/qemu.pid);";
    let mut at = "a";
    for (command, then, moves) in [
        ("abort", dies_after, false),
        ("commit", dies, true),
        ("commit", dies_after, true),
        // QEMU at the other site ends with the commit: the disk comes back.
        ("commit", end_qemu, false),
    ] {
        let to = if at == "a" { "b" } else { "a" };
        world.ok(at, &["suspend", AGENT]);
        world.hook(at, &hook(command, then));
        world.run(at, &["resume", AGENT, "--at", to]);
        let (_, now) = goes_on(&world, [at, to]);
        assert_eq!(now == to, moves, "{command}: {then}");
        at = now;
    }
    // The supervisor at the other site dies when it listens.
    let to = if at == "a" { "b" } else { "a" };
    world.ok(at, &["suspend", AGENT]);
    world.hook(to, &hook("attach", dies_after));
    world.run(at, &["resume", AGENT, "--at", to]);
    assert_eq!(goes_on(&world, [at, to]).1, at);
    // And nobody minds a supervisor that dies while the agent is suspended.
    world.ok(at, &["suspend", AGENT]);
    world.processes("supervise").into_iter().for_each(kill);
    assert_eq!(goes_on(&world, [at, to]), ("suspended".to_owned(), at));
    world.end_at(at);
}
