//! A slow desk: a group of processes that get a part of one processor.
//!
//! They run on that one only. With several, whoever comes first in a period takes the group's part on its own processor, and the others
//! wait for the next: then an agent that computes starves who moves it, which no slow processor does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::process;

/// Of a quota; short, so that a slow processor is slow evenly.
const PERIOD_US: u32 = 20_000;
/// What is killed is gone before.
const ENDS: Duration = Duration::from_secs(2);

/// The group; removed when dropped, with whoever is left in it.
#[derive(Debug)]
pub(super) struct Desk {
    folder: PathBuf,
    /// By its number.
    processor: String,
}

impl Desk {
    /// Makes it, with this part of one processor.
    pub(super) fn make(part: f64) -> Result<Desk> {
        if !(0.05..=1.0).contains(&part) {
            bail!("the desk's part of a processor is from 0.05 to 1");
        }
        let quota = (part * f64::from(PERIOD_US)).round();
        let name = format!("snowbird-desk-{}", std::process::id());
        let version_1 = Path::new("/sys/fs/cgroup/cpu");
        let (root, first) =
            if version_1.exists() { (version_1, true) } else { (Path::new("/sys/fs/cgroup"), false) };
        // The last that may be used: what belongs to nobody mostly begins on the first.
        let usable = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|processor| usable.is_set(*processor));
        let processor = last.context("no processor may be used")?.to_string();
        let desk = Desk { folder: root.join(name), processor };
        fs::create_dir(&desk.folder)
            .context("a slow desk needs root, and groups of processes with quotas")?;
        if first {
            desk.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            desk.set("cpu.cfs_quota_us", &quota.to_string())?;
        } else {
            fs::write(root.join("cgroup.subtree_control"), "+cpu").context("quotas cannot be had")?;
            desk.set("cpu.max", &format!("{quota} {PERIOD_US}"))?;
        }
        Ok(desk)
    }

    /// Where the kernel shows it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        fs::write(self.folder.join(name), value).with_context(|| format!("{name} cannot be set"))
    }

    /// These processes, by their ids, belong to the desk from now on.
    pub(super) fn take(&self, pids: &str) -> Result<()> {
        pids.split_whitespace().try_for_each(|pid| {
            let words = ["--all-tasks", "--cpu-list", "--pid", &self.processor, pid];
            process::output(Command::new("taskset").args(words))?;
            self.set("cgroup.procs", pid)
        })
    }

    /// Shell that enters the desk and then is the program of its arguments.
    pub(super) fn enter(&self) -> String {
        let group = self.folder.join("cgroup.procs");
        format!("echo $$ > {} && exec taskset --cpu-list {} \"$@\"", group.display(), self.processor)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A login that is kept for the next command stays a while by itself.
        let end = Instant::now() + ENDS;
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < end {
            let left = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
            for pid in left.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                kill_process(pid, Signal::KILL).ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
