//! The main job: one disk at several sites, moved, fetched on demand, synced, cut off, compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

/// A disk made of a real filesystem at `a`.
fn with_ext4(world: &World, a: &Site) -> Image {
    let image = Image::ext4(world, 64 * MIB);
    a.ok(["create", "d", "--from", image.name()]);
    image
}

#[test]
fn a_disk_made_of_an_image_is_that_image() {
    let world = World::new();
    let (a, _) = world.pair();
    let image = with_ext4(&world, &a);
    let export = a.attach("d");
    export.is_identical_to(&image);
    assert!(tool("nbdinfo", &[export.uri()]).contains("export-size: 67108864"));
    assert_eq!(a.chunks("d", "written"), image.chunks_with_data(CHUNK));
    a.detach("d");
    tool("e2fsck", &["-fn", a.data("d").to_str().unwrap()]);
}

#[test]
fn after_a_move_only_what_is_touched_is_fetched() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = with_ext4(&world, &a);
    let written = a.chunks("d", "written");

    let moved = a.json(["move", "d", "--to", "b"]);
    assert_eq!((moved["to"].as_str(), number(&moved["epoch"])), (Some("b"), 2));
    assert_eq!(b.chunks("d", "absent"), written, "a move brings the table, not the bytes");

    let export = b.attach_with("d", &["--prefetch", "off"]);
    export.python("h.pread(4096, 0)");
    let status = b.status("d");
    assert_eq!(number(&status["chunks"]["held"]), 1);
    assert_eq!(number(&status["fetch"]["demand"]), 1);
    assert!(number(&status["fetch"]["bytes_in"]) <= CHUNK);

    export.is_identical_to(&image);
    assert_eq!(b.chunks("d", "held"), written);
    tool("e2fsck", &["-fn", b.data("d").to_str().unwrap()]);
}

#[test]
fn a_synced_site_works_on_when_all_others_are_gone() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = with_ext4(&world, &a);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach("d");
    export.write(7, 5 * MIB + 512, MIB);
    image.write(7, 5 * MIB + 512, MIB);
    b.detach("d");

    let synced = a.json(["sync", "d", "--site", "a", "--verify"]);
    assert_eq!(number(&synced["missing"]), 0);
    assert_eq!(number(&synced["differing"]), 0);
    assert_eq!(number(&synced["verified"]), 9, "every chunk that both hold");
    a.ok(["move", "d", "--to", "a"]);
    link.cut();

    let export = a.attach("d");
    export.is_identical_to(&image);
    export.write(9, 0, CHUNK);
    export.reads(9, 0, CHUNK);
}

#[test]
fn a_chunk_is_found_whoever_owns_it() {
    let world = World::new();
    let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
    for (near, far) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b), (&a, &c), (&c, &a)] {
        near.knows(far);
    }
    let image = with_ext4(&world, &a);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach("d");
    export.write(3, 40 * MIB, CHUNK);
    image.write(3, 40 * MIB, CHUNK);
    b.detach("d");
    b.ok(["move", "d", "--to", "c"]);

    // Most chunks are owned by a, which is neither end of this hand-over.
    let export = c.attach("d");
    export.is_identical_to(&image);
    assert_eq!(c.chunks("d", "absent"), 0);
}

#[test]
fn a_site_that_cannot_reach_an_owner_is_relayed() {
    let world = World::new();
    let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
    // A line: a - b - c.
    for (near, far) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b)] {
        near.knows(far);
    }
    let image = with_ext4(&world, &a);
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["move", "d", "--to", "c"]);
    let export = c.attach("d");
    export.is_identical_to(&image);
    c.detach("d");
    c.ok(["sync", "d", "--site", "a"]);
    assert_eq!(a.chunks("d", "held"), a.chunks("d", "written"));
}

#[test]
fn a_question_that_nobody_can_answer_goes_round_in_no_loop() {
    // Interleaving 22: b asks a for what c holds, and a can only ask b.
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.site(name));
    let image = with_ext4(&world, &c);
    let (b_a, a_b, a_c, c_a) =
        (world.link(&b, &a), world.link(&a, &b), world.link(&a, &c), world.link(&c, &a));
    c.ok(["move", "d", "--to", "a"]);
    a.ok(["move", "d", "--to", "b"]);
    a_c.cut();
    c_a.cut();
    let export = b.attach_with("d", &["--fetch-timeout", "3s"]);
    let before = [&b_a, &a_b].map(|link| link.bytes().0 + link.bytes().1);
    let began = std::time::Instant::now();
    assert!(!export.can_read(0, 4096), "nobody could give it");
    assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
    let after = [&b_a, &a_b].map(|link| link.bytes().0 + link.bytes().1);
    let asked: u64 = after.iter().zip(&before).map(|(after, before)| after - before).sum();
    // Asked by everybody of everybody, as often as a path may be long, it is over 20 KB.
    assert!(asked < 8 * KIB, "{asked} bytes for one question");
    a_c.mend();
    c_a.mend();
    b.detach("d");
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_site_that_never_saw_the_disk_gets_a_replica_by_sync() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = with_ext4(&world, &a);
    assert!(!b.has_folder("d"));
    a.ok(["sync", "d", "--site", "b", "--verify"]);
    let status = b.status("d");
    assert_eq!(status["residency"], "replica");
    assert_eq!(status["resident"], "a");
    assert!(status["consistent_at"].is_u64());
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), b.data("d").to_str().unwrap()]);
}

#[test]
fn ten_moves_back_and_forth_keep_every_write() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 8 * MIB + 512, 3, 1);
    a.ok(["create", "d", "--from", image.name()]);
    for round in 0..10u64 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let export = here.attach("d");
        let pattern = u8::try_from(round + 1).unwrap();
        // Parts of chunks, chunk borders, the last sector.
        for (offset, len) in [(round * 300_032, 4096 + 512), (7 * CHUNK - 512, 1024), (8 * MIB, 512)] {
            export.write(pattern, offset, len);
            image.write(pattern, offset, len);
        }
        here.detach("d");
        let moved = here.json(["move", "d", "--to", there.name()]);
        assert_eq!(number(&moved["epoch"]), round + 2);
        assert!(there.is_resident("d") && !here.is_resident("d"));
    }
    a.attach("d").is_identical_to(&image);
}

#[test]
fn sparse_images_stay_sparse() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "raw", 1 << 30, 2, 2);
    image.write(1, 700 * MIB, 4096);
    let qcow2 = world.file("qcow2");
    tool("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", image.name(), qcow2.to_str().unwrap()]);
    for (disk, from) in [("r", image.path()), ("q", qcow2.as_path())] {
        a.ok(["create".as_ref(), disk.as_ref(), "--from".as_ref(), from.as_os_str()]);
        assert_eq!(a.chunks(disk, "written"), 17);
        assert!(allocated(&a.data(disk)) <= 4 * MIB, "{disk} takes {}", allocated(&a.data(disk)));
        a.attach(disk).is_identical_to(&image);
        a.detach(disk);
        a.ok(["sync", disk, "--site", "b"]);
        assert!(allocated(&b.data(disk)) <= 4 * MIB, "{disk} takes {} at b", allocated(&b.data(disk)));
    }
    let file = world.file("out");
    a.ok(["export", "q", file.to_str().unwrap()]);
    assert!(allocated(&file) <= 4 * MIB);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), file.to_str().unwrap()]);
}

#[test]
fn what_was_never_written_or_is_zero_costs_nothing() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1T"]);
    let export = a.attach("d");
    export.write(5, 0, 16 * CHUNK);
    export.python(&format!("h.trim({}, 0); h.flush()", 15 * CHUNK));
    export.reads(0, 0, 15 * CHUNK);
    a.detach("d");
    let chunks = &a.status("d")["chunks"];
    assert_eq!((number(&chunks["written"]), number(&chunks["zero"])), (16, 15));
    assert!(allocated(&a.data("d")) <= 2 * CHUNK);

    let moved = a.json(["move", "d", "--to", "b"]);
    assert!(number(&moved["bytes"]) < 4096, "{moved}");
    let export = b.attach_with("d", &["--prefetch", "off"]);
    export.reads(0, 0, 15 * CHUNK);
    export.reads(0, 1 << 39, MIB);
    let fetch = &b.status("d")["fetch"];
    assert_eq!(number(&fetch["bytes_in"]), 0, "{fetch}");
    assert!(allocated(&b.data("d")) <= CHUNK);
}

#[test]
fn a_small_change_travels_as_a_delta() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 4 * MIB, 4, 3);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    let export = a.attach("d");
    for chunk in 0..8 {
        export.write(1, chunk * CHUNK + 4096, 4096);
        image.write(1, chunk * CHUNK + 4096, 4096);
    }
    a.detach("d");
    let before = b.status("d")["fetch"].clone();
    a.ok(["move", "d", "--to", "b"]);
    assert_eq!(b.chunks("d", "stale"), 8);
    b.attach_with("d", &["--prefetch", "off"]).is_identical_to(&image);
    let after = b.status("d")["fetch"].clone();
    let grew = |what: &str| number(&after[what]) - number(&before[what]);
    assert_eq!(grew("delta"), 8, "{after}");
    assert!(grew("bytes_in") < 8 * 8192, "{after}");
}

#[test]
fn bytes_that_are_the_same_do_not_travel() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 2, 4);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    // Written again as it was: new versions of the same bytes.
    tool("nbdcopy", &[image.name(), a.attach("d").uri()]);
    a.detach("d");
    let before = b.status("d")["fetch"].clone();
    a.ok(["sync", "d", "--site", "b"]);
    let after = b.status("d")["fetch"].clone();
    assert_eq!(number(&after["same"]) - number(&before["same"]), 16, "{after}");
    assert_eq!(after["bytes_in"], before["bytes_in"]);
}

#[test]
fn fio_reads_back_what_it_wrote_before_the_move() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "16M"]);
    let fio = |export: &Export, more: &[&str]| {
        let uri = format!("--uri={}", export.uri());
        let job = [
            "--name=v",
            "--ioengine=nbd",
            "--rw=randwrite",
            "--bsrange=512-64k",
            "--bs_unaligned=0",
            "--size=16M",
        ];
        let check = [
            "--verify=crc32c",
            "--verify_fatal=1",
            "--iodepth=8",
            "--randseed=7",
            "--verify_state_save=0",
            "--output=/dev/stderr",
        ];
        let args: Vec<&str> =
            job.iter().chain(&check).copied().chain([uri.as_str()]).chain(more.iter().copied()).collect();
        tool("fio", &args);
    };
    fio(&a.attach("d"), &["--do_verify=0"]);
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    fio(&b.attach("d"), &["--verify_only=1"]);
}

#[test]
fn a_sync_during_writes_ends_with_one_moment() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 16 * MIB, 8, 5);
    a.ok(["create", "d", "--from", image.name()]);
    let export = a.attach("d");
    let uri = format!("--uri={}", export.uri());
    let args = [
        "--name=w",
        "--ioengine=nbd",
        "--rw=randwrite",
        "--bs=4k",
        "--size=16M",
        "--time_based",
        "--runtime=60",
        "--rate_iops=500",
    ];
    let mut writer = std::process::Command::new("fio")
        .args(args)
        .arg(uri)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("writes arrive", SOON, || number(&a.status("d")["io"]["writes"]) > 50);
    let synced = a.json(["sync", "d", "--site", "b"]);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(number(&synced["missing"]), 0, "{synced}");
    assert!(b.status("d")["consistent_at"].is_u64());
    a.detach("d");
    a.ok(["sync", "d", "--site", "b", "--verify"]);
    tool(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", a.data("d").to_str().unwrap(), b.data("d").to_str().unwrap()],
    );
}

#[test]
fn a_map_tells_where_chunks_are_at_both_sites_in_as_many_cells_as_were_asked_for() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "64M"]);
    let export = a.attach("d");
    export.write(1, 0, 2 * CHUNK);
    export.write(2, 32 * MIB, CHUNK);
    a.detach("d");
    let map = |site: &Site, list: &str| site.json(["map", "d", "--cells", "4"])[list].clone();
    let is = |numbers: [u64; 4]| serde_json::json!(numbers);
    assert_eq!(map(&a, "chunks_per_cell"), 128);
    assert_eq!((map(&a, "held"), map(&a, "only_here")), (is([2, 0, 1, 0]), is([2, 0, 1, 0])));

    a.ok(["move", "d", "--to", "b"]);
    assert_eq!((map(&b, "absent"), map(&b, "held")), (is([2, 0, 1, 0]), is([0; 4])));
    let others = map(&b, "others");
    assert_eq!((&others[0]["known_held"], &others[0]["known_only"]), (&is([2, 0, 1, 0]), &is([2, 0, 1, 0])));
    let export = b.attach_with("d", &["--prefetch", "off"]);
    export.write(3, 0, CHUNK);
    b.detach("d");
    assert_eq!((map(&b, "only_here"), map(&b, "absent")), (is([1, 0, 0, 0]), is([1, 0, 1, 0])));
    assert!(b.ok(["map", "d", "--cells", "4"]).ends_with("\na.a."));
    assert!(!b.run(["map", "d", "--cells", "0"]).status.success());
    assert!(!b.run(["map", "d", "--cells", "5000"]).status.success());
}
