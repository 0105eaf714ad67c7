//! Attempts at a hand-over that end early, come late or lose their caller (interleavings 3, 9, 16).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

#[test]
fn a_released_disk_keeps_its_versions_through_a_power_cut() {
    // Interleaving 3. A power cut is a dead keeper and an intent map that says nothing: only hot marks are believed.
    let Pair { link, a, b, image, world: _world } = Pair::new();
    let export = a.attach("d");
    export.write(7, 0, 4096);
    export.write(8, 40 * 4096, 512);
    image.write(7, 0, 4096);
    image.write(8, 40 * 4096, 512);
    let token = a.ok(["prepare", "d", "--to", "b", "--lease", "60s"]);
    link.cut();
    a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["released to b"]);
    a.kill_keeper("d");
    std::fs::remove_file(a.disk_file("d", "intent.map")).unwrap();
    let status = a.status("d");
    assert_eq!((status["residency"].as_str(), number(&status["chunks"]["held"])), (Some("released"), 16));
    link.mend();
    a.ok(["move", "d", "--to", "b"]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn an_aborted_attempt_is_not_taken_for_the_next() {
    // Interleaving 9.
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    let first = a.ok(["prepare", "d", "--to", "b"]);
    a.ok(["abort", "d", "--to", "b", "--token", &first]);
    export.write(6, CHUNK, 512);
    image.write(6, CHUNK, 512);
    let second = a.ok(["prepare", "d", "--to", "b"]);
    assert_ne!(first, second);
    a.fails(["commit", "d", "--to", "b", "--token", &first]).says(&["no hand-over is prepared"]);
    assert!(!b.is_resident("d"));
    a.ok(["commit", "d", "--to", "b", "--token", &second]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_prepare_whose_caller_died_ends_with_its_lease() {
    // Interleaving 16.
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    a.ok(["prepare", "d", "--to", "b", "--lease", "1s"]);
    // Writes wait for the lease, and then go on.
    export.write(6, CHUNK, 512);
    image.write(6, CHUNK, 512);
    export.is_identical_to(&image);
    assert!(a.is_resident("d") && !b.is_resident("d"));
    a.ok(["move", "d", "--to", "b", "--force"]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_prepare_that_comes_after_its_try_was_given_up_does_not_begin() {
    // Its caller died before the command had reached the keeper, and the next caller has tidied up.
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    let [first, second] = ["0b63bd4f-1b38-4c0b-8d0e-2f2f5bd3a1c1", "5fb6a9c4-9d0e-4a4e-9a0a-7f1b6f0d8f62"];
    let prepare = |name| ["prepare", "d", "--to", "b", "--lease", "60s", "--name", name];
    a.ok(prepare(first));
    a.ok(["abort", "d", "--name", first]);
    a.fails(prepare(first)).says(&["given up before it began"]);
    a.ok(["abort", "d", "--name", second]);
    a.fails(prepare(second)).says(&["given up before it began"]);
    // Nobody holds writes.
    export.write(6, CHUNK, 512);
    image.write(6, CHUNK, 512);
    a.ok(["move", "d", "--to", "b", "--force"]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_quiesce_that_comes_after_its_try_was_given_up_bounds_nothing() {
    let Pair { a, image: _image, link: _link, world: _world, .. } = Pair::new();
    let _export = a.attach("d");
    let [first, second] = ["0b63bd4f-1b38-4c0b-8d0e-2f2f5bd3a1c1", "5fb6a9c4-9d0e-4a4e-9a0a-7f1b6f0d8f62"];
    let quiesce = |name| ["quiesce", "d", "--wait", "50ms", "--name", name];
    a.ok(["abort", "d", "--name", first]);
    a.fails(quiesce(first)).says(&["given up before it began"]);
    assert!(a.status("d")["quiesced_ms"].is_null());
    a.ok(quiesce(second));
    assert_eq!(a.status("d")["quiesced_ms"], 50);
}

#[test]
fn a_sync_that_comes_after_prepared_does_not_undo_the_hand_over() {
    // The sync withdraws what was prepared; the source that released sends its table again.
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    export.write(6, CHUNK, 512);
    image.write(6, CHUNK, 512);
    let token = a.ok(["prepare", "d", "--to", "b", "--lease", "60s"]);
    b.ok(["sync", "d", "--site", "b", "--no-freeze"]);
    assert_eq!(b.status("d")["residency"], "replica");
    a.ok(["commit", "d", "--to", "b", "--token", &token]);
    assert!(b.is_resident("d"));
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_resident_that_was_set_back_stops_when_it_hears_of_the_hand_over_it_missed() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 51);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    a.ok(["sync", "d", "--site", "b"]);
    // It would dial a again.
    b.kill_keeper("d");
    a.kill_keeper("d");
    let (folder, saved) = (a.home().join("disks/d"), world.file("saved"));
    tool("cp", &["-a", folder.to_str().unwrap(), saved.to_str().unwrap()]);
    a.ok(["move", "d", "--to", "b"]);
    a.kill_keeper("d");
    tool("rm", &["-r", folder.to_str().unwrap()]);
    tool("cp", &["-a", saved.to_str().unwrap(), folder.to_str().unwrap()]);

    // It believes to be resident, until it meets b.
    let export = a.attach("d");
    export.write(9, 0, 512);
    let words = ["missed the hand-over to b", "set back", "wandisk rm --force"];
    a.fails(["sync", "d", "--site", "b"]).says(&words);
    assert_eq!(a.status("d")["residency"], "overtaken");
    export.fails("h.pwrite(b'x' * 512, 0)");
    assert!(!export.can_read(0, 512), "not even read: the device is shut");
    a.detach("d");
    a.fails(["attach", "d", "--nbd"]).says(&words);
    a.fails(["move", "d", "--to", "b"]).says(&words);
    a.fails(["takeover", "d", "--force"]).says(&words);
    // The other one never took anything of it, and the way out is the one that was told.
    b.attach("d").is_identical_to(&image);
    a.ok(["rm", "d", "--force"]);
    b.ok(["sync", "d", "--site", "a"]);
    tool("cmp", &[image.name(), a.data("d").to_str().unwrap()]);
}

#[test]
fn a_device_that_stays_through_a_hand_over_refuses_until_the_disk_is_back() {
    let Pair { a, b, image, link: _link, world: _world } = Pair::new();
    let export = a.attach("d");
    a.ok(["quiesce", "d"]);
    let token = a.ok(["prepare", "d", "--to", "b"]);
    a.ok(["commit", "d", "--token", &token, "--standby"]);
    assert!(b.is_resident("d") && !export.can_read(0, 4096));
    let there = b.attach("d");
    there.write(9, CHUNK, 4096);
    image.write(9, CHUNK, 4096);
    b.detach("d");
    b.ok(["move", "d", "--to", "a"]);
    // It has what was written elsewhere, and nothing bounds its next run.
    export.is_identical_to(&image);
    assert!(a.status("d")["quiesced_ms"].is_null());
    a.detach("d");
}
