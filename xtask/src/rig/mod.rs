//! An agent between a slow desk and a fast server, with a WAN between them: what `demo agent` shows and `bench paper` measures, and where
//! the agents of `bench gl` move.
//!
//! Both sites are this host: each is a network namespace, the desk's processes are a group with a quota. The agent is run by
//! translation and does a job of its own ([`boot::Work`]), told by its serial port ([`console`]).

pub(crate) mod boot;
pub(crate) mod console;
mod desk;
pub(crate) mod numbers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use test_guard::{Also, Guard};

use crate::setup::qemu;
use crate::sites::{PORT, Sites};
use crate::wan::{Tunnel, Wan};
use crate::{process, workspace};
use boot::Work;
use console::Console;
use desk::Desk;

/// What a job may take, boot and a slow desk included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1800);
pub(crate) const AGENT: &str = "work";
/// Whose names the sites have.
pub(crate) const DESK: &str = "a";
pub(crate) const SERVER: &str = "b";

/// Builds the programs; gives their folder.
pub(crate) fn build() -> Result<PathBuf> {
    let packages =
        ["manager", "wandisk", "vmgl-proxy", "vmgl-bench"].map(|name| ["--package", name]).concat();
    process::run(workspace::cargo().args(["build", "--quiet", "--release"]).args(packages))?;
    Ok(workspace::target().join("release"))
}

/// What the sites are like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) wan: Wan,
    /// The desk's part of one processor; none: it is as fast as the server.
    pub(crate) desk: Option<f64>,
    /// Where the programs are.
    pub(crate) programs: PathBuf,
}

/// Both sites, the desk slowed, and the agent.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sites: Sites,
    desk: Option<Desk>,
    programs: PathBuf,
    pub(crate) folder: PathBuf,
}

impl World {
    /// Sites whose folders are below this one.
    pub(crate) fn make(shape: &Shape, scratch: &mut Scratch) -> Result<World> {
        let folder = scratch.path().to_owned();
        let programs = gather(&shape.programs, &folder.join("bin"))?;
        let desk = shape.desk.map(Desk::make).transpose()?;
        if let Some(desk) = &desk {
            scratch.also(Also::Group(desk.folder()))?;
        }
        let tunnel = Tunnel::make(&shape.wan.shape())?;
        scratch.guards(&tunnel)?;
        let sites = Sites::over(tunnel, &folder, &programs.join("wandisk"))?;
        if let Some(desk) = &desk {
            // Everything of the desk's, its sshd included, is slow.
            let own = ["netns", "pids", &sites.a.side().namespace];
            desk.take(&process::output(Command::new("ip").args(own))?)?;
        }
        for (site, other) in [(&sites.a, &sites.b), (&sites.b, &sites.a)] {
            let config = site.ssh_config.display();
            site.forgets(other)?;
            site.knows(other, &format!("cmd:ssh -F {config} -p {PORT} root@{}", other.address))?;
        }
        Ok(World { sites, desk, programs, folder })
    }

    /// Makes the agent and has it boot at the desk.
    pub(crate) fn launch(&self, work: &Work) -> Result<Console> {
        let (kernel, root) = boot::write(&self.folder, work)?;
        let machine =
            ["create", AGENT, "--size", "8M", "--memory", "256M", "--vcpus", "1", "--accelerator", "tcg"];
        let (kernel, root) = (kernel.display().to_string(), root.display().to_string());
        let append = "console=ttyS0 quiet panic=-1 rdinit=/init";
        self.snowbird(
            &[&machine[..], &["--kernel", &kernel, "--initrd", &root, "--append", append]].concat(),
        )?;
        self.snowbird(&["launch", AGENT])?;
        let console = Console::hear(&self.folder, AGENT);
        console.wait(PATIENCE, |line| line.starts_with("at "))?;
        Ok(console)
    }

    /// A program at the desk. (`ip netns exec` would show it other groups than it is in, and none of their quotas.)
    pub(crate) fn at_desk(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.sites.a.side().namespace));
        if let Some(desk) = &self.desk {
            command.args(["sh", "-c", &desk.enter(), "sh"]);
        }
        command.arg(self.programs.join(program));
        command
    }

    /// A program of the user's: it is where the desk is, and takes nothing of the desk's part.
    pub(crate) fn of_user(&self, program: &str) -> Command {
        self.sites.a.inside(&self.programs.join(program).display().to_string())
    }

    /// `snowbird` at the desk, for its answer.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Value> {
        let mut command = self.at_desk("snowbird");
        command.arg("--home").arg(self.folder.join(DESK)).arg("--json").args(words);
        let said = process::output(&mut command)?;
        serde_json::from_str(&said).with_context(|| format!("snowbird {} gave no JSON", words.join(" ")))
    }

    /// The same, shown.
    pub(crate) fn snowbird(&self, words: &[&str]) -> Result<Value> {
        println!("   desk$ snowbird {}", words.join(" "));
        self.ask(words)
    }

    /// Moves it by hand, and tells what that took.
    pub(crate) fn migrate(&self, to: &str) -> Result<()> {
        let report = self.snowbird(&["migrate", AGENT, "--to", to])?;
        println!("   {}", shown(&report));
        Ok(())
    }

    /// The watcher's records of a kind since then, with the time of each; milliseconds since 1970.
    fn records(&self, kind: &str, since_ms: u64) -> Result<Vec<(u64, Value)>> {
        let log = self.ask(&["log", AGENT])?;
        let lines = log["log"].as_array().context("the log has no lines")?;
        let timed = lines.iter().map(|line| (line["at_ms"].as_u64().unwrap_or(0), &line["record"]));
        let wanted = timed.filter(|(at, record)| *at >= since_ms && record["kind"] == kind);
        Ok(wanted.map(|(at, record)| (at, record.clone())).collect())
    }

    /// The first move to a site that was decided since then, once its account is there: when it was decided, and the account.
    pub(crate) fn moved(&self, to: &str, since_ms: u64, patience: Duration) -> Result<(u64, Value)> {
        let end = Instant::now() + patience;
        loop {
            let accounts = self.records("account", since_ms)?;
            if let Some((_, account)) =
                accounts.into_iter().find(|(_, account)| account["report"]["to"] == to)
            {
                let decisions = self.records("decision", since_ms)?;
                let decided = decisions.iter().find(|(_, record)| record["id"] == account["decision"]);
                let at = decided.map(|(at, _)| *at).context("a move without a decision")?;
                return Ok((at, account["report"].clone()));
            }
            if Instant::now() > end {
                bail!("the agent does not move to {to}: see `snowbird log`");
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// What the watcher thought, in its sentences.
    pub(crate) fn tell_log(&self) -> Result<()> {
        for record in self.ask(&["log", AGENT])?["log"].as_array().into_iter().flatten() {
            if !record["record"].is_null() {
                println!("   {}", record["text"].as_str().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Ends the agent, and what watches it.
    pub(crate) fn end(&self) -> Result<()> {
        self.snowbird(&["auto", AGENT, "off"]).and_then(|_| self.snowbird(&["kill", AGENT])).map(drop)
    }
}

/// Copies the programs into a folder, with QEMU 10 beside them: it is the one that agents get.
fn gather(programs: &Path, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for name in ["snowbird", "wandisk", "vmgl-proxy", "vmgl-bench"] {
        let from = programs.join(name);
        std::fs::copy(&from, folder.join(name)).with_context(|| format!("{} is missing", from.display()))?;
    }
    std::os::unix::fs::symlink(qemu::folder()?.join(qemu::PROGRAM), folder.join(qemu::PROGRAM))?;
    Ok(folder.to_owned())
}

/// A move's account.
pub(crate) fn shown(report: &Value) -> String {
    let seconds = |name: &str| took_s(report, name).map_or("?".to_owned(), |s| format!("{s:.1} s"));
    format!("{} in all, it stood for {}", seconds("total_ms"), seconds("suspended_ms"))
}

/// A part of a move's account, in seconds.
pub(crate) fn took_s(report: &Value, name: &str) -> Option<f64> {
    report[name].as_f64().map(|ms| ms / 1000.0)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds between two times in milliseconds.
pub(crate) fn since_s(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

/// A folder of a run's own, removed when dropped; if the run is killed, with all that it has started.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    guard: Guard,
}

impl Scratch {
    /// One in the system's folder for such.
    pub(crate) fn make(name: &str) -> Result<Scratch> {
        Scratch::at(std::env::temp_dir().join(format!("snowbird-{name}-{}", std::process::id())))
    }

    /// This one, which is nobody else's.
    pub(crate) fn at(folder: PathBuf) -> Result<Scratch> {
        std::fs::create_dir_all(&folder)?;
        let guard = Guard::of(&folder).context("nothing would end what this starts")?;
        Ok(Scratch { folder, guard })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    fn also(&mut self, what: Also<'_>) -> Result<()> {
        Ok(self.guard.also(what)?)
    }

    /// The tunnel's sides, and who is at them, are the run's, too.
    pub(crate) fn guards(&mut self, tunnel: &Tunnel) -> Result<()> {
        for side in [&tunnel.a, &tunnel.b] {
            self.also(Also::Namespace(&side.namespace))?;
        }
        self.also(Also::File(tunnel.owner()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
