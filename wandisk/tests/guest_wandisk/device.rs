//! A ublk device that the program serves, and the tools that use it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use crate::framework::*;

/// Attaches over ublk; gives the device's path.
#[track_caller]
pub(crate) fn attach(site: &Site, disk: &str, more: &[&str]) -> PathBuf {
    let args = ["attach", disk, "--ublk"].into_iter().chain(more.iter().copied());
    let report = site.json(args);
    let device = report["device"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(Path::new(device).exists(), "{device} is told, and is not there");
    device.into()
}

/// How many ublk block devices the kernel has.
pub(crate) fn devices() -> usize {
    let nodes = std::fs::read_dir("/dev").unwrap().flatten();
    nodes.filter(|n| n.file_name().to_string_lossy().starts_with("ublkb")).count()
}

/// The script's output, whatever comes of it.
pub(crate) fn bash(script: &str) -> Output {
    Command::new("bash").args(["-euo", "pipefail", "-c", script]).stdin(Stdio::null()).output().unwrap()
}

/// Runs a shell script that must succeed; its output.
#[track_caller]
pub(crate) fn sh(script: &str) -> String {
    let out = bash(script);
    assert!(out.status.success(), "{script}\n{}\n{}", out.status, shown(&out));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// Runs such a script beside the test.
pub(crate) fn beside(script: String) -> JoinHandle<String> {
    std::thread::spawn(move || sh(&script))
}

/// One 4 KiB block past the page cache; did it work?
pub(crate) fn can_read(device: &Path) -> bool {
    let script = format!("dd if={} of=/dev/null bs=4096 count=1 iflag=direct", device.display());
    bash(&script).status.success()
}

/// Requests that the device has ended.
pub(crate) fn requests(device: &Path) -> u64 {
    let name = device.file_name().unwrap().to_str().unwrap();
    let stat = std::fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
    let fields: Vec<u64> = stat.split_whitespace().map(|f| f.parse().unwrap()).collect();
    fields[0] + fields[4]
}
