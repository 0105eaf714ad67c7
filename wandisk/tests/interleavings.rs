//! Interleavings of the design that lose data under weaker laws, played by the real program: `nK_…` plays number K.
//! (Others are played where the engine is alone, `engine/crash/interleavings.rs`, and by the tests of what they are about.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::process::Child;
use std::time::Instant;

use framework::*;

/// Three sites that reach each other.
fn three(world: &World) -> [Site; 3] {
    let sites = ["a", "b", "c"].map(|name| world.site(name));
    for near in &sites {
        sites.iter().filter(|far| far.name() != near.name()).for_each(|far| near.knows(far));
    }
    sites
}

#[test]
fn n5_a_version_held_elsewhere_is_not_current_again_however_often_its_chunk_is_trimmed_and_rewritten() {
    let world = World::new();
    let [a, _, c] = three(&world);
    let image = Image::noise(&world, "i", 4 * CHUNK, 0, 5);
    a.ok(["create", "d", "--from", image.name()]);
    a.attach("d").write(5, CHUNK, CHUNK);
    a.detach("d");
    for site in ["b", "c"] {
        a.ok(["sync", "d", "--site", site]);
    }
    // A version is named by a counter: with one that went with its row, the fifth rewrite would be called what c holds.
    for round in 1..=5u8 {
        let export = a.attach("d");
        export.python(&format!("h.trim({CHUNK}, {CHUNK}); h.flush()"));
        a.kill_keeper("d");
        a.attach("d").write(10 + round, CHUNK, CHUNK);
        a.kill_keeper("d");
        a.ok(["sync", "d", "--site", "b"]);
    }
    image.write(15, CHUNK, CHUNK);
    a.ok(["move", "d", "--to", "c"]);
    assert_eq!(c.chunks("d", "stale"), 1, "its old bytes are a basis");
    c.attach("d").is_identical_to(&image);
}

#[test]
fn n9_the_resident_of_an_aborted_attempt_is_obeyed_by_who_had_prepared() {
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    for round in 0..3u8 {
        let token = a.ok(["prepare", "d", "--to", "b"]);
        a.ok(["abort", "d", "--to", "b", "--token", &token]);
        export.write(20 + round, CHUNK, 512);
        image.write(20 + round, CHUNK, 512);
        // b has heard of the next epoch, which was never granted: this one still gives the table.
        a.ok(["sync", "d", "--site", "b", "--verify"]);
        assert!(a.is_resident("d") && !b.is_resident("d"));
    }
    tool("cmp", &[image.name(), b.data("d").to_str().unwrap()]);
}

#[test]
fn n15_a_move_does_not_wait_behind_a_fetch_from_a_dead_site_and_the_old_device_is_dead_at_once() {
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.site(name));
    let link = world.link(&b, &a);
    let image = Image::noise(&world, "i", 2 * MIB, 1, 15);
    b.knows(&c);
    c.knows(&a);
    // a itself dials nobody but for this one move.
    a.knows(&b);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    a.ok(["site", "rm", "b"]);
    a.kill_keeper("d");
    link.cut();
    let export = b.attach_with("d", &["--fetch-timeout", "100s", "--prefetch", "off"]);
    let (mut reader, began) = (waits(&export, &b), Instant::now());
    b.ok(["move", "d", "--to", "c", "--force"]);
    assert!(!reader.wait().unwrap().success(), "what waited at the old device was answered");
    // Its fetch would be given up after 100 seconds, and the front-end after 20.
    assert!(began.elapsed().as_secs() < 19, "{:?}", began.elapsed());
    c.attach("d").is_identical_to(&image);
}

/// A client reads what is far away; it is waiting when this returns.
fn waits(export: &Export, site: &Site) -> Child {
    let reader = std::process::Command::new("nbdsh")
        .args(["-u", export.uri(), "-c", "h.pread(4096, 0)"])
        .env("PATH", SYSTEM_PATH)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the read waits", SOON, || number(&site.status("d")["fetch"]["waiting"]) == 1);
    reader
}

#[test]
fn n18_bytes_of_an_old_export_are_never_read_as_current() {
    let pair = Pair::new();
    let (a, b) = (&pair.a, &pair.b);
    let old = pair.world.file("old.img");
    a.ok(["export", "d", old.to_str().unwrap()]);
    let export = a.attach("d");
    for chunk in [0, 3, 9] {
        export.write(8, chunk * 64 * KIB + 512, 1024);
        pair.image.write(8, chunk * 64 * KIB + 512, 1024);
    }
    export.python(&format!("h.trim({0}, {0} * 5)", 64 * KIB));
    pair.image.write(0, 5 * 64 * KIB, 64 * KIB);
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["import", "d", old.to_str().unwrap()]);
    assert_eq!(b.chunks("d", "absent") + b.chunks("d", "stale"), 15, "nothing but the trimmed one is held");
    pair.link.cut();
    let export = b.attach_with("d", &["--fetch-timeout", "1s", "--prefetch", "off"]);
    for chunk in [0, 1, 3, 5, 9] {
        let read = export.can_read(chunk * 64 * KIB, 4096);
        assert_eq!(read, chunk == 5, "chunk {chunk}: nobody has said whether its bytes are current");
    }
    b.kill_keeper("d");
    pair.link.mend();
    a.status("d");
    b.attach("d").is_identical_to(&pair.image);
}

#[test]
fn n19_a_table_that_is_ahead_of_the_residents_counter_ends_with_its_digest() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 4 * MIB, 1, 60);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    // It would dial a after each cut, and begin its keeper anew.
    b.ok(["site", "rm", "a"]);
    for (round, chunk) in [(1u8, 0), (2, 9), (3, 20)] {
        let export = a.attach("d");
        export.write(6 + round, chunk * CHUNK + 512, 4096);
        image.write(6 + round, chunk * CHUNK + 512, 4096);
        export.flush();
        // A power cut: no process, and an intent map that says nothing.
        a.kill_keeper("d");
        b.kill_keeper("d");
        std::fs::remove_file(a.disk_file("d", "intent.map")).unwrap();
        // b believes to have seen more than a has made: a delta "since then" is empty.
        let ahead =
            format!("UPDATE meta SET value = '{}' WHERE key = 'counter';", 1_000_000 * u64::from(round));
        tool("python3", &["-c", &sql(&b, &ahead)]);
        if round == 1 {
            a.ok(["sync", "d", "--site", "b", "--verify"]);
        } else {
            a.ok(["move", "d", "--to", "b"]);
            b.attach("d").is_identical_to(&image);
            b.detach("d");
            b.ok(["move", "d", "--to", "a"]);
        }
    }
    a.attach("d").is_identical_to(&image);
}

/// Python that does a statement to a disk's table.
fn sql(site: &Site, statement: &str) -> String {
    let file = site.disk_file("d", "table.db");
    format!(
        "import sqlite3; d = sqlite3.connect('{}'); d.execute(\"{statement}\"); d.commit()",
        file.display()
    )
}

#[test]
fn n20_an_attach_syncs_and_two_moves_at_once_have_one_keeper_and_lose_no_row() {
    let world = World::new();
    let sites = three(&world);
    let [a, b, _] = &sites;
    let image = Image::noise(&world, "i", 16 * MIB, 8, 20);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b", "--no-freeze"]);
    // Everything begins where no keeper runs.
    a.kill_keeper("d");
    let (syncs, attach) = (
        ["b", "c", "c"].map(|site| a.start(["sync", "d", "--site", site])),
        a.start(["--json", "attach", "d", "--nbd"]),
    );
    let attached: Value = serde_json::from_slice(&attach.wait_with_output().unwrap().stdout).unwrap();
    let export = Export::new(attached["uri"].as_str().unwrap());
    for i in 0..16 {
        export.write(40 + i, u64::from(i) * MIB + 4096, 8192);
        image.write(40 + i, u64::from(i) * MIB + 4096, 8192);
    }
    let moves = [("b", a), ("c", a), ("c", b)].map(|(to, at)| at.start(["move", "d", "--to", to, "--force"]));
    let outputs = moves.map(|m| m.wait_with_output().unwrap());
    let said: String = outputs.iter().map(shown).collect();
    assert!(outputs.iter().any(|o| o.status.success()), "{said}");
    syncs.into_iter().for_each(|s| drop(s.wait_with_output().unwrap()));
    let residents: Vec<&Site> = sites.iter().filter(|s| s.has_folder("d") && s.is_resident("d")).collect();
    assert_eq!(residents.len(), 1, "{:?} {said}", residents.iter().map(|s| s.name()).collect::<Vec<_>>());
    for site in sites.iter().filter(|s| s.has_folder("d")) {
        assert_eq!(keepers(site), [site.keeper("d")], "at {}", site.name());
    }
    residents[0].attach("d").is_identical_to(&image);
    for site in sites.iter().filter(|s| s.name() != residents[0].name()) {
        residents[0].ok(["sync", "d", "--site", site.name(), "--verify"]);
        assert_eq!(std::fs::read(site.data("d")).unwrap(), image.bytes(), "at {}", site.name());
    }
}

/// Keepers of a site's disk that run.
fn keepers(site: &Site) -> Vec<u32> {
    let of_disk = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|word| word == b"keeper")
    };
    processes_in(site.home()).into_iter().filter(of_disk).collect()
}

#[test]
fn n22_who_asks_for_a_version_that_was_overtaken_gets_the_newer_row() {
    // The resident writes between the replica's taking of the table and its asking for the last chunks.
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.site(name));
    let link = world.link(&b, &a);
    let image = Image::noise(&world, "i", 40 * MIB, 40, 22);
    a.ok(["create", "d", "--size", "40M"]);
    a.knows(&b);
    a.ok(["sync", "d", "--site", "b"]);
    tool("nbdcopy", &[image.name(), a.attach("d").uri()]);
    // What has left is a version: the next write makes another one. c has it, and is away.
    a.knows(&c);
    a.ok(["sync", "d", "--site", "c"]);
    for site in ["b", "c"] {
        a.ok(["site", "rm", site]);
    }
    for site in [&a, &b, &c] {
        site.kill_keeper("d");
    }
    let export = a.attach("d");
    link.stall_after(Way::Back, MIB / 2);
    let sync = b.start(["sync", "d", "--site", "b"]);
    eventually("the first chunks have come", SOON, || link.is_stalled());
    for chunk in 312..320 {
        export.write(9, chunk * CHUNK, CHUNK);
        image.write(9, chunk * CHUNK, CHUNK);
    }
    link.mend();
    let began = Instant::now();
    let output = sync.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    // A question without an answer is asked until the fetch time-out is over.
    assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
    assert_eq!(std::fs::read(b.data("d")).unwrap(), image.bytes());
}
