//! The main story: an agent is made, runs, moves there and back while it writes, is looked at, and ends.

use crate::world::{AGENT, World};

#[test]
fn an_agent_moves_there_and_back_while_it_writes_and_loses_nothing() {
    let world = World::with_agent();
    assert_eq!(world.state("a"), "running");

    let there = world.ok("a", &["migrate", AGENT, "--to", "b"]);
    assert_eq!((there["from"].as_str(), there["to"].as_str()), (Some("a"), Some("b")));
    for part in ["drain", "table", "device", "commit", "cont"] {
        assert!(there["parts"][part].is_u64(), "{there}");
    }
    assert!(there["disk_bytes"].as_u64() > Some(0) && there["warnings"] == serde_json::json!([]), "{there}");
    eprintln!("there: {there}");
    world.judge.goes_on_at("b");
    // Home knows where it is, and asks there.
    let status = world.ok("a", &["status", AGENT]);
    assert_eq!((status["site"].as_str(), status["state"].as_str()), (Some("b"), Some("running")));
    assert_eq!(status["disk"]["resident"], "b");

    // Its disk is made complete where it is not, and it stays here; for another home all of that goes on.
    let synced = world.ok("a", &["sync", AGENT, "--site", "a"]);
    assert_eq!(synced["site"], "a", "{synced}");
    assert!(world.ok("a", &["stay", AGENT, "--for", "10min"])["stay_until_ms"].is_u64());
    assert!(world.ok("a", &["stay", AGENT, "--for", "0s"])["stay_until_ms"].is_null());
    assert!(world.fails("b", &["stay", AGENT]).contains("home of vm is site a"));
    // What may be done by itself goes along to another home, where its watcher begins.
    world.ok("a", &["auto", AGENT, "advise", "--role", "compute=b"]);
    world.ok("a", &["home", AGENT, "--to", "b"]);
    for (site, mode) in [("a", "off"), ("b", "advise")] {
        let status = world.ok(site, &["status", AGENT]);
        assert_eq!((status["home"].as_str(), status["auto"]["mode"].as_str()), (Some("b"), Some(mode)));
    }
    let watched = world.ok("b", &["status", AGENT]);
    assert_eq!(watched["auto"]["roles"], serde_json::json!({ "compute": ["b"], "home": ["b"] }), "{watched}");
    world.ok("b", &["auto", AGENT, "off"]);

    // To its old home, with its new one.
    let back = world.ok("a", &["migrate", AGENT, "--to", "a"]);
    eprintln!("back: {back}");
    world.judge.goes_on_at("a");
    let status = world.ok("b", &["status", AGENT]);
    assert_eq!((status["site"].as_str(), status["home"].as_str()), (Some("a"), Some("b")));
    assert_eq!(world.processes("qemu-system").len(), 1);

    world.end_at("a");
    world.cut(true);
    assert!(world.fails("a", &["purge", AGENT, "--yes"]).contains("\"b\", which may have"));
    world.cut(false);
    assert_eq!(world.ok("a", &["purge", AGENT, "--yes"])["sites"], serde_json::json!(["b", "a"]));
    for site in ["a", "b"] {
        assert_eq!(world.ok(site, &["ls"])["agents"].as_array().unwrap().len(), 0);
        assert_eq!(world.wandisk(site, &["ls"])["disks"].as_array().unwrap().len(), 0);
        assert!(!world.home(site).join("agents").join(AGENT).exists());
    }
}

#[test]
fn what_cannot_be_done_is_refused_in_a_sentence_and_the_agent_goes_on() {
    let world = World::with_agent();
    for (args, word) in [
        (&["migrate", AGENT, "--to", "nowhere"][..], "nowhere"),
        (&["migrate", AGENT, "--to", "a"], "there already"),
        (&["cancel", AGENT], "not being moved"),
        (&["launch", "nobody"], "nobody"),
        (&["purge", AGENT, "--yes"], "not off"),
        (&["create", AGENT, "--size", "1M", "--memory", "64M", "--vcpus", "1"], "known already"),
    ] {
        let sentence = world.fails("a", args);
        assert!(sentence.contains(word), "{args:?}: {sentence}");
    }
    // The other site cannot run it: refused before anything moves (law M5). (One machine has one file: it goes away after
    // this site has booted it.)
    let (kernel, away) = (world.file("vmlinuz"), world.file("away"));
    std::fs::hard_link(&kernel, &away).unwrap();
    std::fs::remove_file(&kernel).unwrap();
    let sentence = world.fails("a", &["migrate", AGENT, "--to", "b"]);
    assert!(sentence.contains("at site \"b\"") && sentence.contains("is not as it was"), "{sentence}");
    world.judge.goes_on_at("a");
    std::fs::hard_link(&away, &kernel).unwrap();

    // And one that cannot be reached.
    world.cut(true);
    let sentence = world.fails("a", &["migrate", AGENT, "--to", "b"]);
    assert!(sentence.contains("not moved"), "{sentence}");
    world.judge.goes_on_at("a");
    world.cut(false);

    world.ok("a", &["kill", AGENT]);
    assert_eq!(world.state("a"), "off");
    assert!(world.processes("qemu-system").is_empty());
    // It begins again with what was durable.
    world.ok("a", &["launch", AGENT]);
    world.judge.goes_on_at("a");
    world.end_at("a");
}

#[test]
fn an_agent_that_boots_by_uefi_keeps_its_firmwares_variables_and_its_cd_when_it_moves() {
    let cdrom = tempfile::NamedTempFile::new().unwrap();
    cdrom.as_file().set_len(64 << 10).unwrap();
    let world = World::with_agent_by_uefi(cdrom.path().to_str().unwrap());
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    let variables = |site: &str| {
        let folder = world.home(site).join("agents").join(AGENT);
        std::fs::read(folder.join("efi-variables.fd")).unwrap()
    };
    // (The firmware has noted what it booted.)
    assert_ne!(variables("a"), std::fs::read("/usr/share/OVMF/OVMF_VARS_4M.fd").unwrap());
    assert_eq!(variables("b"), variables("a"));
    cdrom.as_file().set_len(1 << 10).unwrap();
    let (sentence, hint) = world.refused("b", &["migrate", AGENT, "--to", "a"]);
    assert!(
        sentence.contains("is not as it was") && hint.contains("snowbird cd vm eject"),
        "{sentence} {hint}"
    );
    world.judge.goes_on_at("b");
    // Taken out it is in nobody's way, and where it went the drive is empty, too.
    let file = cdrom.path().to_str().unwrap();
    world.ok("a", &["cd", AGENT, "eject"]);
    world.ok("b", &["migrate", AGENT, "--to", "a"]);
    world.judge.goes_on_at("a");
    assert_eq!(world.ok("a", &["status", AGENT])["cd"], serde_json::json!({ "file": null }));
    assert!(world.fails("b", &["cd", AGENT, "insert", file]).contains("at site \"a\""));
    // As it is now it is put in, and goes along.
    world.ok("a", &["cd", AGENT, "insert", file]);
    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    world.judge.goes_on_at("b");
    assert_eq!(world.ok("a", &["status", AGENT])["cd"], serde_json::json!({ "file": file }));
    world.end_at("b");
    world.ok("b", &["cd", AGENT, "eject"]);
    assert_eq!(world.ok("b", &["status", AGENT])["cd"], serde_json::json!({ "file": null }));
}
