//! What the process tests share: sites under one short temporary folder, links that can be cut, NBD clients, images.
//!
//! A [`World`] is a folder; everything that was started in it is killed when it is dropped. A [`Site`] runs the real program.
//! Nothing here sleeps to get an order: [`eventually`] polls a condition and fails at a deadline.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test program uses its own part")]
#![allow(
    missing_debug_implementations,
    clippy::print_stderr,
    reason = "a test that fails tells where it was"
)]

mod export;
mod image;
mod link;
mod pair;
mod site;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_guard::Guard;

pub use export::Export;
pub use image::Image;
pub use link::{Link, Way};
pub use pair::Pair;
pub use serde_json::{Value, json};
pub use site::{Failed, Site, program};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
/// The default chunk.
pub const CHUNK: u64 = 128 * KIB;
/// The distribution's tools, which know of each other: another Python of this user may lack libnbd.
pub const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";
/// For what must happen soon; only a failure takes that long.
pub const SOON: Duration = Duration::from_secs(60);

/// Waits until `cond` holds.
#[track_caller]
pub fn eventually(what: &str, deadline: Duration, mut cond: impl FnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !cond() {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One test's folder, and the sites in it.
pub struct World {
    _guard: Guard,
    dir: TempDir,
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::Builder::new().prefix("w").rand_bytes(5).tempdir().unwrap();
        World { _guard: Guard::of(dir.path()).unwrap(), dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new site.
    pub fn site(&self, name: &str) -> Site {
        Site::init(self.file(name), name)
    }

    /// Two sites that reach each other by plain `cmd:` links.
    pub fn pair(&self) -> (Site, Site) {
        let (a, b) = (self.site("a"), self.site("b"));
        a.knows(&b);
        b.knows(&a);
        (a, b)
    }

    /// A link to `far` that the test can cut; `near` is told of it under `far`'s name.
    pub fn link(&self, near: &Site, far: &Site) -> Link {
        let socket = self.file(&format!("{}-{}.sock", near.name(), far.name()));
        let link = Link::new(&socket, far);
        near.ok(["site", "add", far.name(), &link.address()]);
        link
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // Keepers are daemons: whoever was started for a site of this world is known by its folder.
        let folder = self.dir.path().to_owned();
        eventually("every process of this test is gone", SOON, || {
            let left = processes_in(&folder);
            for pid in &left {
                kill(*pid, rustix::process::Signal::KILL);
            }
            left.is_empty()
        });
    }
}

impl World {
    fn show_logs(&self) {
        let logs =
            Command::new("find").arg(self.dir.path()).args(["-name", "*.log"]).output().unwrap().stdout;
        for log in String::from_utf8_lossy(&logs).lines() {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(20).collect();
            eprintln!("--- the end of {log}");
            tail.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Processes of ours whose command line names something in this folder.
pub fn processes_in(folder: &Path) -> Vec<u32> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && line.windows(folder.len()).any(|part| part == folder)
    })
    .collect()
}

/// Sends a signal; a process that is gone is no error.
pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, signal).ok();
}

/// Runs a tool and expects success; gives its output.
#[track_caller]
pub fn tool(program: &str, args: &[&str]) -> String {
    let output = try_tool(program, args);
    let text = shown(&output);
    assert!(output.status.success(), "{program} {args:?} failed: {text}");
    text
}

pub fn try_tool(program: &str, args: &[&str]) -> Output {
    let run = Command::new("timeout")
        .arg("120")
        .arg(program)
        .args(args)
        .env("PATH", SYSTEM_PATH)
        .stdin(Stdio::null())
        .output();
    run.unwrap_or_else(|e| panic!("{program} is needed by this test: {e}"))
}

/// Both streams.
pub fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A number from JSON.
#[track_caller]
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Bytes that a file takes on its filesystem.
pub fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().blocks() * 512
}
