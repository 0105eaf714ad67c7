//! `cargo xtask demo agent`: an agent that renders a picture (POV-Ray) and is typed at, between a slow desk and a fast
//! server, over 100 Mbit/s and 66 ms. It renders at the desk, then at the server, then by itself where it wants.
//!
//! Both sites are this host: the desk is a group of processes with a quota, each site a network namespace. The agent is run by
//! translation. Its rules are the built-in profile's, with their own times; that the server is faster the watcher
//! learns from the quota.

mod boot;
mod desk;
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sites::{PORT, Sites};
use crate::wan::{Tunnel, Wan};
use crate::{process, setup, workspace};
use desk::Desk;
use work::Console;

/// What a job may take, boot and a slow desk included.
const PATIENCE: Duration = Duration::from_secs(900);
const AGENT: &str = "work";
/// What the user types until the agent is back.
const LINE: &str = "and now I look at what has become of it";

/// How it is shown.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    wan: Wan,
    /// The desk's part of one processor.
    #[arg(long, default_value_t = 0.3)]
    desk: f64,
    /// The picture is so wide; its height is three quarters of that.
    #[arg(long, default_value_t = 200)]
    width: u32,
    /// Where snowbird, wandisk, vmgl-proxy and vmgl-bench are (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    println!("Setting up what is missing, building …");
    setup::ensure_all()?;
    let programs = arguments.programs.clone().map_or_else(build, Ok)?;
    let folder = std::env::temp_dir().join(format!("snowbird-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let told = tell(arguments, &programs.canonicalize()?, &folder);
    std::fs::remove_dir_all(&folder).ok();
    told.map(|()| ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    let packages =
        ["manager", "wandisk", "vmgl-proxy", "vmgl-bench"].map(|name| ["--package", name]).concat();
    process::run(workspace::cargo().args(["build", "--quiet", "--release"]).args(packages))?;
    Ok(workspace::target().join("release"))
}

/// Both sites, the desk slowed, and the agent.
struct World {
    sites: Sites,
    desk: Desk,
    programs: PathBuf,
    folder: PathBuf,
}

impl World {
    fn make(arguments: &Arguments, programs: &Path, folder: &Path) -> Result<World> {
        let desk = Desk::make(arguments.desk)?;
        let tunnel = Tunnel::make(&arguments.wan.shape())?;
        let sites = Sites::over(tunnel, folder, &programs.join("wandisk"))?;
        // Everything of the desk's, its sshd included, is slow.
        desk.take(&process::output(Command::new("ip").args(["netns", "pids", &sites.a.side().namespace]))?)?;
        for (site, other) in [(&sites.a, &sites.b), (&sites.b, &sites.a)] {
            let config = site.ssh_config.display();
            site.forgets(other)?;
            site.knows(other, &format!("cmd:ssh -F {config} -p {PORT} root@{}", other.address))?;
        }
        Ok(World { sites, desk, programs: programs.to_owned(), folder: folder.to_owned() })
    }

    /// A program at the desk. (`ip netns exec` would show it other groups than it is in, and none of their quotas.)
    fn at_desk(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.sites.a.side().namespace));
        command.args(["sh", "-c", &self.desk.enter(), "sh"]).arg(self.programs.join(program));
        command
    }

    /// `snowbird` at the desk, for its answer.
    fn ask(&self, words: &[&str]) -> Result<Value> {
        let mut command = self.at_desk("snowbird");
        command.arg("--home").arg(self.folder.join("a")).arg("--json").args(words);
        let said = process::output(&mut command)?;
        serde_json::from_str(&said).with_context(|| format!("snowbird {} gave no JSON", words.join(" ")))
    }

    /// The same, shown.
    fn snowbird(&self, words: &[&str]) -> Result<Value> {
        println!("   desk$ snowbird {}", words.join(" "));
        self.ask(words)
    }

    /// The watcher's records of a kind so far, with the time of each in milliseconds since 1970.
    fn records(&self, kind: &str) -> Result<Vec<(u64, Value)>> {
        let log = self.ask(&["log", AGENT])?;
        let lines = log["log"].as_array().context("the log has no lines")?;
        let of_kind = lines.iter().filter(|line| line["record"]["kind"] == kind);
        Ok(of_kind.map(|line| (line["at_ms"].as_u64().unwrap_or(0), line["record"].clone())).collect())
    }

    /// A move that was decided, once its account is there: when it was decided, and the account.
    fn moved(&self, to: &str) -> Result<(u64, Value)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let account =
                self.records("account")?.into_iter().find(|(_, record)| record["report"]["to"] == to);
            if let Some((_, account)) = account {
                let decisions = self.records("decision")?;
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
}

fn shown(report: &Value) -> String {
    let seconds =
        |name: &str| report[name].as_f64().map_or("?".to_owned(), |ms| format!("{:.1} s", ms / 1000.0));
    format!("{} in all, it stood for {}", seconds("total_ms"), seconds("suspended_ms"))
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn since(from_ms: u64, to_ms: u64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

fn tell(arguments: &Arguments, programs: &Path, folder: &Path) -> Result<()> {
    let (kernel, root) = boot::write(folder, arguments.width)?;
    let world = World::make(arguments, programs, folder)?;
    println!("\nThe agent is made, and boots at the desk …");
    let machine =
        ["create", AGENT, "--size", "8M", "--memory", "256M", "--vcpus", "1", "--accelerator", "tcg"];
    let (kernel, root) = (kernel.display().to_string(), root.display().to_string());
    let append = "console=ttyS0 quiet panic=-1 rdinit=/init";
    world
        .snowbird(&[&machine[..], &["--kernel", &kernel, "--initrd", &root, "--append", append]].concat())?;
    world.snowbird(&["launch", AGENT])?;
    let console = Console::hear(folder, AGENT);
    console.wait(PATIENCE, |line| line.starts_with("at "))?;

    println!("\nIt renders at the desk …");
    let desk = console.job("a", PATIENCE)?;
    println!("{desk:.1} s\n\nIt is moved by hand, and renders at the server …");
    println!("{}", shown(&world.snowbird(&["migrate", AGENT, "--to", "b"])?));
    let server = console.job("b", PATIENCE)?;
    println!("{server:.1} s\n\nBack at the desk it renders again, and may move by itself …");
    println!("{}", shown(&world.snowbird(&["migrate", AGENT, "--to", "a"])?));
    world.snowbird(&["auto", AGENT, "auto", "--role", "compute=b"])?;
    let asked = now_ms();
    let both = console.job("a", PATIENCE)?;
    let (decided, there) = world.moved("b")?;

    println!("{both:.1} s\n\nIts user types at it …");
    let address = world.snowbird(&["view", AGENT, "--print"])?;
    let address = format!("tcp:{}", address["address"].as_str().context("no address to look at")?);
    let began = now_ms();
    let (decided_back, back) = {
        let mut typist = work::Typist::start(|| {
            let mut command = world.at_desk("vmgl-bench");
            command.args(["act", &address, LINE]);
            command
        });
        let moved = world.moved("a");
        typist.stop();
        moved?
    };
    for record in world.ask(&["log", AGENT])?["log"].as_array().into_iter().flatten() {
        if !record["record"].is_null() {
            println!("   {}", record["text"].as_str().unwrap_or_default());
        }
    }
    println!("\n{:<34}{:>10}", "rendered", "time");
    for (name, seconds) in
        [("at the desk only", desk), ("at the server only", server), ("where it moved by itself", both)]
    {
        println!("{name:<34}{seconds:>8.1} s   {:.2} of the server's", seconds / server);
    }
    println!("\nthere: seen after {:.1} s; {}", since(asked, decided), shown(&there));
    println!("back:  seen after {:.1} s of typing; {}", since(began, decided_back), shown(&back));
    world.snowbird(&["auto", AGENT, "off"]).and_then(|_| world.snowbird(&["kill", AGENT])).map(drop)
}
