//! Overlays (law L7): a write to a part of a chunk that is elsewhere does not wait for it, and is never lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod framework;

use framework::*;

const BLOCK: u64 = 4096;
const CHUNK: u64 = 64 * KIB;

/// A disk that was moved from `a` to `b`, which holds nothing of it; then only `b` dials.
struct Away {
    link: Link,
    a: Site,
    b: Site,
    image: Image,
    // Last: it kills what was started.
    _world: World,
}

impl Away {
    fn new() -> Away {
        let world = World::new();
        let (a, b) = (world.site("a"), world.site("b"));
        let (first, link) = (world.link(&a, &b), world.link(&b, &a));
        let image = Image::noise(&world, "i", 2 * MIB, 1, 20);
        a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
        a.ok(["move", "d", "--to", "b"]);
        first.cut();
        Away { link, a, b, image, _world: world }
    }
}

fn overlaid(site: &Site) -> u64 {
    site.chunks("d", "overlaid")
}

#[test]
fn a_write_to_a_part_does_not_wait_for_the_rest_and_outlives_its_keeper() {
    let pair = Away::new();
    pair.link.cut();
    let export = pair.b.attach_with("d", &["--fetch-timeout", "100s"]);
    let began = std::time::Instant::now();
    export.write(4, BLOCK, BLOCK);
    export.flush();
    export.write(5, 3 * BLOCK, BLOCK);
    // What was written is read without the rest.
    export.reads(4, BLOCK, BLOCK);
    assert!(began.elapsed().as_secs() < 90, "it waited: {:?}", began.elapsed());
    assert_eq!(overlaid(&pair.b), 1);

    pair.b.kill_keeper("d");
    // The rest is waited for, and never made up.
    let export = pair.b.attach_with("d", &["--fetch-timeout", "1s"]);
    assert!(!export.can_read(2 * BLOCK, BLOCK));
    pair.b.detach("d");
    let export = pair.b.attach_with("d", &["--fetch-timeout", "60s"]);
    export.reads(4, BLOCK, BLOCK);
    export.reads(5, 3 * BLOCK, BLOCK);
    pair.b.detach("d");
    let export = pair.b.attach_with("d", &["--fetch-timeout", "60s"]);
    export.reads(5, 3 * BLOCK, BLOCK);

    pair.link.mend();
    pair.image.write(4, BLOCK, BLOCK);
    pair.image.write(5, 3 * BLOCK, BLOCK);
    export.is_identical_to(&pair.image);
    assert_eq!(overlaid(&pair.b), 0);
}

#[test]
fn the_rest_comes_by_itself_when_its_holder_is_back() {
    let pair = Away::new();
    pair.link.cut();
    let export = pair.b.attach_with("d", &["--fetch-timeout", "2s"]);
    (0..8).for_each(|chunk| export.write(6, chunk * CHUNK + 512, 512));
    assert_eq!(overlaid(&pair.b), 8);
    pair.link.mend();
    eventually("all parts are whole", SOON, || overlaid(&pair.b) == 0);
    assert_eq!(pair.b.chunks("d", "owned_here"), 8);
}

#[test]
fn a_chunk_that_is_written_piece_by_piece_is_never_fetched() {
    let pair = Away::new();
    pair.link.cut();
    let export = pair.b.attach_with("d", &["--fetch-timeout", "2s"]);
    (0..CHUNK / BLOCK).for_each(|block| export.write(7, block * BLOCK, BLOCK));
    assert_eq!(overlaid(&pair.b), 0);
    export.reads(7, 0, CHUNK);
}

#[test]
fn a_part_goes_along_as_a_version_when_the_disk_goes_back_to_who_has_the_rest() {
    let pair = Away::new();
    let export = pair.b.attach("d");
    pair.link.cut();
    export.write(8, BLOCK, BLOCK);
    pair.link.mend();
    pair.b.detach("d");
    pair.b.ok(["move", "d", "--to", "a"]);
    pair.image.write(8, BLOCK, BLOCK);
    pair.a.attach("d").is_identical_to(&pair.image);
}

/// The table of a disk that was not being written looked whole, and the sync said done.
#[test]
fn a_sync_brings_what_was_written_of_chunks_that_were_elsewhere() {
    let pair = Away::new();
    let export = pair.b.attach("d");
    pair.link.cut();
    for chunk in 0..4 {
        export.write(11, chunk * CHUNK + BLOCK, BLOCK);
        pair.image.write(11, chunk * CHUNK + BLOCK, BLOCK);
    }
    export.flush();
    pair.b.detach("d");
    pair.b.fails(["sync", "d", "--site", "a"]);
    pair.link.mend();
    pair.b.ok(["sync", "d", "--site", "a"]);
    assert_eq!(std::fs::read(pair.a.data("d")).unwrap(), pair.image.bytes());
    assert_eq!(overlaid(&pair.b), 0);
}

#[test]
fn a_move_is_refused_by_name_while_the_rest_of_a_part_cannot_be_had() {
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.site(name));
    let image = Image::noise(&world, "i", 2 * MIB, 1, 9);
    let (first, to_a) = (world.link(&a, &b), world.link(&b, &a));
    b.knows(&c);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    a.ok(["move", "d", "--to", "b"]);
    first.cut();
    to_a.cut();
    let export = b.attach_with("d", &["--fetch-timeout", "2s"]);
    export.write(9, BLOCK, BLOCK);
    b.detach("d");
    b.fails(["move", "d", "--to", "c"]).says(&["1 chunk", "could not be fetched"]);
    assert!(b.is_resident("d"));
    let export = b.attach_with("d", &["--fetch-timeout", "60s"]);
    export.write(10, 5 * CHUNK, BLOCK);
    to_a.mend();
    b.detach("d");
    b.ok(["move", "d", "--to", "c"]);
    image.write(9, BLOCK, BLOCK);
    image.write(10, 5 * CHUNK, BLOCK);
    c.knows(&a);
    c.attach("d").is_identical_to(&image);
}
