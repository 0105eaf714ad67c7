//! A site is lost for good: takeover, lineages that name their parents, replicas that come back (interleavings 12, 13).
//!
//! Lost means here: its only link is cut and its keeper is dead. It comes back when the link is mended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

const CHUNK_64K: u64 = 64 * KIB;

/// `a` has the disk (16 written chunks of 64 KiB); `b` and `c` are complete replicas. `a` is the only one with links.
struct Three {
    to_b: Link,
    to_c: Link,
    a: Site,
    b: Site,
    c: Site,
    image: Image,
    // Last: it kills what was started.
    _world: World,
}

impl Three {
    fn new() -> Three {
        let world = World::new();
        let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
        let (to_b, to_c) = (world.link(&a, &b), world.link(&a, &c));
        let image = Image::noise(&world, "i", 2 * MIB, 1, 30);
        a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
        // Twice b: the second time it learns of c.
        for site in ["b", "c", "b"] {
            a.ok(["sync", "d", "--site", site]);
        }
        Three { _world: world, to_b, to_c, a, b, c, image }
    }

    fn write_at_a(&self, pattern: u8, chunk: u64) {
        let export = self.a.attach("d");
        export.write(pattern, chunk * CHUNK_64K, CHUNK_64K);
        export.flush();
        self.a.detach("d");
    }

    fn lose_a(&self) {
        self.to_b.cut();
        self.to_c.cut();
        self.a.kill_keeper("d");
    }

    /// `a` comes back and dials `b`.
    fn a_is_back(&self) {
        self.to_b.mend();
        eventually("a has dialled b again", SOON, || self.a.status("d")["sites"][0]["reachable"] == true);
    }
}

fn lineage(site: &Site) -> String {
    site.status("d")["lineage"].as_str().unwrap().to_owned()
}

#[test]
fn a_takeover_is_told_first_names_its_parent_and_what_is_lost() {
    let three = Three::new();
    let Three { a, b, image, .. } = &three;
    let parent = lineage(a);
    // b gets the table of a newer moment, not its bytes: chunks 0 and 5 are held by a alone.
    let export = a.attach("d");
    export.write(1, 0, CHUNK_64K);
    export.write(2, 5 * CHUNK_64K, CHUNK_64K);
    a.ok(["prepare", "d", "--to", "b"]);
    three.lose_a();

    let told = b.json(["takeover", "d", "--dry-run"]);
    assert_eq!((number(&told["held"]), number(&told["lost"]), number(&told["old"])), (14, 2, 2), "{told}");
    assert_eq!(told["lost_chunks"], json!([[0, 0], [5, 5]]));
    assert_eq!(told["unreachable"], json!(["a", "c"]));
    assert!(told["consistent_at"].is_u64() && told["lineage"].is_null(), "{told}");
    b.fails(["takeover", "d"]).says(&["new lineage", "--dry-run", "--force"]);
    assert!(!b.is_resident("d"), "told, not done");

    let done = b.json(["takeover", "d", "--force"]);
    let status = b.status("d");
    assert_eq!((&status["lineage"], &status["residency"]), (&done["lineage"], &json!("resident")));
    assert_ne!(lineage(b), parent);
    assert_eq!(status["forks"][0]["parent"], parent.as_str());
    assert_eq!(number(&status["chunks"]["lost"]), 2);

    // Lost chunks are an error at once, not after a minute; never older bytes. The others are there.
    let export = b.attach("d");
    let began = std::time::Instant::now();
    assert!(!export.can_read(0, 4096) && !export.can_read(5 * CHUNK_64K, 4096));
    assert!(began.elapsed().as_secs() < 50, "took {:?}", began.elapsed());
    export.reads(image.bytes()[usize::try_from(CHUNK_64K).unwrap()], CHUNK_64K, 1);
    export.write(9, 5 * CHUNK_64K, CHUNK_64K);
    export.reads(9, 5 * CHUNK_64K, CHUNK_64K);

    // What only a holds can be had again once a is back, though a is of the old lineage.
    three.a_is_back();
    export.reads(1, 0, CHUNK_64K);
    export.reads(9, 5 * CHUNK_64K, CHUNK_64K);
    assert!(a.is_resident("d"), "a goes on in its own lineage");
}

#[test]
fn older_bytes_are_taken_by_name_only() {
    let three = Three::new();
    let Three { a, b, image, .. } = &three;
    let export = a.attach("d");
    export.write(1, 0, CHUNK_64K);
    a.ok(["prepare", "d", "--to", "b"]);
    three.lose_a();

    let done = b.json(["takeover", "d", "--force", "--accept-old"]);
    assert_eq!((number(&done["accepted"]), &done["old_chunks"]), (1, &json!([[0, 0]])), "{done}");
    assert_eq!(number(&b.status("d")["chunks"]["lost"]), 0);
    b.attach("d").is_identical_to(image);
    // Durably, and as this lineage's own.
    b.kill_keeper("d");
    b.attach("d").is_identical_to(image);
}

#[test]
fn older_bytes_can_be_accepted_after_the_takeover_too() {
    let three = Three::new();
    let Three { a, b, image, .. } = &three;
    let export = a.attach("d");
    export.write(1, 3 * CHUNK_64K, CHUNK_64K);
    a.ok(["prepare", "d", "--to", "b"]);
    three.lose_a();
    b.ok(["takeover", "d", "--force"]);
    assert_eq!(number(&b.status("d")["chunks"]["lost"]), 1);
    b.fails(["takeover", "d", "--force"]).says(&["resident here already"]);
    assert_eq!(number(&b.json(["takeover", "d", "--force", "--accept-old"])["accepted"]), 1);
    b.attach("d").is_identical_to(image);
}

#[test]
fn a_site_that_comes_back_is_named_as_diverged_and_joins_only_when_told() {
    let three = Three::new();
    let Three { a, b, .. } = &three;
    three.lose_a();
    b.ok(["takeover", "d", "--force"]);
    let export = b.attach("d");
    export.write(4, 0, CHUNK_64K);
    b.detach("d");
    // Both lines go on, and the same chunk gets bytes in each.
    three.write_at_a(7, 0);
    three.write_at_a(8, 20);

    three.a_is_back();
    let other = || a.status("d")["sites"][0].clone();
    eventually("it is named as diverged", SOON, || other()["diverged"] == true);
    eventually("and its lineage with it", SOON, || other()["lineage"] == lineage(b));
    let words = ["diverged", "takeover at b", "nothing is merged", "wandisk join"];
    a.fails(["sync", "d", "--site", "b"]).says(&words);
    a.fails(["move", "d", "--to", "b"]).says(&words);
    // Readable all the while, and nothing was taken from it.
    a.attach("d").reads(7, 0, CHUNK_64K);
    a.detach("d");

    let told = a.json(["join", "d", "--site", "b", "--dry-run"]);
    assert_eq!(number(&told["given_up"]), 2, "{told}");
    a.fails(["join", "d", "--site", "b"]).says(&["2 chunks", "given up", "export", "--force"]);
    assert!(a.is_resident("d"));
    a.ok(["join", "d", "--site", "b", "--force"]);
    assert_eq!(lineage(a), lineage(b));
    assert_eq!(a.status("d")["residency"], "replica");
    eventually("it is not diverged any more", SOON, || a.status("d")["sites"][0]["diverged"] == false);
    a.ok(["sync", "d", "--site", "a", "--verify"]);
    tool("cmp", &[a.data("d").to_str().unwrap(), b.data("d").to_str().unwrap()]);
    // And it is a site like any other again.
    a.ok(["move", "d", "--to", "a"]);
    let export = a.attach("d");
    export.reads(4, 0, CHUNK_64K);
    export.reads(0, 20 * CHUNK_64K, CHUNK_64K);
}

#[test]
fn a_newer_version_elsewhere_is_not_the_new_lineages() {
    // Interleaving 12: c has a newer version of chunk 0 than b, which takes over.
    let three = Three::new();
    let Three { a, b, c, image, .. } = &three;
    three.write_at_a(6, 0);
    a.ok(["sync", "d", "--site", "c"]);
    three.lose_a();
    b.knows(c);
    c.knows(b);
    let told = b.json(["takeover", "d", "--dry-run"]);
    assert_eq!(told["newer_at"], json!(["c"]), "a person is told that c knows more: {told}");
    b.ok(["takeover", "d", "--force"]);
    let export = b.attach("d");
    export.write(5, 2 * CHUNK_64K, CHUNK_64K);
    image.write(5, 2 * CHUNK_64K, CHUNK_64K);
    b.detach("d");
    c.fails(["sync", "d", "--site", "c"]).says(&["diverged", "takeover at b"]);
    assert_eq!(number(&c.json(["join", "d", "--site", "b", "--dry-run"])["given_up"]), 1);
    c.ok(["join", "d", "--site", "b", "--force"]);
    tool("cmp", &[image.name(), c.data("d").to_str().unwrap()]);
}

#[test]
fn two_takeovers_at_once_are_two_lineages_and_their_versions_are_not_mixed() {
    let three = Three::new();
    let Three { b, c, .. } = &three;
    three.lose_a();
    for (site, pattern) in [(b, 3), (c, 4)] {
        site.ok(["takeover", "d", "--force"]);
        let export = site.attach("d");
        // The same chunk, and so the same version by number.
        export.write(pattern, 0, CHUNK_64K);
        export.flush();
        site.detach("d");
    }
    assert_ne!(lineage(b), lineage(c));
    b.knows(c);
    c.knows(b);
    for (here, there) in [(b, c), (c, b)] {
        // A failed dial is remembered for a moment.
        eventually("the other lineage is named", SOON, || {
            let status = here.status("d");
            let sites = status["sites"].as_array().unwrap().clone();
            let site = sites.into_iter().find(|s| s["name"] == there.name()).unwrap();
            site["diverged"] == true && site["lineage"] == lineage(there).as_str()
        });
        here.fails(["sync", "d", "--site", there.name()]).says(&[
            "diverged",
            "takeover at b",
            "takeover at c",
        ]);
    }
    assert_eq!(number(&c.json(["join", "d", "--site", "b", "--dry-run"])["given_up"]), 1);
    c.ok(["join", "d", "--site", "b", "--force"]);
    tool("cmp", &[b.data("d").to_str().unwrap(), c.data("d").to_str().unwrap()]);
    b.ok(["move", "d", "--to", "c"]);
    c.attach("d").reads(3, 0, CHUNK_64K);
}

#[test]
fn a_replica_that_mixes_two_moments_needs_its_own_flag() {
    // Interleaving 13.
    let three = Three::new();
    let Three { a, b, to_b, .. } = &three;
    assert!(b.status("d")["consistent_at"].is_u64());
    let export = a.attach("d");
    export.python("import os\nfor i in range(16): h.pwrite(os.urandom(65536), i * 65536)\nh.flush()");
    a.detach("d");
    // The rows have come, most chunks have not.
    to_b.cut_after(Way::There, 300 * KIB);
    assert!(!a.run(["sync", "d", "--site", "b"]).status.success());
    three.lose_a();
    assert!(b.status("d")["consistent_at"].is_null());
    assert!(b.json(["takeover", "d", "--dry-run"])["consistent_at"].is_null());
    b.fails(["takeover", "d", "--force"]).says(&["not of one moment", "--accept-mixed"]);
    assert!(!b.is_resident("d"));
    let done = b.json(["takeover", "d", "--force", "--accept-mixed"]);
    assert!(number(&done["lost"]) > 0, "{done}");
    assert!(b.is_resident("d"));
}

#[test]
fn nothing_is_taken_over_while_a_move_would_do() {
    let three = Three::new();
    let Three { a, b, .. } = &three;
    a.ok(["status", "d"]);
    b.fails(["takeover", "d", "--force"]).says(&["resident at a, which answers", "wandisk move d --to b"]);
    a.fails(["takeover", "d", "--force"]).says(&["resident here already"]);
}

#[test]
fn a_cut_join_goes_on_when_it_is_repeated() {
    let three = Three::new();
    let Three { a, b, to_b, .. } = &three;
    three.lose_a();
    b.ok(["takeover", "d", "--force"]);
    let export = b.attach("d");
    export.python("import os\nfor i in range(8): h.pwrite(os.urandom(65536), i * 65536)\nh.flush()");
    b.detach("d");
    three.write_at_a(7, 12);
    three.a_is_back();
    to_b.cut_after(Way::Back, 200 * KIB);
    let joining = a.start(["join", "d", "--site", "b", "--force"]);
    eventually("the link is cut", SOON, || to_b.is_cut());
    a.kill_keeper("d");
    assert!(!joining.wait_with_output().unwrap().status.success());
    to_b.mend();
    a.ok(["join", "d", "--site", "b", "--force"]);
    tool("cmp", &[a.data("d").to_str().unwrap(), b.data("d").to_str().unwrap()]);
}

#[test]
fn a_source_whose_target_is_lost_after_the_release_takes_its_disk_back_in_a_new_lineage() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = Image::noise(&world, "i", 2 * MIB, 1, 31);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    let token = a.ok(["prepare", "d", "--to", "b", "--lease", "60s"]);
    link.cut();
    a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["released to b"]);
    a.fails(["attach", "d", "--nbd"]).says(&["handed over to b"]);
    a.ok(["takeover", "d", "--force"]);
    a.attach("d").is_identical_to(&image);
    a.detach("d");
    // b comes back with the preparation of the old lineage: it is granted nothing.
    link.mend();
    a.fails(["move", "d", "--to", "b"]).says(&["diverged", "takeover at a"]);
    b.fails(["move", "d", "--to", "b"]).says(&["diverged"]);
    assert!(a.is_resident("d") && !b.is_resident("d"));
}
