//! Two sites in two network namespaces, with a WAN between them and an sshd in each.
//!
//! The WAN is netem over a cable, or a [`Tunnel`] where the kernel has no netem.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::wan::{self, Side, Tunnel};

/// One way of the WAN: 33 ms and 100 Mbit/s; a queue of 100 ms.
const NETEM: [&str; 6] = ["delay", "33ms", "rate", "100mbit", "limit", "1000"];
/// Where the servers listen.
pub(crate) const PORT: &str = "22022";

/// A site: a namespace, a home, an sshd.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    namespace: String,
    pub(crate) address: &'static str,
    home: PathBuf,
    program: PathBuf,
    pub(crate) ssh_config: PathBuf,
}

/// Both sites; taken down when dropped.
#[derive(Debug)]
pub(crate) struct Sites {
    pub(crate) a: Site,
    pub(crate) b: Site,
    servers: Vec<Child>,
    /// `None`: netem.
    tunnel: Option<Tunnel>,
}

fn ip(words: &str) -> Result<()> {
    process::output(Command::new("ip").args(words.split(' '))).map(drop)
}

fn keygen(path: &Path) -> Result<()> {
    process::output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))
        .map(drop)
}

impl Sites {
    /// Makes namespaces, a WAN of netem, keys, servers and homes below `dir`.
    pub(crate) fn make(dir: &Path, program: &Path) -> Result<Sites> {
        let names = ["wandisk-a", "wandisk-b"].map(str::to_owned);
        let mut sites = Sites::at(names, ["10.77.0.1", "10.77.0.2"], dir, program);
        sites.take_down();
        sites.join()?;
        sites.settle(dir)?;
        Ok(sites)
    }

    /// Makes keys, servers and homes below `dir` at the tunnel's two sides.
    pub(crate) fn over(tunnel: Tunnel, dir: &Path, program: &Path) -> Result<Sites> {
        let names = [&tunnel.a, &tunnel.b].map(|side| side.namespace.clone());
        let mut sites = Sites::at(names, [tunnel.a.address, tunnel.b.address], dir, program);
        sites.tunnel = Some(tunnel);
        sites.settle(dir)?;
        Ok(sites)
    }

    fn at([a, b]: [String; 2], addresses: [&'static str; 2], dir: &Path, program: &Path) -> Sites {
        let site = |name, namespace, address| Site {
            name,
            namespace,
            address,
            home: dir.join(name),
            program: program.to_owned(),
            ssh_config: dir.join("ssh_config"),
        };
        let [first, second] = addresses;
        let (a, b) = (site("a", a, first), site("b", b, second));
        Sites { a, b, servers: Vec::new(), tunnel: None }
    }

    fn settle(&mut self, dir: &Path) -> Result<()> {
        self.start_servers(dir)?;
        for (site, other) in [(&self.a, &self.b), (&self.b, &self.a)] {
            site.wandisk(&["init", "--site", site.name])?;
            site.knows(other, &format!("ssh://root@{}:{PORT}", other.address))?;
        }
        Ok(())
    }

    /// Joins the namespaces by a cable that is as long as the paper's WAN.
    fn join(&self) -> Result<()> {
        let (a, b) = (&self.a.namespace, &self.b.namespace);
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!("link add wan netns {a} type veth peer name wan netns {b}"))?;
        for site in [&self.a, &self.b] {
            let n = &site.namespace;
            ip(&format!("-n {n} addr add {}/24 dev wan", site.address))?;
            ip(&format!("-n {n} link set lo up"))?;
            ip(&format!("-n {n} link set wan up"))?;
            let mut tc = site.inside("tc");
            process::output(tc.args(["qdisc", "add", "dev", "wan", "root", "netem"]).args(NETEM))
                .context("this kernel has no netem")?;
        }
        Ok(())
    }

    fn start_servers(&mut self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        fs::create_dir_all("/run/sshd")?;
        let at = |name: &str| dir.join(name);
        keygen(&at("host_key"))?;
        keygen(&at("user_key"))?;
        let host_key = fs::read_to_string(at("host_key.pub"))?;
        let known = [&self.a, &self.b].map(|s| format!("[{}]:{PORT} {host_key}", s.address)).concat();
        fs::write(at("known_hosts"), known)?;
        let config = format!(
            "Host *\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n",
            at("user_key").display(),
            at("known_hosts").display()
        );
        fs::write(at("ssh_config"), config)?;
        for site in [&self.a, &self.b] {
            let sshd = process::find("sshd").context("sshd is missing")?;
            let mut command = site.inside(&sshd.display().to_string());
            command.args(["-D", "-f", "/dev/null", "-p", PORT, "-o", "StrictModes=no", "-o", "UsePAM=no"]);
            command.args(["-o", "PidFile=none", "-o", "PermitRootLogin=prohibit-password"]);
            command.arg("-h").arg(at("host_key"));
            command.arg("-o").arg(format!("AuthorizedKeysFile={}", at("user_key.pub").display()));
            command.arg("-o").arg(format!("SetEnv=WANDISK_SSH_CONFIG={}", at("ssh_config").display()));
            let server =
                command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start sshd")?;
            self.servers.push(server);
        }
        Ok(())
    }

    /// Cuts the cable.
    pub(crate) fn cut(&self) -> Result<()> {
        ip(&format!("-n {} link set wan down", self.a.namespace))
    }

    /// Bytes that went over the cable so far, both ways.
    pub(crate) fn moved(&self) -> Result<u64> {
        let text = process::output(self.a.inside("cat").arg("/proc/net/dev"))?;
        let line = text.lines().find_map(|l| l.trim().strip_prefix("wan:")).context("the cable is gone")?;
        let number =
            |at: usize| line.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(number(0) + number(8))
    }

    fn take_down(&mut self) {
        for server in &mut self.servers {
            server.kill().ok();
            server.wait().ok();
        }
        if self.tunnel.take().is_some() {
            return;
        }
        for site in [&self.a, &self.b] {
            // Not there is as good as gone.
            Command::new("ip").args(["netns", "del", &site.namespace]).stderr(Stdio::null()).status().ok();
        }
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        self.take_down();
    }
}

impl Site {
    /// Its side of the WAN.
    pub(crate) fn side(&self) -> Side {
        Side { namespace: self.namespace.clone(), address: self.address }
    }

    /// A command in the site's namespace.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = wan::inside(&self.namespace, program);
        command.env("WANDISK_SSH_CONFIG", &self.ssh_config);
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.inside(&self.program.display().to_string());
        command.arg("--home").arg(&self.home).args(words).stdin(Stdio::null());
        command
    }

    /// The image of one of its disks: the disk's bytes, where all chunks are held.
    pub(crate) fn data(&self, disk: &str) -> PathBuf {
        self.home.join("disks").join(disk).join("data.img")
    }

    /// Tells it of another site at an address.
    pub(crate) fn knows(&self, other: &Site, address: &str) -> Result<()> {
        let (home, program) = (other.home.display().to_string(), other.program.display().to_string());
        let there = ["--remote-home", &home, "--remote-wandisk", &program];
        self.wandisk(&[&["site", "add", other.name, address], &there[..]].concat())
    }

    /// Forgets another site's address.
    pub(crate) fn forgets(&self, other: &Site) -> Result<()> {
        self.wandisk(&["site", "rm", other.name])
    }

    /// Runs wandisk at the site, showing the command and what it says.
    pub(crate) fn wandisk(&self, words: &[&str]) -> Result<()> {
        println!("   {}$ wandisk {}", self.name, words.join(" "));
        let mut command = self.command(words);
        // A group of its own, so that Ctrl-C here is ours to handle.
        command.process_group(0);
        process::run(&mut command)
    }

    /// Runs wandisk at the site for its answer.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Value> {
        let text = process::output(self.command(words).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("wandisk {} gave no JSON", words.join(" ")))
    }

    /// Attaches the disk and waits for its block device.
    pub(crate) fn attach(&self, disk: &str) -> Result<PathBuf> {
        println!("   {}$ wandisk attach {disk}", self.name);
        let report = self.ask(&["attach", disk, "--ublk"])?;
        let device = PathBuf::from(report["device"].as_str().context("no device was told")?);
        println!("   {}", device.display());
        let deadline = Instant::now() + Duration::from_secs(5);
        while !device.exists() {
            if Instant::now() > deadline {
                bail!("{} does not appear", device.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(device)
    }
}
