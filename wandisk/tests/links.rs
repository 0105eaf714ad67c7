//! How many connections a link has: as few logins as can be, more where one leaves a long line empty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::time::Duration;

use framework::*;

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

/// A disk of noise that was moved from `a` to `b` far away is read there until a chunk comes in parts, then compared. `b` is
/// dialled over the link, or dials.
fn is_read_in_parts(world: &World, a: &Site, b: &Site, link: &Link, dialled: bool) {
    let image = Image::noise(world, "image", 16 * MIB, 16, 3);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    if !dialled {
        // Its sessions, by another way, with it.
        a.kill_keeper("d");
    }
    let export = b.attach_with("d", &["--prefetch", "off"]);
    let mut chunks = (0..128).cycle();
    eventually("a chunk comes in parts", SOON, || {
        export.can_read(chunks.next().unwrap() * CHUNK, CHUNK);
        number(&b.status("d")["fetch"]["in_parts"]) > 0
    });
    assert!(link.dials() > 2, "{} connections were made", link.dials());
    b.ok(["sync", "d", "--site", "b"]);
    export.is_identical_to(&image);
}

#[test]
fn whoever_waits_for_a_far_site_gets_connections_and_chunks_in_parts_over_them() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let (_, link) = (a.knows(&b), world.link(&b, &a));
    link.is_far(Duration::from_millis(40));
    is_read_in_parts(&world, &a, &b, &link, false);
}

#[test]
fn whoever_waits_and_cannot_dial_gets_them_too() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    link.is_far(Duration::from_millis(40));
    is_read_in_parts(&world, &a, &b, &link, true);
}

#[test]
fn one_wait_and_a_question_that_nobody_can_answer_get_no_further_connections() {
    let world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| world.site(name));
    let image = Image::noise(&world, "image", 4 * MIB, 4, 4);
    c.ok(["create", "d", "--from", image.name()]);
    let [b_a, a_b, a_c, c_a] =
        [(&b, &a), (&a, &b), (&a, &c), (&c, &a)].map(|(near, far)| world.link(near, far));
    b_a.is_far(Duration::from_millis(40));
    a_b.is_far(Duration::from_millis(40));
    c.ok(["move", "d", "--to", "a"]);
    // One chunk comes along to a, the others are at c only.
    assert!(a.attach_with("d", &["--prefetch", "off"]).can_read(0, 4096));
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    a_c.cut();
    c_a.cut();
    let export = b.attach_with("d", &["--prefetch", "off", "--fetch-timeout", "15s"]);
    let dials = || b_a.dials() + a_b.dials();
    let before = dials();
    assert!(export.can_read(0, 4096));
    assert!(!export.can_read(MIB, 4096), "nobody could give it");
    // Either end may have begun the one session anew, whose keeper had ended.
    assert!(dials() - before <= 2, "{} connections were made", dials() - before);
}

#[test]
fn a_dial_that_takes_longer_than_a_read_may_wait_is_for_the_next_read() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = Image::noise(&world, "image", 4 * MIB, 4, 5);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    link.cut();
    let serve = format!("exec {} --home {} serve --stdio", program().display(), a.home().display());
    b.ok(["site", "add", "a", &format!("cmd:sh -c 'sleep 3; {serve}'")]);
    let export = b.attach_with("d", &["--prefetch", "off", "--fetch-timeout", "1s"]);
    assert!(!export.can_read(0, 4096), "a login of three seconds");
    eventually("it is read", SOON, || export.can_read(0, 4096));
}

#[test]
fn whoever_is_idle_stays_within_reach_of_the_resident() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    // Too near for further connections.
    link.is_far(Duration::from_millis(5));
    let image = Image::noise(&world, "image", 4 * MIB, 4, 6);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach_with("d", &["--prefetch", "off"]);
    assert!(export.can_read(0, 4096));
    // b cannot dial, and what nobody needs has ended by its own idleness, which began later.
    a.ok(["create", "e", "--size", "1M"]);
    let other = a.keeper("e");
    eventually("an idle keeper ends", SOON, || !processes_in(a.home()).contains(&other));
    export.is_identical_to(&image);
    assert_eq!(link.dials(), 2);
    b.detach("d");
    eventually("both keepers end", SOON, || [&a, &b].iter().all(|site| processes_in(site.home()).is_empty()));
}

#[test]
fn whoever_alone_can_dial_does_so_again_after_a_cut_and_until_it_is_over() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    let image = Image::noise(&world, "image", 4 * MIB, 4, 7);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach_with("d", &["--prefetch", "off", "--fetch-timeout", "1s"]);
    assert!(export.can_read(0, 4096));
    let before = link.dials();
    link.cut();
    assert!(!export.can_read(MIB, 4096), "nobody can give it");
    eventually("a has dialled in vain, twice", SOON, || link.dials() >= before + 2);
    link.mend();
    eventually("it is read", SOON, || export.can_read(MIB, 4096));
    export.is_identical_to(&image);
    b.detach("d");
    eventually("both keepers end", SOON, || [&a, &b].iter().all(|site| processes_in(site.home()).is_empty()));
}
