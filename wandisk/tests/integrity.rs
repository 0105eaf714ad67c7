//! Bytes that rot: found, fetched anew from whoever has them, or named and never served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::os::unix::fs::FileExt;

use framework::*;

/// One byte of a chunk in `data.img` is another one.
fn rot(site: &Site, chunk: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(site.data("d")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, chunk * CHUNK + 77).unwrap();
    file.write_all_at(&[byte[0] ^ 1], chunk * CHUNK + 77).unwrap();
}

fn is_image(site: &Site, image: &Image) {
    let data = site.data("d");
    tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), data.to_str().unwrap()]);
}

#[test]
fn a_damaged_chunk_is_fetched_anew_from_a_holder() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 2, 70);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    for (site, chunk) in [(&b, 5), (&a, 11)] {
        rot(site, chunk);
        let found = site.json(["verify", "d"]);
        assert_eq!(
            (&found["differing"], &found["repaired"], &found["lost"]),
            (&json!([chunk]), &json!([chunk]), &json!([]))
        );
        is_image(site, &image);
        assert_eq!(number(&site.json(["verify", "d"])["compared"]), 16);
    }
}

#[test]
fn a_damaged_chunk_that_nobody_else_has_is_named_and_not_served() {
    let world = World::new();
    let a = world.site("a");
    let image = Image::noise(&world, "i", 2 * MIB, 2, 71);
    a.ok(["create", "d", "--from", image.name()]);
    // From now on the hashes are known.
    a.ok(["verify", "d"]);
    rot(&a, 3);
    a.fails(["verify", "d"]).says(&["ARE DAMAGED", "chunks [3]"]);

    let export = a.attach_with("d", &["--fetch-timeout", "1s"]);
    assert!(!export.can_read(3 * CHUNK, 4096));
    assert!(export.can_read(4 * CHUNK, 4096));
    a.kill_keeper("d");
    let export = a.attach_with("d", &["--fetch-timeout", "1s"]);
    assert!(!export.can_read(3 * CHUNK, 4096), "the death of a keeper makes no bytes right");

    export.write(9, 3 * CHUNK, CHUNK);
    image.write(9, 3 * CHUNK, CHUNK);
    export.is_identical_to(&image);
    a.detach("d");
    a.ok(["verify", "d"]);
}

#[test]
fn a_chunk_that_was_written_since_is_not_taken_for_damaged() {
    let world = World::new();
    let a = world.site("a");
    let image = Image::noise(&world, "i", 2 * MIB, 2, 72);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["verify", "d"]);
    let export = a.attach("d");
    export.write(1, 3 * CHUNK + 512, 4096);
    image.write(1, 3 * CHUNK + 512, 4096);
    let found = a.json(["verify", "d"]);
    assert_eq!(found["differing"], json!([]));
    export.write(2, 3 * CHUNK + 512, 512);
    image.write(2, 3 * CHUNK + 512, 512);
    export.is_identical_to(&image);
}

#[test]
fn an_attached_disk_is_looked_through_by_itself() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 2, 73);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach_with("d", &["--scrub-every", "1s"]);
    rot(&b, 7);
    eventually("the damage is found and mended", SOON, || {
        std::fs::read(b.data("d")).unwrap() == image.bytes() && b.status("d")["scrub"]["at"].is_u64()
    });
    export.is_identical_to(&image);
}

#[test]
fn a_bit_that_flips_on_the_way_is_never_stored() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = Image::noise(&world, "i", 2 * MIB, 2, 74);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach_with("d", &["--prefetch", "off"]);
    for chunk in 0..16u64 {
        // In the middle of the chunk's 128 KiB, which do not compress.
        link.flip_after(Way::There, 30_000 + chunk * 4000);
        export.python(&format!("h.pread(4096, {})", chunk * CHUNK));
    }
    assert!(link.flips() >= 8, "only {} bits were flipped", link.flips());
    export.is_identical_to(&image);
}

/// Each chunk that is lost once cost a whole fetch time-out.
#[test]
fn a_site_that_does_not_answer_is_not_waited_for_once_a_chunk() {
    for silent in [Link::cut, Link::stall] {
        let world = World::new();
        let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
        let to_b = world.link(&a, &b);
        a.knows(&c);
        let image = Image::noise(&world, "i", 2 * MIB, 2, 75);
        a.ok(["create", "d", "--from", image.name()]);
        a.ok(["sync", "d", "--site", "c"]);
        let export = a.attach("d");
        export.python(
            "import os\nfor i in range(8): h.pwrite(os.urandom(131072), (8 + i) * 131072)\nh.flush()",
        );
        a.detach("d");
        a.ok(["sync", "d", "--site", "b"]);
        a.ok(["verify", "d"]);
        // Chunks 4 to 7 are at c and b, 8 to 11 at b alone, which is silent.
        silent(&to_b);
        (4..12).for_each(|chunk| rot(&a, chunk));
        let began = std::time::Instant::now();
        let output = a.run(["--json", "verify", "d"]);
        let took = began.elapsed();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&found["repaired"], &found["lost"]),
            (&json!([4, 5, 6, 7]), &json!([8, 9, 10, 11])),
            "{found}"
        );
        assert!(took.as_secs() < 55, "{took:?}: a fetch may take a minute");
        to_b.mend();
        a.ok(["sync", "d", "--site", "a"]);
        assert_eq!(a.chunks("d", "absent") + a.chunks("d", "stale"), 0);
    }
}
