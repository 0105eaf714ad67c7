//! The dataset, and an NFS server for it at the server's site: nfs-ganesha, in user space.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use agent_init::field;
use anyhow::{Context, Result, bail};

use crate::process;
use crate::rig::World;

/// NFS.
const PORT: u16 = 2049;
/// Until it serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ended when dropped.
#[derive(Debug)]
pub(super) struct Nfs(Child);

impl Nfs {
    /// Writes so many steps, and serves them as `/data`, to read.
    pub(super) fn serve(world: &World, steps: u16) -> Result<Nfs> {
        let folder = world.folder.join("nfs");
        let (data, kept) = (folder.join("data"), folder.join("kept"));
        fs::create_dir_all(&data)?;
        fs::create_dir_all(&kept)?;
        for step in 0..steps {
            fs::write(data.join(format!("step-{step:03}")), field::step(step))?;
        }
        let (config, log) = (folder.join("config"), folder.join("log"));
        let address = world.sites.b.address;
        let text = format!(
            "NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {PORT}; Bind_addr = {address}; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Graceless = true; Minor_Versions = 1; RecoveryRoot = \"{}\"; }}
EXPORT {{ Export_Id = 1; Path = \"{}\"; Pseudo = \"/data\"; Access_Type = RO; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }} }}
",
            kept.display(),
            data.display()
        );
        fs::write(&config, text)?;
        let program = process::find("ganesha.nfsd").context("ganesha.nfsd is missing: cargo xtask setup")?;
        let mut command = world.sites.b.inside(&program.display().to_string());
        command.arg("-F").arg("-f").arg(&config).arg("-L").arg(&log).arg("-p").arg(folder.join("pid"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nfs = Nfs(command.spawn().context("cannot start ganesha.nfsd")?);
        let end = Instant::now() + PATIENCE;
        while !listens(world)? {
            if Instant::now() > end || nfs.0.try_wait()?.is_some() {
                bail!("no NFS server comes up: {}", last(&log));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(nfs)
    }
}

/// Whether somebody listens there, by the namespace's own table: nobody is connected to.
fn listens(world: &World) -> Result<bool> {
    let table = process::output(world.sites.b.inside("cat").args(["/proc/net/tcp", "/proc/net/tcp6"]))?;
    // State 0A of linux/tcp_states.h.
    Ok(table.lines().any(|line| line.contains(&format!(":{PORT:04X} ")) && line.contains(" 0A ")))
}

fn last(log: &std::path::Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

impl Drop for Nfs {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
