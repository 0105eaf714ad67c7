//! The access trace: what earlier runs wanted comes before it is wanted again, so far ahead as it may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

/// Chunks that the first run reads, in this order; none after its neighbour, which is brought ahead anyway.
const READ: [u64; 12] = [100, 3, 57, 20, 25, 90, 14, 110, 63, 8, 77, 31];

/// A disk of which [`READ`] was read at `a` and that is at `b` now, all of its bytes at `a`.
fn read_at_the_other_site(world: &World) -> (Site, Site, Image) {
    was_read_at_the_other_site(world, &READ)
}

fn was_read_at_the_other_site(world: &World, chunks: &[u64]) -> (Site, Site, Image) {
    let (a, b) = world.pair();
    let image = Image::noise(world, "i", 16 * MIB, 16, 90);
    a.ok(["create", "d", "--from", image.name()]);
    let export = a.attach("d");
    read(&export, chunks);
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    (a, b, image)
}

fn read(export: &Export, chunks: &[u64]) {
    export.python(&format!("for chunk in {chunks:?}: h.pread(4096, chunk * {CHUNK} + 8192)"));
}

fn fetched(site: &Site, which: &str) -> u64 {
    number(&site.status("d")["fetch"][which])
}

#[test]
fn what_was_wanted_at_one_site_comes_to_the_next_before_it_is_wanted() {
    let world = World::new();
    let (_a, b, image) = read_at_the_other_site(&world);
    let export = b.attach("d");
    eventually("all of it has come", SOON, || fetched(&b, "prefetched") == READ.len() as u64);
    assert_eq!(fetched(&b, "prefetch_unused_bytes"), READ.len() as u64 * CHUNK);
    read(&export, &READ);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetch_used")), (0, READ.len() as u64));
    assert_eq!(fetched(&b, "prefetch_unused_bytes"), 0);
    assert!(b.ok(["status", "d"]).contains("12 ahead of it (12 of use so far"));
    export.is_identical_to(&image);
}

#[test]
fn no_more_lies_there_unused_than_was_allowed_and_what_was_wanted_first_comes_first() {
    let world = World::new();
    let (a, b, _image) = read_at_the_other_site(&world);
    // In this order as far as anybody knows, since each has to come first.
    read(&b.attach_with("d", &["--prefetch", "off"]), &READ);
    b.detach("d");
    b.ok(["sync", "d", "--site", "b"]);
    b.ok(["move", "d", "--to", "a"]);
    a.ok(["evict", "d", "--keep", "0"]);
    let export = a.attach_with("d", &["--prefetch", "512K"]);
    eventually("what was allowed has come", SOON, || fetched(&a, "prefetched") == 4);
    read(&export, &READ[..4]);
    assert_eq!((fetched(&a, "demand"), fetched(&a, "prefetch_used")), (0, 4));
    // What was wanted no longer counts: as much comes again, and no more.
    eventually("the next four have come", SOON, || fetched(&a, "prefetched") == 8);
    assert_eq!(fetched(&a, "prefetch_unused_bytes"), 4 * CHUNK);
    read(&export, &READ[4..8]);
    eventually("the last four have come", SOON, || fetched(&a, "prefetched") == 12);
    read(&export, &READ[8..]);
    assert_eq!((fetched(&a, "demand"), fetched(&a, "prefetch_used")), (0, 12));
    assert_eq!(fetched(&a, "prefetch_unused_bytes"), 0);
}

#[test]
fn with_prefetch_off_nothing_comes_unasked() {
    let world = World::new();
    let (_a, b, _image) = read_at_the_other_site(&world);
    let export = b.attach_with("d", &["--prefetch", "off"]);
    read(&export, &READ);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetched")), (READ.len() as u64, 0));
}

/// That they had been wanted before made their part of the disk well known once, and the first chunk there that the trace did
/// not name brought all the rest of it.
#[test]
fn what_a_trace_names_makes_no_neighbours_come() {
    let world = World::new();
    let (_a, b, image) = read_at_the_other_site(&world);
    let export = b.attach("d");
    eventually("all of it has come", SOON, || fetched(&b, "prefetched") == READ.len() as u64);
    read(&export, &READ);
    read(&export, &[40]);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetched")), (1, READ.len() as u64));
    // Who goes on here and there is one for whom neighbours come.
    read(&export, &[50]);
    eventually("neighbours have come", SOON, || fetched(&b, "prefetched") == READ.len() as u64 + 8);
    export.is_identical_to(&image);
}

/// Each file that was read in order brought a window of chunks behind it that nobody had wanted the last time: of a boot nearly
/// half of all that came.
#[test]
fn a_reader_in_order_finds_more_on_its_way_only_where_the_trace_ends() {
    let world = World::new();
    let in_order: Vec<u64> = (10..=20).collect();
    let (_a, b, image) = was_read_at_the_other_site(&world, &in_order);
    let export = b.attach("d");
    eventually("all of it has come", SOON, || fetched(&b, "prefetched") == 11);
    read(&export, &in_order);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetched")), (0, 11));
    read(&export, &[21]);
    eventually("the next four have come", SOON, || fetched(&b, "prefetched") == 15);
    read(&export, &[22, 23]);
    assert_eq!(fetched(&b, "demand"), 1);
    export.is_identical_to(&image);
}

/// Nothing of any trace came for ten seconds where one of the sites was down.
#[test]
fn a_site_that_says_nothing_holds_up_no_other_sites_trace_and_its_own_joins() {
    const LATER: [u64; 2] = [120, 45];
    let world = World::new();
    let (a, b) = world.pair();
    let c = world.site("c");
    let image = Image::noise(&world, "i", 16 * MIB, 16, 91);
    a.knows(&c);
    c.knows(&a);
    c.knows(&b);
    let to_c = world.link(&b, &c);
    a.ok(["create", "d", "--from", image.name()]);
    read(&a.attach("d"), &READ);
    a.detach("d");
    a.ok(["move", "d", "--to", "c"]);
    read(&c.attach_with("d", &["--prefetch", "off"]), &LATER);
    c.detach("d");
    c.ok(["move", "d", "--to", "b"]);
    // From now on it is reached over the link alone, which carries nothing.
    c.kill_keeper("d");
    to_c.stall();
    let export = b.attach("d");
    eventually("what a tells has come", SOON, || fetched(&b, "prefetched") == READ.len() as u64);
    eventually("c is dialled", SOON, || to_c.dials() > 0);
    assert_eq!(to_c.bytes(), (0, 0), "c has heard nothing");
    to_c.mend();
    let all = (READ.len() + LATER.len()) as u64;
    eventually("what c tells has come, too", SOON, || fetched(&b, "prefetched") == all);
    read(&export, &LATER);
    assert_eq!(fetched(&b, "demand"), 0);
    export.is_identical_to(&image);
}

#[test]
fn a_trace_outlives_its_keeper() {
    let world = World::new();
    let (a, b, _image) = read_at_the_other_site(&world);
    a.kill_keeper("d");
    b.attach("d");
    eventually("all of it has come", SOON, || fetched(&b, "prefetched") == READ.len() as u64);
}

#[test]
fn a_trace_that_makes_no_sense_is_none() {
    let world = World::new();
    let (a, b, image) = read_at_the_other_site(&world);
    a.kill_keeper("d");
    for junk in [&b"WDTRACE1\0\0\0\0\0\0\0\0\xff\xff\xff\xff\x7f"[..], b"", b"WDTRACE9", &[7; 5_000_000]] {
        std::fs::write(a.disk_file("d", "access.trace"), junk).unwrap();
        let export = b.attach("d");
        read(&export, &[100]);
        export.is_identical_to(&image);
        b.detach("d");
        a.kill_keeper("d");
    }
}
