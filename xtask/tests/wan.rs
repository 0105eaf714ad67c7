//! `cargo xtask wan` as a user has it: the line is what was asked for, and nothing of it is left.
//!
//! Needs root, `/dev/net/tun`, ping and iperf3; without them it fails and says so.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn wan(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("wan").args(words).stdin(Stdio::null());
    command
}

fn done(words: &[&str]) -> Output {
    wan(words).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Polls until it is so.
fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the child, so that it cannot clean up.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_command_has_its_own_status_and_the_sides_are_gone_afterwards() {
    let output = done(&["--rtt", "4ms", "--", "sh", "-c", "echo $SNOWBIRD_WAN_A $SNOWBIRD_WAN_B; exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let names = String::from_utf8(output.stdout).unwrap();
    assert_eq!(names.split_whitespace().count(), 2, "{names}");
    for name in names.split_whitespace() {
        assert!(!Path::new("/run/netns").join(name).exists(), "{name} is left");
    }
}

#[test]
fn what_is_left_running_at_a_side_is_ended() {
    let script = "ip netns exec $SNOWBIRD_WAN_B sleep 1000 >/dev/null 2>&1 & echo $!";
    let output = done(&["--", "sh", "-c", script]);
    assert!(output.status.success(), "{}", said(&output));
    let pid = String::from_utf8(output.stdout).unwrap();
    eventually("the process ends", || !Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn what_a_killed_tunnel_left_is_removed_by_the_next() {
    let folder = std::env::temp_dir().join(format!("xtask-wan-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("names");
    let script = format!(
        "echo $SNOWBIRD_WAN_A > {0}.new; mv {0}.new {0}; exec ip netns exec $SNOWBIRD_WAN_A sleep 1000",
        file.display()
    );
    let child = wan(&["--", "sh", "-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = Killed(child.unwrap());
    eventually("the command has begun", || file.exists());
    let name = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let sleeps = || {
        let pids = Command::new("ip").args(["netns", "pids", &name]).output().unwrap();
        !pids.stdout.is_empty()
    };
    eventually("the command is at its side", sleeps);
    drop(child);
    assert!(sleeps(), "a kill cannot clean up: this test proves nothing");
    assert!(done(&["--", "true"]).status.success());
    assert!(!Path::new("/run/netns").join(&name).exists(), "{name} is left");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_rate_that_is_none_is_refused() {
    let output = done(&["--rate", "100", "--", "true"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("mbit"), "{}", said(&output));
}

/// They measure time.
mod heavy {
    use super::*;

    #[test]
    fn ping_and_iperf3_find_the_line_that_was_asked_for() {
        for words in [
            ["--rate", "50mbit", "--rtt", "20ms", "--offload", "false"],
            ["--rate", "200mbit", "--rtt", "66ms", "--offload", "true"],
        ] {
            let output = done(&[&["check", "--seconds", "3"][..], &words].concat());
            assert!(output.status.success(), "{}", said(&output));
        }
    }

    #[test]
    fn ping_finds_the_share_that_is_lost() {
        let ping = "ip netns exec $SNOWBIRD_WAN_A ping -q -i 0.002 -c 1000 $SNOWBIRD_WAN_ADDRESS_B";
        let output = done(&["--rtt", "2ms", "--loss", "10%", "--seed", "5", "--", "sh", "-c", ping]);
        let said = said(&output);
        // Either way may lose it: 19 %.
        let lost =
            said.split(", ").find_map(|part| part.strip_suffix("% packet loss")).map(str::parse::<f64>);
        assert!(matches!(lost, Some(Ok(lost)) if (14.0..24.0).contains(&lost)), "{said}");
    }
}
