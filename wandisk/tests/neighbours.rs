//! Reads here and there in one part of a disk make the rest of that part come, and nothing of the others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

/// Chunks of the first 64, none near another.
const READ: [u64; 4] = [10, 30, 50, 5];

fn fetched(site: &Site, which: &str) -> u64 {
    number(&site.status("d")["fetch"][which])
}

fn read(export: &Export, chunks: &[u64]) {
    export.python(&format!("for chunk in {chunks:?}: h.pread(4096, chunk * {CHUNK})"));
}

#[test]
fn reads_here_and_there_bring_their_neighbourhood_and_no_other() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 32 * MIB, 32, 91);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach("d");
    read(&export, &READ);
    eventually("the rest of 64 chunks has come", SOON, || fetched(&b, "prefetched") == 60);
    read(&export, &[60, 40, 20, 2]);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetched")), (4, 60));
    read(&export, &[200]);
    assert_eq!((fetched(&b, "demand"), fetched(&b, "prefetched")), (5, 60));
    export.is_identical_to(&image);
}
