//! A real run: a shell that counts, under a CPU quota, watched as a vCPU thread would be.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sensors::sources::{Host, Vcpus};
use sensors::trace::{Header, Phase, Writer};

/// The process sleeps until here, then it is busy.
const BUSY: u64 = 15;
const LENGTH: u64 = 75;

/// Killed whatever happens.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(super) fn record(folder: &Path, procs: &Path) -> Result<()> {
    let program = format!("sleep {BUSY}; while :; do :; done");
    let busy = Busy(Command::new("bash").args(["-c", &program]).spawn()?);
    let pid = busy.0.id();
    std::fs::write(procs, pid.to_string()).with_context(|| format!("cannot write {}", procs.display()))?;
    let mut header = Header::new(
        "recorded: the thread of a shell that counts, in a cgroup with a quota of 0.4 CPU, and its host",
        Some("desk".to_owned()),
    );
    header.phases.push(Phase { t: 0, state: String::new() });
    header.phases.push(Phase { t: BUSY * 1_000_000, state: "crunch".to_owned() });
    let mut writer = Writer::new(BufWriter::new(File::create(folder.join("quota.jsonl"))?), &header)?;
    let (mut vcpus, mut host) = (Vcpus::new(pid, &[pid])?, Host::new()?);
    let began = Instant::now();
    for second in 1..=LENGTH {
        std::thread::sleep((began + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        writer.event(began.elapsed(), &vcpus.sample()?)?;
        if let Some(share) = host.sample()? {
            writer.event(began.elapsed(), &share)?;
        }
    }
    writer.finish()?;
    Ok(())
}
