//! An agent that is a whole Debian, with systemd, DHCP and a real Xvnc: its disk is made by `cargo xtask setup`, its kernel is the test guest's.
//!
//! All is done as its user would do it: a viewer that stays connected types into a terminal on that screen. What the shell says on the
//! serial port is what the judge hears; the disk is judged by `e2fsck` when it has been there and back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_kit::free_port;

use crate::boot;
use crate::viewer::Viewer;
use crate::world::{AGENT, World, beside, eventually, eventually_within, shown};

/// The server's screen is `:1`.
const PORT: u16 = 5901;
/// Only a failure takes so long: a boot of systemd by translation.
const BOOTS: Duration = Duration::from_secs(300);
/// Says numbers that are durable in a file.
const COUNTS: &str =
    "n=0; while sleep .2; do n=$((n+1)); echo $n >>numbers; sync numbers; echo at $n >/dev/ttyS0; done &";

/// Sees what the server shows to somebody who asks it directly, once that is something else than before; gives it.
#[track_caller]
fn sees(viewer: &mut Viewer, direct: &str, before: &[u32]) -> Vec<u32> {
    let mut truth = Viewer::at(direct);
    eventually("the viewer sees what the agent's own server shows", || {
        viewer.look();
        truth.look();
        viewer.picture.pixels() != before && viewer.picture.pixels() == truth.picture.pixels()
    });
    viewer.picture.pixels().to_vec()
}

/// What a program says of the disk's file system.
fn judged(program: &str, words: &[&str], disk: &Path) -> String {
    let done = Command::new(program).args(words).arg(disk).output().unwrap();
    assert!(done.status.success(), "{program} {words:?}: {}", shown(&done));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_debian_with_xvnc_moves_there_and_back_and_keeps_its_screen_and_its_files() {
    beside("vmgl-proxy");
    let world = World::new();
    let disk = boot::debian();
    let words = "root=/dev/vda systemd.getty_auto=0";
    world.create_with("256M", &["--image", disk.to_str().unwrap()], words, &boot::for_debian());
    world.ok("a", &["launch", AGENT]);
    eventually_within(BOOTS, "it has booted", || world.judge.said("a", "a terminal is there"));

    let mut place = String::new();
    eventually("its server is found", || {
        let output = world.run("a", &["view", AGENT, "--print", "--guest"]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        place = told["address"].as_str().unwrap_or_default().to_owned();
        output.status.success() && told["screen"]["guest"]["port"] == PORT
    });
    let port = free_port();
    world.ok("a", &["net", AGENT, "forward", "tcp", &format!("{port}:{PORT}")]);
    let direct = format!("127.0.0.1:{port}");
    let mut viewer = Viewer::at(&place);
    let mut seen = sees(&mut viewer, &direct, &[]);
    viewer.types("echo as before >kept; sync kept; echo typed here >/dev/ttyS0");
    world.judge.heard("a", "here");
    seen = sees(&mut viewer, &direct, &seen);
    viewer.types(COUNTS);
    world.judge.goes_on_at("a");

    let there = world.ok("a", &["migrate", AGENT, "--to", "b"]);
    eprintln!("there: {there}");
    viewer.types("echo typed $(cat kept) >/dev/ttyS0");
    world.judge.heard("b", "as before");
    seen = sees(&mut viewer, &direct, &seen);
    world.judge.goes_on_at("b");
    let view = &world.ok("a", &["status", AGENT])["view"];
    assert_eq!((&view["screen"], &view["viewers"]), (&format!("guest:{PORT}").into(), &1.into()), "{view}");

    let back = world.ok("a", &["migrate", AGENT, "--to", "a"]);
    eprintln!("back: {back}");
    viewer.types("echo typed back >/dev/ttyS0");
    world.judge.heard("a", "back");
    sees(&mut viewer, &direct, &seen);
    world.judge.goes_on_at("a");

    // As by its power button.
    world.ok("a", &["shutdown", AGENT]);
    eventually_within(BOOTS, "it is off, and its disk let go", || {
        let status = world.ok("a", &["status", AGENT]);
        status["state"] == "off" && status["disk"]["attached"] == false
    });
    let disk = world.file("disk.raw");
    world.wandisk("a", &["export", AGENT, disk.to_str().unwrap()]);
    judged("/usr/sbin/e2fsck", &["-fn"], &disk);
    let cat = |file: &str| judged("/usr/sbin/debugfs", &["-R", &format!("cat /root/{file}")], &disk);
    assert_eq!(cat("kept"), "as before\n");
    let numbers: Vec<u64> = cat("numbers").lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.last().copied().unwrap()).collect::<Vec<_>>());
    assert!(numbers.last() >= Some(&world.judge.newest()));
}
