//! What the tests talk to: the program here; real servers, viewers of its own protocol library, and a server
//! that notes what it is told below.

#![allow(dead_code, unused_imports, reason = "each program of tests uses its part")]

mod notes;
mod programs;
mod viewer;
mod xvnc;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) use notes::{counts, is, notes};
pub(crate) use programs::{Programs, X11vnc, Xvfb, truth_of, vncviewer};
pub(crate) use test_kit::{PATIENCE, Running, eventually};
pub(crate) use viewer::{Kind, Viewer};
pub(crate) use xvnc::Xvnc;

/// The proxy, with its door and its `ctl`.
pub(crate) struct Proxy {
    running: Running,
    pub(crate) door: PathBuf,
    ctl: PathBuf,
}

impl Proxy {
    pub(crate) fn start(dir: &Path, upstream: &Path, more: &[&str]) -> Self {
        let (door, ctl) = (dir.join("door"), dir.join("ctl"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"))
            .args(["serve", "--upstream", &unix(upstream), "--listen", &unix(&door)])
            .arg("--ctl")
            .arg(&ctl)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening "), "{line}");
        let proxy = Self { running: Running(child), door, ctl };
        eventually("the proxy answers at its ctl", || proxy.ctl(&["status"]).ok());
        proxy
    }

    /// What `vmgl-proxy ctl` says.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<Value, String> {
        let program = env!("CARGO_BIN_EXE_vmgl-proxy");
        let done = Command::new(program).arg("ctl").arg(&self.ctl).args(words).output().unwrap();
        if done.status.success() {
            return Ok(serde_json::from_slice(&done.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    pub(crate) fn attached(&self) {
        eventually("a server is shown", || {
            (self.ctl(&["status"]).ok()?["phase"] == "attached").then_some(())
        });
    }
}

pub(crate) fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}
