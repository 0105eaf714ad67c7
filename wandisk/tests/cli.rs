//! What the command line promises to people and programs: shapes of JSON, exit codes, and what each command leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::os::unix::fs::FileExt;
use std::process::Command;

use framework::*;

const FIELDS: [&str; 12] = [
    "disk",
    "uuid",
    "lineage",
    "size",
    "chunk_size",
    "epoch",
    "resident",
    "attached",
    "device",
    "consistent_at",
    "chunks",
    "io",
];
const CHUNKS: [&str; 9] =
    ["total", "never_written", "written", "held", "stale", "absent", "zero", "owned_here", "only_here"];
const FETCH: [&str; 11] = [
    "demand",
    "prefetched",
    "prefetch_used",
    "in_parts",
    "bytes_in",
    "bytes_out",
    "same",
    "zero",
    "delta",
    "literal",
    "waiting",
];

/// Two sites and a disk of noise, resident at `a`, that `b` has in part, stale in part, and in part not.
fn mixed(world: &World) -> (Site, Site, Image) {
    let (a, b) = world.pair();
    let image = Image::noise(world, "i", 8 * MIB, 4, 10);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    let export = a.attach("d");
    export.python(&format!("h.trim({}, {})", 4 * CHUNK, 4 * CHUNK));
    image.write(0, 4 * CHUNK, 4 * CHUNK);
    for offset in [0, CHUNK + 512, 40 * CHUNK] {
        export.write(1, offset, 4096);
        image.write(1, offset, 4096);
    }
    a.detach("d");
    (a, b, image)
}

#[track_caller]
fn adds_up(status: &Value) {
    let c = |name: &str| number(&status["chunks"][name]);
    assert_eq!(c("total"), c("never_written") + c("written"), "{}", status["chunks"]);
    assert_eq!(c("written"), c("held") + c("stale") + c("absent"), "{}", status["chunks"]);
    assert!(c("zero") <= c("held") && c("only_here") <= c("held"), "{}", status["chunks"]);
}

#[test]
fn status_has_every_field_and_its_totals_add_up() {
    let world = World::new();
    let (a, b, image) = mixed(&world);
    for site in [&a, &b] {
        let status = site.json(["status", "d", "--chunks"]);
        for field in FIELDS {
            assert!(status.get(field).is_some(), "{field}");
        }
        CHUNKS.iter().for_each(|f| assert!(status["chunks"][f].is_u64(), "chunks.{f}"));
        FETCH.iter().for_each(|f| assert!(status["fetch"][f].is_u64(), "fetch.{f}"));
        for field in ["reads", "writes", "flushes", "metadata_commits", "syncs"] {
            assert!(status["io"][field].is_u64(), "io.{field}");
        }
        for field in ["syncs_ms", "longest_sync_ms"] {
            assert!(status["io"][field].is_f64(), "io.{field}");
        }
        for field in ["name", "reachable", "rtt_ms", "complete", "missing_chunks", "synced_at"] {
            assert!(status["sites"][0].get(field).is_some(), "sites.{field}");
        }
        adds_up(&status);
        assert_eq!(number(&status["chunks"]["total"]), status["map"].as_str().unwrap().len() as u64);
    }
    assert_eq!((a.chunks("d", "zero"), a.chunks("d", "only_here")), (4, 3));

    a.ok(["move", "d", "--to", "b"]);
    adds_up(&b.status("d"));
    assert_eq!((b.chunks("d", "stale"), b.chunks("d", "absent")), (2, 1));
    let export = b.attach_with("d", &["--prefetch", "off"]);
    // While rows of fetched chunks lag behind, too.
    for chunk in [1u64, 0, 40] {
        export.can_read(chunk * CHUNK, 4096);
        adds_up(&b.status("d"));
    }
    export.is_identical_to(&image);
    let last = b.status("d");
    adds_up(&last);
    assert_eq!(number(&last["chunks"]["held"]), number(&last["chunks"]["written"]), "{last}");
    assert_eq!(last["attached"], true);
    eventually("the other one is reached", SOON, || b.status("d")["sites"][0]["reachable"] == true);
}

#[test]
fn a_move_tells_which_syncs_writes_were_held_for() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "8M"]);
    a.attach("d").write(7, 0, CHUNK);
    a.detach("d");
    let moved = a.json(["move", "d", "--to", "b"]);
    let syncs = |key: &str| moved[key].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
    let (here, there): (Vec<f64>, Vec<f64>) = (syncs("syncs_ms"), syncs("far_syncs_ms"));
    // The image, the table and the release; the table with its last rows, and the grant.
    assert!(here.len() >= 3 && there.len() >= 2, "{moved}");
    assert!(here.iter().chain(&there).sum::<f64>() < moved["freeze_ms"].as_f64().unwrap(), "{moved}");
    assert!(moved["held_bytes"].as_u64() < moved["bytes"].as_u64(), "{moved}");
    let said = b.ok(["move", "d", "--to", "a"]);
    assert!(said.contains("syncs in it took"), "{said}");
}

#[test]
fn attach_and_ls_have_the_shapes_that_programs_rely_on() {
    let world = World::new();
    let a = world.site("a");
    assert_eq!(a.json(["ls"]), json!({"disks": []}));
    a.ok(["create", "d", "--size", "1M"]);
    let socket = world.file("my.sock");
    let value = a.json(["attach", "d", &format!("--nbd=unix:{}", socket.display())]);
    assert_eq!(value["device"], Value::Null);
    assert_eq!(value["uri"], format!("nbd+unix:///?socket={}", socket.display()));
    assert!(value["pid"].is_u64());
    assert_eq!(a.json(["ls"])["disks"][0]["uri"], value["uri"]);
    a.ok(["create", "e", "--size", "1M"]);
    // Without --json: the place alone, for `$(wandisk attach e)`.
    let uri = a.ok(["attach", "e", "--nbd", "tcp:127.0.0.1:0"]);
    assert!(uri.starts_with("nbd://127.0.0.1:") && !uri.ends_with(":0"), "{uri}");
    Export::new(&uri).write(1, 0, 512);
    assert_eq!(a.ok(["ls"]).lines().count(), 2);
    assert_eq!(a.json(["site", "ls"])["sites"], json!([]));
}

#[test]
fn what_is_known_of_a_site_can_be_changed_and_the_rest_stays() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["site", "add", "big", "ssh://me@big", "--remote-home", "/srv/big", "--mode", "ro"]);
    a.ok(["site", "set", "big", "--remote-wandisk", "/opt/wandisk"]);
    let known = a.json(["site", "ls"])["sites"][0].clone();
    let expected = json!({
        "name": "big", "address": "ssh://me@big", "uuid": null, "mode": "ro",
        "remote_home": "/srv/big", "remote_wandisk": "/opt/wandisk",
    });
    assert_eq!(known, expected);
    assert_eq!(a.json(["site", "set", "big", "--address", "cmd:env", "--mode", "rw"])["address"], "cmd:env");
    a.fails(["site", "set", "small", "--mode", "rw"]).says(&["small"]);
    let before = a.json(["site", "ls"]);
    for wrong in [&["site", "set", "big", "--address", "http://x"][..], &["site", "set", "big"]] {
        assert_eq!(a.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(a.json(["site", "ls"]), before);
}

#[test]
fn errors_are_json_when_json_is_asked_for() {
    let world = World::new();
    let a = world.site("a");
    let output = a.run(["--json", "status", "nothing"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["error"]["message"].as_str().unwrap().contains("nothing"));
    assert!(value["error"]["hint"].is_string());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_replica_is_removed_only_when_nothing_is_lost() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 11);
    a.ok(["create", "d", "--from", image.name()]);
    a.fails(["rm", "d"]).says(&["8 chunks", "this site alone", "--force"]);
    a.ok(["move", "d", "--to", "b"]);
    // b is resident, and every byte is still at a.
    a.fails(["rm", "d"]).says(&["8 chunks", "this site alone"]);
    b.fails(["rm", "d"]).says(&["resident here"]);
    b.fails(["rm", "d", "--replica-only"]).says(&["resident here"]);
    b.ok(["sync", "d", "--site", "b"]);
    b.attach("d");
    b.fails(["rm", "d", "--force"]).says(&["attached", "detach"]);
    b.detach("d");
    a.ok(["rm", "d", "--replica-only"]);
    assert!(!a.has_folder("d"));
    b.attach("d").is_identical_to(&image);
    b.detach("d");
    b.ok(["rm", "d", "--force"]);
    assert!(!b.has_folder("d"));
}

#[test]
fn a_disk_grows_and_the_other_site_follows() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", MIB + 512, 1, 12);
    image.write(5, MIB, 512);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    // Neither the old size nor the new one ends with a chunk.
    a.ok(["resize", "d", "5000192"]);
    image.grow(5_000_192);
    let export = a.attach("d");
    assert!(tool("nbdinfo", &["--size", export.uri()]).contains("5000192"));
    export.is_identical_to(&image);
    export.write(6, 5_000_192 - 512, 512);
    image.write(6, 5_000_192 - 512, 512);
    assert!(!export.can_read(5_000_192, 512));
    a.fails(["resize", "d", "6M"]).says(&["attached", "detach"]);
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    assert_eq!(number(&b.status("d")["size"]), 5_000_192);
    let export = b.attach("d");
    export.is_identical_to(&image);
    b.detach("d");
    b.ok(["sync", "d", "--site", "a", "--verify"]);
    b.ok(["move", "d", "--to", "a"]);
    a.attach("d").is_identical_to(&image);
}

#[test]
fn an_export_is_the_disk_and_overwrites_nothing() {
    let world = World::new();
    let (a, b, image) = mixed(&world);
    a.ok(["move", "d", "--to", "b"]);
    let file = world.file("out");
    // What is missing is fetched.
    b.ok(["export", "d", file.to_str().unwrap()]);
    tool("cmp", &[image.name(), file.to_str().unwrap()]);
    b.fails(["export", "d", file.to_str().unwrap()]).says(&["out", "exists"]);
    b.attach("d");
    b.fails(["export", "d", world.file("out2").to_str().unwrap()]).says(&["attached"]);
    assert!(!world.file("out2").exists());
}

#[test]
fn an_import_is_a_basis_and_never_current_by_itself() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 4 * MIB, 4, 13);
    a.ok(["create", "d", "--from", image.name()]);
    a.fails(["import", "d", image.name()]).says(&["empty replica"]);
    a.ok(["move", "d", "--to", "b"]);
    // A shipped copy, wrong in one place.
    let copy = Image::noise(&world, "copy", 4 * MIB, 4, 13);
    copy.write(0xee, 9 * CHUNK + 70_000, 100);
    b.ok(["import", "d", copy.name()]);
    assert_eq!(b.chunks("d", "held"), 0, "imported bytes are not held");
    let export = b.attach_with("d", &["--prefetch", "off"]);
    export.is_identical_to(&image);
    let fetch = b.status("d")["fetch"].clone();
    assert_eq!((number(&fetch["same"]), number(&fetch["delta"])), (31, 1), "{fetch}");
    assert!(number(&fetch["bytes_in"]) < 16 * KIB, "{fetch}");
    b.detach("d");
    b.fails(["import", "d", copy.name()]).says(&["empty replica"]);
}

/// Changes one bit of a chunk behind the program's back.
fn flip(site: &Site, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(site.data("d")).unwrap();
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

#[test]
fn verify_finds_a_flipped_bit_at_a_replica() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 2, 14);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    let sound = b.json(["verify", "d"]);
    assert_eq!((&sound["differing"], &sound["table_ok"]), (&json!([]), &json!(true)));
    assert_eq!(number(&b.json(["verify", "d", "--site", "a"])["compared"]), 16);

    flip(&b, 5 * CHUNK + 1234);
    let output = b.run(["--json", "verify", "d", "--site", "a"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["differing"], json!([5]), "{value}");
    a.fails(["sync", "d", "--site", "b", "--verify"]).says(&["1 chunk", "differ"]);

    // Its own hashes say which side is damaged, and the other gives it anew.
    assert_eq!(b.json(["verify", "d"])["repaired"], json!([5]));
    a.ok(["sync", "d", "--site", "b", "--verify"]);
}

#[test]
fn a_replica_that_is_removed_after_the_table_went_ahead_gets_it_again() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 16);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["prepare", "d", "--to", "b"]);
    a.ok(["abort", "d"]);
    b.ok(["rm", "d", "--replica-only"]);
    let token = a.ok(["prepare", "d", "--to", "b"]);
    a.ok(["commit", "d", "--to", "b", "--token", &token]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn status_that_asks_nobody_is_told_without_the_sites() {
    let world = World::new();
    let (a, _b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["sync", "d", "--site", "b"]);
    let here = a.json(["status", "d", "--here"]);
    assert_eq!((&here["residency"], &here["sites"]), (&json!("resident"), &json!([])));
    assert_eq!(a.json(["status", "d"])["sites"][0]["name"], "b");
}

#[test]
fn a_hand_over_in_steps() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 15);
    a.ok(["create", "d", "--from", image.name()]);

    // A VM manager starts its VM there as soon as there is something to attach.
    let output = a.run(["--json", "prepare", "d", "--to", "b"]);
    let news = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && news.contains(r#""phase":"replica""#), "{news}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let token = told["token"].as_str().unwrap().to_owned();
    assert!(told["ahead"] == false && told["answer_ms"].as_f64() > Some(0.0), "{told}");
    a.fails(["move", "d", "--to", "b"]).says(&["prepared"]);
    a.fails(["prepare", "d", "--to", "b"]).says(&["prepared"]);
    let other = "00000000-0000-4000-8000-000000000000";
    a.fails(["commit", "d", "--to", "b", "--token", other]).says(&["token"]);
    assert!(a.is_resident("d") && !b.is_resident("d"));
    // Aborting twice is success; what follows is an ordinary disk.
    a.ok(["abort", "d", "--to", "b", "--token", &token]);
    a.ok(["abort", "d", "--to", "b", "--token", &token]);
    a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["no hand-over is prepared"]);
    let export = a.attach("d");
    export.write(1, 0, 4096);
    image.write(1, 0, 4096);

    // Writes are held between prepare and abort, and go on after it. (The table is there already.)
    let told = a.json(["prepare", "d", "--to", "b"]);
    assert_eq!(told["ahead"], true, "{told}");
    let token = told["token"].as_str().unwrap().to_owned();
    let uri = export.uri().to_owned();
    let mut writer =
        Command::new("qemu-io").args(["-f", "raw", "-c", "write -P 2 4096 4096", &uri]).spawn().unwrap();
    a.ok(["abort", "d", "--to", "b", "--token", &token]);
    assert!(writer.wait().unwrap().success());
    image.write(2, 4096, 4096);
    export.reads(2, 4096, 4096);

    let token = a.ok(["prepare", "d", "--to", "b"]);
    let done = a.json(["commit", "d", "--to", "b", "--token", &token]);
    assert_eq!((done["to"].as_str(), number(&done["epoch"])), (Some("b"), 2));
    assert!(b.is_resident("d") && !a.is_resident("d"));
    // Repeating one that took effect is success; abort after commit is an error.
    a.ok(["commit", "d", "--to", "b", "--token", &token]);
    a.fails(["abort", "d", "--to", "b", "--token", &token]).says(&["released"]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_prepare_ends_with_its_lease() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    let export = a.attach("d");
    let token = a.ok(["prepare", "d", "--to", "b", "--lease", "1s"]);
    // Held until the lease ends, then done.
    export.write(3, 0, 4096);
    a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["lease"]);
    assert!(a.is_resident("d") && !b.is_resident("d"));
    export.reads(3, 0, 4096);
}

#[test]
fn a_standby_refuses_until_residency_comes() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 16);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    let export = b.attach_with("d", &["--standby"]);
    assert!(!export.can_read(0, 512));
    assert!(!export.try_python("h.pwrite(bytes(512), 0)").status.success());
    a.ok(["move", "d", "--to", "b"]);
    export.is_identical_to(&image);
    export.write(1, 0, 512);
}

#[test]
fn a_waiting_standby_answers_when_residency_comes() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 17);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    let export = b.attach_with("d", &["--standby", "wait"]);
    let (uri, file) = (export.uri().to_owned(), image.name().to_owned());
    let reader =
        std::thread::spawn(move || try_tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", &file, &uri]));
    eventually("the reader waits", SOON, || {
        assert!(!reader.is_finished());
        std::fs::read_to_string("/proc/net/unix")
            .unwrap()
            .matches(b.disk_file("d", "nbd.sock").to_str().unwrap())
            .count()
            > 1
    });
    a.ok(["move", "d", "--to", "b"]);
    let output = reader.join().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn a_read_only_attach_refuses_writes() {
    let world = World::new();
    let a = world.site("a");
    let image = Image::noise(&world, "i", 2 * MIB, 1, 18);
    a.ok(["create", "d", "--from", image.name()]);
    let export = a.attach_with("d", &["--read-only"]);
    assert!(tool("nbdinfo", &[export.uri()]).contains("is_read_only: true"));
    export.is_identical_to(&image);
    for request in ["pwrite(bytes(512), 0)", "trim(4096, 0)", "zero(4096, 0)"] {
        export.fails(&format!("h.set_strict_mode(0); h.{request}"));
    }
    a.detach("d");
    a.attach("d").write(1, 0, 512);
}

#[test]
fn one_of_two_moves_at_once_wins() {
    let world = World::new();
    let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
    for (near, far) in [(&a, &b), (&a, &c), (&b, &a), (&c, &a)] {
        near.knows(far);
    }
    a.ok(["create", "d", "--size", "1M"]);
    let moves: Vec<_> = ["b", "c"].into_iter().map(|to| a.start(["move", "d", "--to", to])).collect();
    let outputs: Vec<_> = moves.into_iter().map(|m| m.wait_with_output().unwrap()).collect();
    let won: Vec<bool> = outputs.iter().map(|o| o.status.success()).collect();
    assert!(won.contains(&true), "{} {}", shown(&outputs[0]), shown(&outputs[1]));
    let residents: Vec<&str> =
        [&a, &b, &c].iter().filter(|s| s.has_folder("d") && s.is_resident("d")).map(|s| s.name()).collect();
    assert_eq!(residents.len(), 1, "{residents:?}");
}

#[test]
fn a_move_in_use_is_refused_without_force() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    let export = a.attach("d");
    let code =
        "import sys; h.pwrite(bytes([7])*512, 0); h.flush(); print('open', flush=True); sys.stdin.readline()";
    let mut user = Command::new("nbdsh")
        .args(["-u", export.uri(), "-c", code])
        .env("PATH", "/usr/bin:/bin")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(user.stdout.take().unwrap()), &mut said)
        .unwrap();
    a.fails(["move", "d", "--to", "b"]).says(&["NBD client", "--force"]);
    assert!(a.is_resident("d"));
    a.ok(["move", "d", "--to", "b", "--force"]);
    assert_eq!(a.status("d")["attached"], false, "the old device is dead");
    user.kill().unwrap();
    user.wait().unwrap();
    b.attach("d").reads(7, 0, 512);
}

#[test]
fn an_attach_while_peers_are_served() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 16 * MIB, 16, 19);
    a.ok(["create", "d", "--from", image.name()]);
    let sync = a.start(["sync", "d", "--site", "b", "--rate", "8M"]);
    eventually("b fetches", SOON, || b.has_folder("d") && b.chunks("d", "held") > 0);
    let export = a.attach("d");
    export.write(1, 15 * MIB, CHUNK);
    image.write(1, 15 * MIB, CHUNK);
    let output = sync.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", shown(&output));
    a.detach("d");
    a.ok(["sync", "d", "--site", "b"]);
    tool("cmp", &[image.name(), b.data("d").to_str().unwrap()]);
}

/// A keeper in the foreground, and its export.
fn in_the_foreground(a: &Site, socket: &std::path::Path) -> (std::process::Child, Export) {
    let nbd = format!("--nbd=unix:{}", socket.display());
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_wandisk"))
        .arg("--home")
        .arg(a.home())
        .args(["attach", "d", &nbd, "--foreground"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut uri = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(keeper.stdout.take().unwrap()), &mut uri)
        .unwrap();
    (keeper, Export::new(uri.trim()))
}

#[test]
fn an_attach_in_the_foreground_ends_with_its_detach() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "4M"]);
    let socket = world.file("fg.sock");
    let (mut keeper, export) = in_the_foreground(&a, &socket);
    export.write(9, 0, 4096);
    a.ok(["detach", "d"]);
    assert!(keeper.wait().unwrap().success());
    assert!(!socket.exists(), "the socket is cleaned up");
    assert_eq!(a.chunks("d", "written"), 1);
}

#[test]
fn an_attach_in_the_foreground_ends_on_sigterm_with_everything_durable() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "4M"]);
    let socket = world.file("fg.sock");
    let (mut keeper, export) = in_the_foreground(&a, &socket);
    export.write(9, 100_000 / 512 * 512, 70_144);
    // Other commands talk to it.
    assert_eq!(a.keeper("d"), keeper.id());
    kill(keeper.id(), rustix::process::Signal::TERM);
    assert!(keeper.wait().unwrap().success());
    assert!(!socket.exists(), "the socket is cleaned up");
    let bytes = std::fs::read(a.data("d")).unwrap();
    assert_eq!(bytes.iter().filter(|b| **b == 9).count(), 70_144);
    assert_eq!(a.chunks("d", "written"), 2);
    a.attach("d").reads(9, 100_000 / 512 * 512, 70_144);
}

#[test]
fn a_site_is_added_checked_listed_and_removed() {
    let world = World::new();
    let (a, b) = world.pair();
    let check = a.json(["site", "check", "b"]);
    assert_eq!(check["site"], "b");
    assert!(
        check["rtt_ms"].is_f64() && check["version"].is_string() && check["free_bytes"].is_u64(),
        "{check}"
    );
    assert_eq!(a.json(["site", "ls"])["sites"][0]["name"], "b");
    a.fails(["site", "add", "b", "cmd:true serve --stdio"]).says(&["\"b\"", "already"]);
    a.ok(["site", "rm", "b"]);
    a.fails(["site", "check", "b"]).says(&["\"b\""]);
    drop(b);
}
