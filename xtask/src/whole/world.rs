//! Where it happens: two sites that reach each other by ssh, `snowbird` at each, and a look at what runs and is attached there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sites::{PORT, Site, Sites};

pub(super) const AGENT: &str = "vm";
/// The agent's kernel, in the folder that is made for the guest.
pub(super) const KERNEL: &str = "vmlinux";
/// So often it is looked again at what is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// What stands at a site that the agent has left is taken away by then.
const LEFT: Duration = Duration::from_secs(180);
/// A command that takes longer, in seconds, hangs.
const HANGS: &str = "900";

/// Both sites, their folders, and the programs of both.
#[derive(Debug)]
pub(super) struct World {
    pub(super) sites: Sites,
    pub(super) dir: PathBuf,
    snowbird: PathBuf,
}

impl World {
    /// Each site reaches the other by the program ssh, `snowbird` and `wandisk` by one address.
    pub(super) fn make(dir: &Path, programs: &Path) -> Result<World> {
        let sites = Sites::make(dir, &programs.join("wandisk"))?;
        for (site, other) in [(&sites.a, &sites.b), (&sites.b, &sites.a)] {
            let config = site.ssh_config.display();
            site.forgets(other)?;
            site.knows(other, &format!("cmd:ssh -F {config} -p {PORT} root@{}", other.address))?;
        }
        Ok(World { sites, dir: dir.to_owned(), snowbird: programs.join("snowbird") })
    }

    /// The site of this name.
    pub(super) fn site(&self, name: &str) -> &Site {
        if name == self.sites.a.name { &self.sites.a } else { &self.sites.b }
    }

    fn home(&self, site: &Site) -> PathBuf {
        self.dir.join(site.name)
    }

    /// `snowbird` at a site.
    pub(super) fn snowbird(&self, site: &Site, words: &[&str]) -> Command {
        let mut command = site.inside("timeout");
        command
            .arg(HANGS)
            .arg(&self.snowbird)
            .arg("--home")
            .arg(self.home(site))
            .arg("--json")
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// The same, for its answer.
    pub(super) fn ask(&self, site: &Site, words: &[&str]) -> Result<Value> {
        let done = self.snowbird(site, words).output().context("cannot start snowbird")?;
        let [said, news] = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let words = words.join(" ");
        // (Why is in its answer, how far it came in its news.)
        ensure!(done.status.success(), "snowbird {words}: {}: {}\n{}", done.status, said.trim(), news.trim());
        serde_json::from_str(&said).with_context(|| format!("snowbird {words} gave no JSON"))
    }

    /// The same, shown.
    pub(super) fn tell(&self, site: &Site, words: &[&str]) -> Result<Value> {
        println!("          {}$ snowbird {}", site.name, words.join(" "));
        self.ask(site, words)
    }

    /// Waits until the agent stands so, asked at its home; where it is then.
    pub(super) fn comes_to(&self, state: &str, patience: Duration) -> Result<&Site> {
        let end = Instant::now() + patience;
        loop {
            // Whoever is asked may just be ending.
            let status = self.ask(&self.sites.a, &["status", AGENT]);
            if let Ok(status) = &status
                && status["state"] == state
            {
                return Ok(self.site(status["site"].as_str().context("the agent is nowhere")?));
            }
            if Instant::now() > end {
                bail!("the agent is not {state}: {status:?}");
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One machine of the agent is there, at this site and on the site's block device, which is given; nothing of it stays at the other.
    pub(super) fn is_only_at(&self, site: &Site) -> Result<String> {
        let end = Instant::now() + LEFT;
        loop {
            match self.only_at(site) {
                Err(_) if Instant::now() < end => std::thread::sleep(LOOK),
                looked => return looked,
            }
        }
    }

    fn only_at(&self, site: &Site) -> Result<String> {
        let machines =
            running(|words| words.iter().any(|word| word == &format!("guest={AGENT},debug-threads=on")))?;
        let here = |pid: &Pid| std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok();
        let folders: Vec<_> = machines.iter().filter_map(here).collect();
        let folder = self.home(site).join("agents").join(AGENT);
        ensure!(
            folders == [folder.clone()],
            "the agent has machines in {folders:?}, and is at {}",
            site.name
        );
        let other = if site.name == self.sites.a.name { &self.sites.b } else { &self.sites.a };
        if let Ok(there) = other.ask(&["status", AGENT, "--here"]) {
            ensure!(there["attached"] == false, "{} has its disk attached, too: {there}", other.name);
        }
        let device = site.ask(&["status", AGENT, "--here"])?["device"].clone();
        let device = device.as_str().context("the agent's disk is no block device")?;
        let machine = std::fs::read_link(folder.join("disk.dev"))?;
        ensure!(
            machine == Path::new(device),
            "the machine has {}, and the disk is {device}",
            machine.display()
        );
        Ok(device.to_owned())
    }

    /// Nobody at the site has the agent's disk attached any more.
    pub(super) fn lets_go(&self, site: &Site) -> Result<()> {
        let end = Instant::now() + LEFT;
        loop {
            let disk = site.ask(&["status", AGENT, "--here"])?;
            if disk["attached"] == false {
                return Ok(());
            }
            ensure!(Instant::now() < end, "its disk stays attached: {disk}");
            std::thread::sleep(LOOK);
        }
    }

    /// Kills who serves the agent's disk at a site.
    pub(super) fn kill_keeper(&self, site: &Site) -> Result<()> {
        let pid =
            site.ask(&["status", AGENT, "--here"])?["pid"].as_i64().context("nobody serves the disk")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process without a number")?;
        Ok(kill_process(pid, Signal::KILL)?)
    }

    /// Kills the agent's supervisor at a site.
    pub(super) fn kill_supervisor(&self, site: &Site) -> Result<()> {
        let home = self.home(site).display().to_string();
        let all = running(|words| {
            ["supervise", AGENT, &home].iter().all(|wanted| words.iter().any(|word| word == wanted))
        })?;
        ensure!(all.len() == 1, "{} has {} supervisors of the agent", site.name, all.len());
        all.into_iter().try_for_each(|pid| Ok(kill_process(pid, Signal::KILL)?))
    }
}

/// Processes by the words of their command lines.
fn running(is_it: impl Fn(&[String]) -> bool) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // It may have ended since it was listed.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        if is_it(&words) {
            found.push(pid);
        }
    }
    Ok(found)
}
