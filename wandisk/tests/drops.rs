//! Nothing that only one site holds is removed in silence (law L14, interleaving 14): `rm`, `evict`, tombstones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use framework::*;

/// The disk is resident at `c`, which holds nothing; `a` and `b` hold every chunk.
struct Held {
    a: Site,
    b: Site,
    c: Site,
    image: Image,
    _world: World,
}

impl Held {
    fn new() -> Held {
        let world = World::new();
        let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
        for (near, far) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b), (&a, &c), (&c, &a)] {
            near.knows(far);
        }
        let image = Image::noise(&world, "i", 2 * MIB, 1, 40);
        a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
        a.ok(["sync", "d", "--site", "b"]);
        a.ok(["move", "d", "--to", "c"]);
        // So that each knows the third one.
        b.fails(["move", "d", "--to", "c"]).says(&["already"]);
        Held { _world: world, a, b, c, image }
    }
}

#[test]
fn of_two_sites_that_lean_on_each_other_one_stays() {
    let Held { a, b, c, image, _world } = Held::new();
    let (at_a, at_b) = (a.start(["rm", "d", "--replica-only"]), b.start(["rm", "d", "--replica-only"]));
    let (at_a, at_b) = (at_a.wait_with_output().unwrap(), at_b.wait_with_output().unwrap());
    let both = format!("{}, {}", shown(&at_a), shown(&at_b));
    assert!(!(at_a.status.success() && at_b.status.success()), "{both}");
    c.attach_with("d", &["--fetch-timeout", "20s"]).is_identical_to(&image);
}

#[test]
fn the_last_holder_is_refused_and_a_removed_replica_leaves_a_tombstone() {
    let Held { a, b, c, image, _world } = Held::new();
    let uuid = a.status("d")["uuid"].as_str().unwrap().to_owned();
    a.ok(["rm", "d", "--replica-only"]);
    b.fails(["rm", "d", "--replica-only"]).says(&["16 chunks", "this site alone"]);
    let stone = std::fs::read_to_string(a.home().join("tombstones").join(format!("{uuid}.json"))).unwrap();
    let stone: Value = serde_json::from_str(&stone).unwrap();
    assert_eq!((&stone["epoch"], stone["name"].as_str()), (&json!(2), Some("d")), "{stone}");
    assert_eq!(stone["lineages"][0], b.status("d")["lineage"]);
    assert!(stone["released_to"].is_string());
    a.fails(["status", "d"]).says(&["no disk named", "was removed", "resident at c"]);
    c.attach("d").is_identical_to(&image);
    c.detach("d");
    // Now c holds it too.
    b.ok(["rm", "d", "--replica-only"]);
    // A removed replica can be made anew.
    c.ok(["sync", "d", "--site", "a", "--verify"]);
}

#[test]
fn nothing_is_removed_inside_a_hand_over() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    let link = world.link(&a, &b);
    a.ok(["create", "d", "--size", "1M"]);
    a.ok(["sync", "d", "--site", "b"]);
    let token = a.ok(["prepare", "d", "--to", "b", "--lease", "60s"]);
    a.fails(["rm", "d", "--force"]).says(&["hand-over", "under way", "abort"]);
    b.fails(["rm", "d", "--force"]).says(&["prepared here", "wandisk move d --to b"]);
    b.fails(["evict", "d"]).says(&["prepared here"]);
    link.cut();
    a.fails(["commit", "d", "--to", "b", "--token", &token]).says(&["released to b", "wandisk move"]);
    // Released, not granted: neither end may go, by force or not.
    a.fails(["rm", "d", "--force"]).says(&["released to b", "wandisk move d --to b"]);
    b.fails(["rm", "d", "--force"]).says(&["prepared here"]);
    link.mend();
    a.ok(["move", "d", "--to", "b"]);
    a.ok(["rm", "d", "--replica-only"]);
}

#[test]
fn evicted_chunks_are_held_elsewhere_and_come_back() {
    let Held { a, b, c, image, _world } = Held::new();
    let full = allocated(&b.data("d"));
    let some = b.json(["evict", "d", "--keep", "512K"]);
    assert_eq!((number(&some["evicted"]), number(&some["kept"])), (8, 8), "{some}");
    assert_eq!(b.chunks("d", "held"), 8);
    assert_eq!(a.chunks("d", "only_here"), 8, "a was told, so that its status is right");
    assert!(allocated(&b.data("d")) < full);
    // a holds all, so b may give the rest up; then a is the only one.
    assert_eq!(number(&b.json(["evict", "d"])["evicted"]), 8);
    let output = a.run(["--json", "evict", "d"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((number(&told["evicted"]), number(&told["not_promised"])), (0, 16), "{told}");
    assert_eq!(a.chunks("d", "held"), 16);
    c.ok(["move", "d", "--to", "b"]);
    b.attach("d").is_identical_to(&image);
}

#[test]
fn a_resident_that_evicted_what_it_wrote_reads_it_after_a_kill() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 41);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    let export = a.attach("d");
    // The intent map says that chunk 3 was modified; a freeze would clear it.
    export.write(7, 3 * 65536 + 512, 4096);
    image.write(7, 3 * 65536 + 512, 4096);
    a.ok(["sync", "d", "--site", "b", "--no-freeze"]);
    export.write(8, 5 * 65536, 512);
    image.write(8, 5 * 65536, 512);
    // Chunk 5 was written since: b's bytes are not its, so it stays.
    let told: Value = serde_json::from_slice(&a.run(["--json", "evict", "d"]).stdout).unwrap();
    assert_eq!((number(&told["evicted"]), number(&told["not_promised"])), (15, 1), "{told}");
    a.kill_keeper("d");
    a.attach("d").is_identical_to(&image);
    assert!(b.has_folder("d"));
}

/// Both hold the disk; b has said that it leaves and waits for a promise of a, whose keeper is stopped.
fn leaving_b(world: &World) -> (Site, Site, Image, u32, std::process::Child) {
    let (a, b) = world.pair();
    let image = Image::noise(world, "i", 2 * MIB, 1, 42);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    a.ok(["sync", "d", "--site", "b"]);
    let stopped = a.keeper("d");
    kill(stopped, rustix::process::Signal::STOP);
    let leaving = b.start(["rm", "d", "--replica-only"]);
    eventually("b has said that it leaves", SOON, || b.status("d")["leaving"] == true);
    (a, b, image, stopped, leaving)
}

#[test]
fn a_site_that_began_to_leave_promises_nothing() {
    let world = World::new();
    let (a, b, image, stopped, mut leaving) = leaving_b(&world);
    // The command is held first, so that it neither takes its word back nor asks the next keeper.
    let keeper = b.keeper("d");
    let callers: Vec<u32> = processes_in(b.home()).into_iter().filter(|pid| *pid != keeper).collect();
    callers.iter().for_each(|pid| kill(*pid, rustix::process::Signal::STOP));
    kill(keeper, rustix::process::Signal::KILL);
    callers.iter().for_each(|pid| kill(*pid, rustix::process::Signal::KILL));
    leaving.wait().unwrap();
    eventually("b is dead", SOON, || processes_in(b.home()).is_empty());
    kill(stopped, rustix::process::Signal::CONT);
    // Its files are all there, and yet nobody may lean on it: the removal may go on at any time.
    let told = |output: std::process::Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    assert_eq!(number(&told(a.run(["--json", "evict", "d"]))["evicted"]), 0);
    a.fails(["move", "d", "--to", "b"]).says(&["being removed", "wandisk sync"]);
    // A sync says that it stays.
    b.ok(["sync", "d", "--site", "b"]);
    assert_eq!(number(&a.json(["evict", "d"])["evicted"]), 16);
    a.attach("d").is_identical_to(&image);
}

#[test]
fn what_the_table_does_not_know_of_a_holder_is_no_reason_for_an_error() {
    // c fetches by itself, so a does not know that it holds anything; then only c does.
    let world = World::new();
    let (a, b, c) = (world.site("a"), world.site("b"), world.site("c"));
    for (near, far) in [(&a, &b), (&b, &a), (&b, &c), (&c, &b), (&a, &c), (&c, &a)] {
        near.knows(far);
    }
    let image = Image::noise(&world, "i", 2 * MIB, 1, 43);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
    a.ok(["move", "d", "--to", "c"]);
    c.attach("d").is_identical_to(&image);
    c.detach("d");
    c.ok(["move", "d", "--to", "b"]);
    assert_eq!(number(&a.json(["evict", "d"])["evicted"]), 16);
    b.attach_with("d", &["--fetch-timeout", "20s"]).is_identical_to(&image);
}

#[test]
fn a_removal_that_is_given_up_is_taken_back() {
    let world = World::new();
    let (a, b, _image, stopped, mut leaving) = leaving_b(&world);
    let keeper = b.keeper("d");
    let callers = processes_in(b.home()).into_iter().filter(|pid| *pid != keeper);
    callers.for_each(|pid| kill(pid, rustix::process::Signal::KILL));
    leaving.wait().unwrap();
    eventually("b stays", SOON, || b.status("d")["leaving"] == false);
    kill(stopped, rustix::process::Signal::CONT);
    assert_eq!(number(&a.json(["evict", "d"])["evicted"]), 16);
}
