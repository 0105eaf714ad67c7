//! A session that is replayed at an agent's screen, in each mode: what its user sees.
//!
//! The session is made here, of keys alone: one each 0.6 s, which turns or tilts what the agent's viewer shows for as long. The
//! viewer of a replay is a plain one, which asks for a picture when it has got one.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kept::{Kept, Row, Seen};
use crate::process;
use crate::rig::{AGENT, DESK, SERVER, World};
use crate::sites::PORT;

/// Of an agent's screen in text mode.
const SCREEN: [u16; 2] = [720, 400];
/// Typed in turn.
const KEYS: &[u8] = b"addwsawdasn";
const BETWEEN_US: u64 = 600_000;
const HELD_US: u64 = 60_000;
/// Until a way to a far screen is there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Plays so many seconds of it at an address; `None` where nothing is wanted, or no input was answered by enough frames.
pub(super) fn replay(world: &World, to: &str, seconds: u32, report: &Path) -> Result<Option<Seen>> {
    if seconds == 0 {
        return Ok(None);
    }
    let file = world.folder.join("look.session");
    fs::write(&file, session(seconds))?;
    let mut replay = world.of_user("vmgl-proxy");
    replay.args(["replay", "--pull", "--json", "--restarts", "0", "--to", to]).arg(&file);
    let said = process::output(replay.arg("--report").arg(report))?;
    let summary: serde_json::Value = serde_json::from_str(&said).context("the replay gave no JSON")?;
    println!("   looked at: {said}");
    Ok(Seen::read(&summary))
}

/// The session's file (docs/session.md).
fn session(seconds: u32) -> Vec<u8> {
    let mut file = b"VMGLSESS".to_vec();
    for word in [1, SCREEN[0], SCREEN[1], 0] {
        file.extend(word.to_le_bytes());
    }
    let keys = u64::from(seconds) * 1_000_000 / BETWEEN_US;
    let mut inputs = 0_u32;
    for (number, key) in (1..=keys).zip(KEYS.iter().cycle()) {
        for (down, at_us) in [(1, number * BETWEEN_US), (0, number * BETWEEN_US + HELD_US)] {
            file.push(1);
            file.extend(at_us.to_le_bytes());
            file.push(down);
            file.extend(u32::from(*key).to_le_bytes());
            inputs += 1;
        }
    }
    file.push(255);
    file.extend(((keys + 2) * BETWEEN_US).to_le_bytes());
    file.extend(inputs.to_le_bytes());
    file
}

/// Opens a view, and waits until it shows the agent's screen: before, a viewer sees one of another size.
pub(super) fn view(world: &World) -> Result<String> {
    let view = world.snowbird(&["view", AGENT, "--print"])?;
    let address = format!("tcp:{}", view["address"].as_str().context("no address to look at")?);
    let end = Instant::now() + PATIENCE;
    while world.ask(&["status", AGENT])?["view"]["phase"] != "attached" {
        if Instant::now() > end {
            bail!("the view does not show the agent's screen");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(address)
}

/// The agent's screen as it is at the desk.
pub(super) fn at_desk(world: &World) -> String {
    socket(world, DESK)
}

fn socket(world: &World, site: &str) -> String {
    format!("unix:{}/{site}/agents/{AGENT}/display.sock", world.folder.display())
}

/// The agent's screen at the server, brought to the user by ssh and nothing else.
#[derive(Debug)]
pub(super) struct Far {
    ssh: Child,
    address: String,
}

impl Far {
    pub(super) fn open(world: &World) -> Result<Far> {
        let near = world.folder.join("far.sock");
        let there = socket(world, SERVER);
        let forward = format!("{}:{}", near.display(), there.trim_start_matches("unix:"));
        let mut ssh = world.sites.a.inside("ssh");
        ssh.arg("-F").arg(&world.sites.a.ssh_config).args(["-p", PORT, "-N", "-L", &forward]);
        ssh.args(["-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes"]);
        ssh.arg(format!("root@{}", world.sites.b.address)).stdin(Stdio::null()).stderr(Stdio::null());
        fs::remove_file(&near).ok();
        let ssh = ssh.spawn().context("cannot start ssh")?;
        let mut far = Far { ssh, address: format!("unix:{}", near.display()) };
        let end = Instant::now() + PATIENCE;
        while !near.exists() {
            if Instant::now() > end || far.ssh.try_wait()?.is_some() {
                bail!("ssh brings no way to the agent's screen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(far)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.ssh.kill().ok();
        self.ssh.wait().ok();
    }
}

/// Draws the distributions of each job, in all modes that were measured.
pub(super) fn draw(programs: &Path, kept: &Kept, rows: &[Row], docs: &Path) -> Result<()> {
    for job in super::tables::jobs(rows) {
        // The line is no part of what is seen at the desk: one of those stands for all.
        let mut of_desk = 0;
        let seen = rows.iter().filter(|row| row.job == job && row.seen.is_some()).filter(|row| {
            of_desk += usize::from(row.mode == "desk");
            row.mode != "desk" || of_desk == 1
        });
        let named: Vec<String> = seen
            .map(|row| {
                let folder = kept.report(&row.job, &row.mode, row.rtt_ms);
                let name = if row.mode == "desk" {
                    "desk".to_owned()
                } else {
                    format!("{}, {} ms", row.mode, row.rtt_ms)
                };
                format!("{name}={}", folder.display())
            })
            .collect();
        if named.is_empty() {
            continue;
        }
        for of in ["fps", "response"] {
            let file = docs.join(format!("paper-{job}-{of}.svg"));
            let mut report = Command::new(programs.join("vmgl-proxy"));
            process::output(report.arg("report").args(&named).args(["--of", of, "--out"]).arg(&file))?;
            println!("drawn: {}", file.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_as_long_as_its_parts() {
        let file = session(6);
        // Ten keys: a header, a press and a release each, an end.
        assert_eq!(file.len(), 16 + 20 * 14 + 13);
        assert_eq!(file[file.len() - 4..], 20_u32.to_le_bytes());
    }
}
