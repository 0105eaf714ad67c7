//! How many connections a link has: as few logins as can be, more where one leaves a long line empty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::time::Duration;

use framework::{Image, World};

#[test]
fn a_first_sync_to_a_site_never_met_takes_one_talk_and_one_session() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = Image::noise(&world, "image", 4 << 20, 2, 1);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["sync", "d", "--site", "b"]);
    assert_eq!(link.dials(), 2);
}

#[test]
fn a_long_line_gets_further_connections_and_everything_arrives() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    link.is_far(Duration::from_millis(100));
    let image = Image::noise(&world, "image", 96 << 20, 96, 2);
    a.ok(["create", "d", "--from", image.name()]);
    let report = a.json(["sync", "d", "--site", "b", "--verify"]);
    assert_eq!((&report["missing"], &report["differing"]), (&0.into(), &0.into()));
    assert!(link.dials() > 2, "{} connections were made", link.dials());
}
