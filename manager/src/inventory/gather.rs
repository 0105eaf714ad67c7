//! Looks at this site: its programs, its QEMU, its room.
//!
//! Which processors a QEMU can really show to a machine, it says itself (`query-cpu-definitions`: those without features that
//! are unavailable), run with no machine and the accelerator in question.
//!
//! Fault model: each program may be missing, old or hang. What cannot be found out counts as not there.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;

use super::processor::Processor;
use super::{Inventory, Qemu, memory};
use crate::agent::Accelerator;
use crate::agent::machine::{self, QEMU, find};
use crate::agent::ublk;
use crate::qmp::Client;

/// QEMU without a machine begins in some tens of milliseconds.
const BEGIN: Duration = Duration::from_secs(20);
const ASK: Duration = Duration::from_secs(10);
/// The processor with which it is tried whether KVM works: what every x86-64 of the last fifteen years has.
const TRIED: &str = "Nehalem";

/// What this site has.
pub async fn gather(home: &Path, wandisk: Option<&Path>) -> Inventory {
    let wandisk = wandisk.map(Path::to_owned).or_else(|| find("wandisk"));
    let wandisk = match wandisk {
        Some(program) => version_of(&program).await,
        None => None,
    };
    let qemu = match tokio::task::spawn_blocking(machine::known).await {
        Ok(Ok((machines, _))) => qemu(machines).await,
        _ => None,
    };
    Inventory {
        snowbird: env!("CARGO_PKG_VERSION").to_owned(),
        wandisk,
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory::available_bytes().unwrap_or(0),
        free_bytes: free_bytes(home).unwrap_or(0),
        ublk: ublk::usable().is_ok(),
        qemu,
    }
}

/// `wandisk 0.1.0`: the second word of what `--version` says.
async fn version_of(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ASK, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// Room on the file system of a site's folder, if that can be asked.
pub(crate) fn free_bytes(home: &Path) -> Option<u64> {
    let fs = rustix::fs::statvfs(home).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}

async fn qemu(machines: Vec<String>) -> Option<Qemu> {
    let (version, tcg) = models("tcg").await?;
    let works = tokio::task::spawn_blocking(|| machine::kvm_works(&std::env::temp_dir(), TRIED)).await;
    let kvm = if works.unwrap_or(false) { models("kvm").await.unwrap_or_default().1 } else { Vec::new() };
    Some(Qemu { version, machines, kvm, tcg })
}

/// A folder that is removed with everything in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// What QEMU says of a processor, with this accelerator; `scratch` is a folder for the time being.
pub(crate) async fn processor(scratch: &Path, accelerator: Accelerator, model: &str) -> Processor {
    let said = definitions(scratch, accelerator.word()).await;
    said.map_or(Processor::Silent, |(_, said)| Processor::of(&said, model))
}

/// QEMU's version, and the processors that it can show with this accelerator.
async fn models(accelerator: &str) -> Option<((u32, u32), Vec<String>)> {
    let (version, said) = definitions(&std::env::temp_dir(), accelerator).await?;
    Some((version, usable(&said)))
}

/// The same in its words.
async fn definitions(scratch: &Path, accelerator: &str) -> Option<((u32, u32), Value)> {
    let folder = Scratch(scratch.join(format!("snowbird-{}", uuid::Uuid::new_v4().simple())));
    std::fs::DirBuilder::new().mode(0o700).create(&folder.0).ok()?;
    let mut command = Command::from(machine::asked(&find(QEMU)?));
    command.args(["-machine", "none", "-nodefaults", "-display", "none", "-S", "-accel", accelerator]);
    command.args(["-qmp", "unix:probe,server=on,wait=off"]).current_dir(&folder.0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let end = Instant::now() + BEGIN;
    let client = loop {
        if let Ok((client, _events)) = Client::connect(&folder.0.join("probe"), ASK).await {
            break client;
        }
        if Instant::now() > end || !matches!(child.try_wait(), Ok(None)) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let said = client.call("query-cpu-definitions", Value::Null, ASK).await.ok()?;
    let version = client.version();
    child.kill().await.ok();
    Some(((version.major, version.minor), said))
}

/// The names of those that lack nothing.
fn usable(definitions: &Value) -> Vec<String> {
    let all = definitions.as_array().map(Vec::as_slice).unwrap_or_default();
    let whole =
        all.iter().filter(|model| model["unavailable-features"].as_array().is_some_and(Vec::is_empty));
    whole.filter_map(|model| model["name"].as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_processor_that_lacks_a_feature_or_does_not_say_is_not_counted() {
        let said = json!([
            {"name": "Nehalem", "unavailable-features": []},
            {"name": "EPYC", "unavailable-features": ["sha-ni"]},
            {"name": "max"},
        ]);
        assert_eq!(usable(&said), ["Nehalem"]);
        assert_eq!(usable(&Value::Null), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_real_qemu_says_which_processors_it_can_translate() {
        let home = tempfile::tempdir().unwrap();
        let inventory = gather(home.path(), None).await.checked().unwrap();
        let qemu = inventory.qemu.unwrap();
        assert!(qemu.version >= (7, 0), "{:?}", qemu.version);
        assert!(qemu.tcg.contains(&TRIED.to_owned()), "{:?}", qemu.tcg);
        assert!(inventory.processors > 0 && inventory.memory_bytes > 0 && inventory.free_bytes > 0);
    }
}
