//! Two sites with a long line between them, an agent whose memory is full and changes, and what hears it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Arguments;
use crate::process;
use crate::rig::boot::{self, Work};
use crate::rig::console::Console;
use crate::rig::{AGENT, Scratch, now_ms};
use crate::sites::{PORT, Sites};
use crate::wan::{Tunnel, Wan};

/// A translated machine that boots and fills its memory.
const BOOTS: Duration = Duration::from_secs(180);
/// Where the agent's stream goes, at home.
const STREAM_PORT: u16 = 7777;

/// All of it; taken down when dropped.
pub(super) struct World {
    near: Option<Samples>,
    sites: Sites,
    folder: PathBuf,
    programs: PathBuf,
    path: String,
    pub(super) console: Console,
}

/// A move: what was said on its way, with the time of each, and its account.
pub(super) struct Move {
    pub(super) asked_ms: u64,
    pub(super) news: Vec<(u64, Value)>,
    pub(super) report: Value,
}

impl Move {
    /// What it did, and from when on.
    pub(super) fn steps(&self) -> Vec<String> {
        let named = self.news.iter().filter_map(|(at, news)| Some((*at, news["phase"].as_str()?)));
        let mut steps: Vec<(u64, &str)> = named.collect();
        steps.dedup_by_key(|(_, phase)| *phase);
        steps
            .iter()
            .map(|(at, phase)| format!("{phase} from {} ms on", at.saturating_sub(self.asked_ms)))
            .collect()
    }

    /// From the command's beginning until the agent ran at the other site. (Its answer comes when what it left behind has ended.)
    pub(super) fn took_ms(&self) -> f64 {
        let there = |news: &Value| news["phase"].as_str().is_some_and(|phase| phase.starts_with("at site"));
        let at = self.news.iter().find(|(_, news)| there(news)).map(|(at, _)| *at);
        at.map_or(f64::NAN, |at| at.saturating_sub(self.asked_ms) as f64)
    }

    /// When the agent came to a stand.
    pub(super) fn stood_ms(&self) -> u64 {
        let stands = |news: &Value| news["phase"].as_str().is_some_and(|phase| phase.contains("stands"));
        self.news.iter().find(|(_, news)| stands(news)).map_or(u64::MAX, |(at, _)| *at)
    }
}

impl World {
    /// The sites over this line, and the agent at the first.
    pub(super) fn make(
        arguments: &Arguments,
        wan: &Wan,
        qemu: &Path,
        scratch: &mut Scratch,
        programs: &Path,
    ) -> Result<World> {
        let folder = &scratch.path().to_owned();
        let work = Work { modules: &["virtio_net"], ..Work::default() };
        let (kernel, root) = boot::write(folder, &work)?;
        let path = format!("{}:{}", qemu.display(), std::env::var("PATH").context("no PATH")?);
        let tunnel = Tunnel::make(&wan.shape())?;
        scratch.guards(&tunnel)?;
        let sites = Sites::over(tunnel, folder, &programs.join("wandisk"))?;
        for (site, other) in [(&sites.a, &sites.b), (&sites.b, &sites.a)] {
            let config = site.ssh_config.display();
            site.forgets(other)?;
            let way = format!("cmd:ssh -F {config} -p {PORT} root@{} env PATH={path}", other.address);
            site.knows(other, &way)?;
        }
        let console = Console::hear(folder, AGENT);
        let (folder, programs) = (folder.to_owned(), programs.to_owned());
        let mut world = World { near: None, sites, folder, programs, path, console };
        world.near = Some(world.samples(&["--stream", &STREAM_PORT.to_string()])?);
        let append = format!(
            "console=ttyS0 quiet panic=-1 rdinit=/init fill={} dirty={} stream=10.0.2.2:{STREAM_PORT}",
            arguments.fill, arguments.dirty
        );
        let memory = format!("{}M", arguments.memory);
        let machine = ["--size", "8M", "--memory", &memory, "--vcpus", "1", "--accelerator", "tcg"];
        let (kernel, root) = (kernel.display().to_string(), root.display().to_string());
        let boots = ["--kernel", &kernel, "--initrd", &root, "--append", &append];
        world.ask(&[&["create", AGENT], &machine[..], &boots[..]].concat())?;
        world.ask(&["launch", AGENT])?;
        world.console.wait(BOOTS, |line| line == "filled")?;
        world.console.wait(BOOTS, |line| line.starts_with("dirtied "))?;
        Ok(world)
    }

    /// `snowbird` at home.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.sites.a.side().command("env");
        command.arg(format!("PATH={}", self.path)).arg(self.programs.join("snowbird"));
        command.arg("--home").arg(self.folder.join("a")).arg("--json").args(words).stdin(Stdio::null());
        command
    }

    /// The same, for its answer.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Value> {
        let said = process::output(&mut self.command(words))?;
        serde_json::from_str(&said).with_context(|| format!("snowbird {} gave no JSON", words.join(" ")))
    }

    /// Moves the agent.
    pub(super) fn migrate(&self, to: &str) -> Result<Move> {
        let asked_ms = now_ms();
        let mut command = self.command(&["migrate", AGENT, "--to", to]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (told, mut answer) = (child.stderr.take(), child.stdout.take());
        let mut news = Vec::new();
        for line in BufReader::new(told.context("no news")?).lines() {
            let line: Value = serde_json::from_str(&line?).unwrap_or_default();
            news.push((now_ms(), line["progress"].clone()));
        }
        let mut said = String::new();
        answer.as_mut().context("no answer")?.read_to_string(&mut said)?;
        let report: Value = serde_json::from_str(&said).context("the move gave no JSON")?;
        if !child.wait()?.success() {
            bail!("the agent was not moved: {report}");
        }
        Ok(Move { asked_ms, news, report })
    }

    /// The file with the process id of the agent's QEMU at a site.
    pub(super) fn pid_file(&self, site: &str) -> PathBuf {
        self.folder.join(site).join("agents").join(AGENT).join("qemu.pid")
    }

    /// A process at home that prints samples.
    fn samples(&self, words: &[&str]) -> Result<Samples> {
        let mut command = self.sites.a.side().command(std::env::current_exe()?);
        let mut child = command.args(["bench", "migrate-near"]).args(words).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no samples")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || read(out, |sample| sender.send(sample).is_ok()));
        Ok(Samples { child, lines })
    }

    /// Somebody who types at the agent from home.
    pub(super) fn typist(&self) -> Result<Samples> {
        let address = self.ask(&["view", AGENT, "--print"])?;
        self.samples(&["--screen", address["address"].as_str().context("no address to look at")?])
    }

    /// The gaps of the agent's stream since this was asked last.
    pub(super) fn gaps(&self) -> Vec<(u64, f64)> {
        self.near.as_ref().map_or_else(Vec::new, Samples::taken)
    }
}

fn read(out: ChildStdout, mut tell: impl FnMut((u64, f64)) -> bool) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let sample = line.split_once(' ').and_then(|(at, time)| Some((at.parse().ok()?, time.parse().ok()?)));
        if !sample.is_some_and(&mut tell) {
            return;
        }
    }
}

/// Samples of a process, which ends with this.
pub(super) struct Samples {
    child: Child,
    lines: Receiver<(u64, f64)>,
}

impl Samples {
    pub(super) fn taken(&self) -> Vec<(u64, f64)> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The pages that the agent has changed, by its next word.
pub(super) fn dirtied(console: &Console) -> Result<u64> {
    console.forget();
    let (_, line) = console.wait(Duration::from_secs(60), |line| line.starts_with("dirtied "))?;
    Ok(line.trim_start_matches("dirtied ").parse()?)
}
