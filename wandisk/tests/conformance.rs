//! The suite that every front-end passes, over the whole program: an engine below, chunks that come over a link.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "a client that knows more than is needed here"
)]
#[path = "../nbd/tests/support/raw.rs"]
mod raw;

use std::io;
use std::path::PathBuf;

use framework::*;
use raw::Raw;
use wandisk_conformance::{Client, Target, run_all};

/// A disk's size that ends in the middle of a chunk.
const SIZE: u64 = 8 * MIB + 1536;

struct Over(PathBuf);

impl Target for Over {
    fn open(&self) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(Raw::connect_structured(&self.0)))
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn alignment(&self) -> u64 {
        1
    }
}

/// Runs the suite, then sees that the disk is the same after a move as before, whatever the suite left.
fn conforms(here: &Site, there: &Site, image: &Image, seed: u64) {
    let export = here.attach("d");
    export.is_identical_to(image);
    run_all(&Over(here.disk_file("d", "nbd.sock")), seed);
    here.detach("d");
    let left = std::fs::read(here.data("d")).unwrap();
    here.ok(["move", "d", "--to", there.name()]);
    let copy = there.home().join("copy");
    there.ok(["export", "d", copy.to_str().unwrap()]);
    assert!(std::fs::read(copy).unwrap() == left, "the disk is another one after the move");
}

#[test]
fn a_disk_that_is_held_conforms() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", SIZE, 5, 30);
    a.ok(["create", "d", "--from", image.name()]);
    conforms(&a, &b, &image, 1);
}

#[test]
fn a_disk_that_comes_over_a_link_conforms() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", SIZE, 5, 31);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "4K"]);
    a.ok(["move", "d", "--to", "b"]);
    conforms(&b, &a, &image, 2);
}

#[test]
fn a_disk_whose_chunks_come_while_the_suite_runs_conforms() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", SIZE, 8, 32);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "16K"]);
    a.ok(["move", "d", "--to", "b"]);
    // Nothing is read before: the first request of the suite to each chunk fetches it.
    b.attach_with("d", &["--prefetch", "off"]);
    run_all(&Over(b.disk_file("d", "nbd.sock")), 3);
    let status = b.status("d");
    assert!(number(&status["fetch"]["demand"]) > 0, "{status}");
}
