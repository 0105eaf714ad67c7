//! What every guest test relies on: the modules, the devices, and a root that cannot be harmed.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;
use std::process::Command;

fn shell(script: &str) -> String {
    let done = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn ublk_can_be_controlled() {
    shell("modprobe ublk_drv");
    assert!(Path::new("/dev/ublk-control").exists());
}

#[test]
fn two_namespaces_can_be_joined_by_a_slow_link() {
    shell(
        "ip netns add far
         ip link add near type veth peer name far netns far
         tc qdisc add dev near root netem delay 33ms rate 100mbit",
    );
    assert!(shell("tc qdisc show dev near").contains("netem"));
}

#[test]
fn writes_can_be_logged_and_made_to_fail() {
    shell("modprobe dm-log-writes; modprobe dm-flakey; modprobe nbd");
    let modules = shell("lsmod");
    assert!(["dm_log_writes", "dm_flakey", "nbd"].iter().all(|name| modules.contains(name)), "{modules}");
}

/// The kernel boots with one.
#[test]
fn every_processor_is_up() {
    let list = |name| std::fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).unwrap();
    assert_eq!((list("online"), list("present")), ("0-1\n".to_owned(), "0-1\n".to_owned()));
}

#[test]
fn there_is_room_on_scratch() {
    std::fs::write("/scratch/file", "content").unwrap();
    assert!(shell("findmnt -no FSTYPE /scratch").starts_with("ext4"));
}

#[test]
fn the_hosts_root_is_seen_and_not_written_to() {
    let below = shell("findmnt -no FSTYPE /");
    assert_eq!(below.trim(), "overlay");
    std::fs::write("/etc/only-in-the-guest", "").unwrap();
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").exists());
}

#[test]
fn names_and_loopback_work() {
    assert_eq!(shell("hostname").trim(), "guest");
    std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::net::TcpListener::bind("[::1]:0").unwrap();
}

#[test]
fn shells_find_the_files_they_have_open() {
    let script = "diff <(echo same) <(echo same); echo said >/dev/stdout";
    let done = Command::new("bash").args(["-ec", script]).output().unwrap();
    assert_eq!(done.stdout, b"said\n", "{}", String::from_utf8_lossy(&done.stderr));
}
