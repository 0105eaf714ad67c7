//! How fast a connection of an agent's is that is away from home, by each kind of gateway there, beside the line itself.
//!
//! Two sites in two network namespaces, joined by [`wan`](crate::wan), with a real sshd each, and the real switches and gateways. The
//! agent is the kernel's own network behind a card ([`Stack`]), so that no translated processor is measured; the judge is iperf3.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use test_kit::{CARD, Stack};

use crate::rig::{self, AGENT, Scratch};
use crate::sites::{PORT, Sites};
use crate::wan::{self, Iperf, Tunnel, Wan};
use crate::{process, setup, workspace};

/// Over which line, and for how long.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench gateway
  cargo xtask bench gateway --rtt 100ms --seconds 5")]
pub(crate) struct Arguments {
    #[command(flatten)]
    wan: Wan,
    /// Seconds of iperf3 a row, after three in which TCP begins.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Where snowbird, wandisk and vmgl-proxy are (they are built otherwise).
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Seconds in which TCP begins, which do not count.
const BEGINS: &str = "3";
/// What the agent finds home's loopback at.
const HOME: &str = "10.0.2.2";

/// Measures.
pub(super) fn measure(arguments: &Arguments) -> Result<()> {
    setup::ensure_all()?;
    let programs = arguments.programs.clone().map_or_else(rig::build, Ok)?.canonicalize()?;
    let folder = workspace::target().join(format!("bench-gateway-{}", std::process::id()));
    let mut scratch = Scratch::at(folder)?;
    let world = World::make(&arguments.wan, &mut scratch, &programs)?;
    let (stack, mut voice) = world.agent_is_away()?;
    let seconds = arguments.seconds;
    println!(
        "one connection between home's loopback and an agent at the other end of {} and {}; Mbit/s of payload",
        wan::show_rate(arguments.wan.rate as f64),
        wan::show_time(arguments.wan.rtt)
    );
    let _server = Iperf::serve(&world.sites.a.side())?;
    let direct = |back| {
        let mut command = world.sites.b.side().command("iperf3");
        rate(command.args(words(world.sites.a.address, seconds, back)))
    };
    let line = [direct(false)?, direct(true)?];
    println!("{:<12}{:>12}{:>12}", "", "from agent", "to agent");
    show("the line", line, line);
    for kind in ["slirp", "tap"] {
        world.ask(&["net", AGENT, "gateway", kind])?;
        world.gateway_is_there()?;
        let row = [false, true]
            .map(|back| stack.inside(move || rate(Command::new("iperf3").args(words(HOME, seconds, back)))));
        let [out, into] = row;
        show(kind, [out?, into?], line);
    }
    voice.say(&json!({ "do": "ended" }))
}

fn words(to: &str, seconds: u32, back: bool) -> Vec<String> {
    let seconds = seconds.to_string();
    let mut words = ["-J", "-c", to, "-t", &seconds, "-O", BEGINS].map(str::to_owned).to_vec();
    words.extend(back.then(|| "-R".to_owned()));
    words
}

/// Megabits a second that arrived.
fn rate(command: &mut Command) -> Result<f64> {
    let report: Value = serde_json::from_str(&process::output(command)?)?;
    let arrived = report["end"]["sum_received"]["bits_per_second"].as_f64();
    arrived.map(|bits| bits / 1e6).context("iperf3 told no rate")
}

fn show(name: &str, [out, into]: [f64; 2], line: [f64; 2]) {
    println!(
        "{name:<12}{out:>12.1}{into:>12.1}   {:.2} and {:.2} of the line",
        out / line[0],
        into / line[1]
    );
}

/// Both sites, and an agent that never runs.
struct World {
    sites: Sites,
    folder: PathBuf,
    programs: PathBuf,
}

impl World {
    fn make(wan: &Wan, scratch: &mut Scratch, programs: &Path) -> Result<World> {
        let folder = scratch.path().to_owned();
        let tunnel = Tunnel::make(&wan.shape())?;
        scratch.guards(&tunnel)?;
        let sites = Sites::over(tunnel, &folder, &programs.join("wandisk"))?;
        for (site, other) in [(&sites.a, &sites.b), (&sites.b, &sites.a)] {
            let config = site.ssh_config.display();
            site.forgets(other)?;
            site.knows(other, &format!("cmd:ssh -F {config} -p {PORT} root@{}", other.address))?;
        }
        let world = World { sites, folder, programs: programs.to_owned() };
        let machine = ["--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"];
        world.ask(&[&["create", AGENT], &machine[..]].concat())?;
        Ok(world)
    }

    /// `snowbird` at home.
    fn ask(&self, words: &[&str]) -> Result<Value> {
        let mut command = self.sites.a.side().command(self.programs.join("snowbird"));
        command.arg("--home").arg(self.folder.join("a")).arg("--json").args(words).stdin(Stdio::null());
        let said = process::output(&mut command)?;
        serde_json::from_str(&said).with_context(|| format!("snowbird {} gave no JSON", words.join(" ")))
    }

    fn at(&self, site: &str, name: &str) -> PathBuf {
        self.folder.join(site).join("agents").join(AGENT).join(name)
    }

    /// A supervisor's connection to the switch of its site, once that is there.
    fn voice(&self, site: &str) -> Result<Voice> {
        let socket = self.at(site, "net.sock");
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return Ok(Voice(BufReader::new(stream))),
                Err(error) if Instant::now() > end => return Err(error).context("a switch does not come"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// It ran at home, and was moved to the other site, whose supervisor goes on talking to its switch.
    fn agent_is_away(&self) -> Result<(Stack, Voice)> {
        self.ask(&["net", AGENT, "forward", "tcp", "8022:22"])?;
        let mut at_home = self.voice("a")?;
        at_home.say(&json!({ "do": "expect" }))?;
        at_home.say(&json!({ "do": "runs", "epoch": 1 }))?;
        at_home.say(&json!({ "do": "moving", "to": "b" }))?;
        at_home.say(&json!({ "do": "stands" }))?;
        let mut away = self.voice("b")?;
        away.say(&json!({ "do": "expect" }))?;
        let socket = UnixDatagram::bind(self.at("b", "card.sock"))?;
        let stack = Stack::behind(
            socket,
            self.at("b", "card-port.sock"),
            self.mac()?,
            &format!("address add 10.0.2.15/24 dev {CARD}\nroute add default via {HOME}\n"),
        );
        away.say(&json!({ "do": "runs", "epoch": 2 }))?;
        at_home.say(&json!({ "do": "left", "to": "b" }))?;
        Ok((stack, away))
    }

    /// The address of the agent's card, of its UUID.
    fn mac(&self) -> Result<[u8; 6]> {
        let known = self.ask(&["ls"])?;
        let uuid = known["agents"][0]["uuid"].as_str().context("no agent")?;
        let tail = uuid.len().checked_sub(6).and_then(|at| uuid.get(at..)).context("no UUID")?;
        let byte = |at: usize| u8::from_str_radix(tail.get(at..at + 2).unwrap_or(""), 16);
        Ok([0x52, 0x54, 0, byte(0)?, byte(2)?, byte(4)?])
    }

    fn gateway_is_there(&self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let standing = self.ask(&["net", AGENT, "ls"])?;
            if standing["gateway"] == "there" {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the gateway does not come: {}", standing["gateway"]);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A supervisor's connection to its switch. It is kept: without one the switch would begin a real supervisor, which would say that the
/// agent does not run.
struct Voice(BufReader<UnixStream>);

impl Voice {
    fn say(&mut self, word: &Value) -> Result<()> {
        writeln!(self.0.get_mut(), "{word}")?;
        let mut said = String::new();
        self.0.read_line(&mut said)?;
        ensure!(said.starts_with("{\"ok\""), "a switch says: {said}");
        Ok(())
    }
}
