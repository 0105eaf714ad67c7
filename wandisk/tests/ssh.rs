//! Sites that reach each other over `ssh://`, with a real server on loopback; and servers that are not what they should be.

#![cfg(feature = "ssh")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;
#[path = "../link/tests/support/mod.rs"]
mod support;

use framework::*;
use support::{Sshd, keygen};

/// `a` reaches `b` by way of the server, or would.
fn pair(world: &World, sshd: &Sshd) -> (Site, Site) {
    pair_at(world, sshd, sshd.port)
}

fn pair_at(world: &World, sshd: &Sshd, port: u16) -> (Site, Site) {
    let (mut a, b) = (world.site("a"), world.site("b"));
    a.set_env("WANDISK_SSH_CONFIG", sshd.path("config"));
    a.ok([
        "site",
        "add",
        "b",
        &format!("ssh://127.0.0.1:{port}"),
        "--remote-home",
        b.home().to_str().unwrap(),
        "--remote-wandisk",
        program().to_str().unwrap(),
    ]);
    (a, b)
}

/// Everything that goes over a link fails in these words, and the disk is as it was.
fn every_way_fails(a: &Site, words: &[&str]) {
    a.ok(["create", "d", "--size", "4M"]);
    a.fails(["site", "check", "b"]).says(words);
    a.fails(["move", "d", "--to", "b"]).says(words);
    a.fails(["sync", "d", "--site", "b"]).says(words);
    assert!(a.is_resident("d"));
    let export = a.attach("d");
    export.write(1, 0, MIB);
    export.reads(1, 0, MIB);
}

#[test]
fn a_disk_moves_there_and_back_over_one_login() {
    let world = World::new();
    let sshd = Sshd::start("ed25519");
    let (a, b) = pair(&world, &sshd);
    let image = Image::noise(&world, "i", 6 * MIB + 512, 5, 50);
    a.ok(["create", "d", "--from", image.name()]);
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach("d");
    // b cannot dial a: it asks over the connection that a made.
    export.is_identical_to(&image);
    export.write(3, 100, CHUNK);
    image.write(3, 100, CHUNK);
    b.detach("d");
    a.ok(["sync", "d", "--site", "a", "--verify"]);
    a.ok(["move", "d", "--to", "a"]);
    a.attach("d").is_identical_to(&image);
}

#[test]
fn a_server_with_another_host_key_is_not_talked_to() {
    let world = World::new();
    let sshd = Sshd::start("ed25519");
    keygen(&sshd.path("other"), "ed25519");
    sshd.know(&sshd.text("other.pub"));
    let (a, b) = pair(&world, &sshd);
    every_way_fails(&a, &["127.0.0.1", "HOST KEY", "HAS CHANGED", "ssh-keygen -R"]);
    assert!(!b.has_folder("d"));
}

#[test]
fn a_server_that_nobody_knows_is_not_talked_to() {
    let world = World::new();
    let sshd = Sshd::start("ed25519");
    sshd.write("known", "");
    let (a, _) = pair(&world, &sshd);
    every_way_fails(&a, &["127.0.0.1", "host key"]);
}

#[test]
fn a_user_whom_the_server_refuses_is_told() {
    let world = World::new();
    let sshd = Sshd::start("ed25519");
    sshd.write("authorized", "");
    let (a, _) = pair(&world, &sshd);
    every_way_fails(&a, &["127.0.0.1", "key"]);
}

#[test]
fn a_port_where_nobody_listens_is_named_with_the_reason() {
    let world = World::new();
    let sshd = Sshd::start("ed25519");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (a, _) = pair_at(&world, &sshd, free);
    every_way_fails(&a, &["127.0.0.1", &free.to_string(), "refuses connections"]);
}
