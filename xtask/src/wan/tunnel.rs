//! Two network namespaces, a TUN device in each, and the two ways between them.
//!
//! A TUN device may be moved to another namespace while the process that made it keeps its end, so one
//! process has both ends. Everything has names of its own and an owner: a file whose lock dies with the
//! process. What is without an owner when the next tunnel is made is removed first.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::line::{Counts, Line, Settings};
use super::pump::Pump;
use crate::process;

/// Where owners are.
const OWNERS: &str = "/run/snowbird-wan";
/// How the names of all namespaces and devices of ours begin. With a process id, a count and a side
/// they are at most 15 bytes, as names of devices must be.
const PREFIX: &str = "sbw";
/// Both sides' addresses.
const NETWORK: &str = "10.66.0.0/24";
/// The device's name inside a namespace.
pub(crate) const DEVICE: &str = "wan";

/// How the tunnel is.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Each way.
    pub(crate) way: Settings,
    pub(crate) seed: u64,
    pub(crate) mtu: u16,
    /// Whether one frame may stand for many packets.
    pub(crate) offload: bool,
    /// TCP's congestion control at both sides.
    pub(crate) congestion: String,
}

/// One side.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) namespace: String,
    pub(crate) address: &'static str,
}

impl Side {
    /// A command at this side.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        inside(&self.namespace, program)
    }
}

/// A command in a network namespace.
pub(crate) fn inside(namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// The tunnel; taken down when dropped, with every process at its sides.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) a: Side,
    pub(crate) b: Side,
    pumps: Vec<Pump>,
    owner: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Tunnel {
    /// Makes the tunnel.
    ///
    /// # Errors
    /// Without root, `/dev/net/tun`, or `ip`.
    pub(crate) fn make(shape: &Shape) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !Path::new("/dev/net/tun").exists() {
            bail!("the WAN needs /dev/net/tun: a kernel with TUN devices");
        }
        if !rustix::process::geteuid().is_root() {
            bail!("the WAN needs root, for its network namespaces");
        }
        fs::create_dir_all(OWNERS)?;
        // Nobody sweeps between the making of an owner and its lock.
        let turn = File::open(OWNERS)?;
        turn.lock()?;
        sweep(Path::new(OWNERS))?;
        let id = format!("{PREFIX}{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed) % 1000);
        let owner = Path::new(OWNERS).join(&id);
        let lock = File::create(&owner)?;
        lock.try_lock().with_context(|| format!("{} has an owner", owner.display()))?;
        drop(turn);
        let side = |letter: char, address| Side { namespace: format!("{id}{letter}"), address };
        let (a, b) = (side('a', "10.66.0.1"), side('b', "10.66.0.2"));
        let mut tunnel = Self { a, b, pumps: Vec::new(), owner, _lock: lock };
        let ends = [open(&tunnel.a, shape)?, open(&tunnel.b, shape)?];
        for (from, to, salt) in [(0, 1, 0), (1, 0, 1)] {
            let line = Line::new(shape.way, shape.seed.wrapping_mul(2).wrapping_add(salt));
            let (from, to) = (Arc::clone(&ends[from]), Arc::clone(&ends[to]));
            tunnel.pumps.push(Pump::start(from, to, line, shape.offload)?);
        }
        Ok(tunnel)
    }

    /// The file whose lock says that it has an owner.
    pub(crate) fn owner(&self) -> &Path {
        &self.owner
    }

    /// Takes it down; what went each way, from A first.
    pub(crate) fn close(mut self) -> Result<Vec<Counts>> {
        self.pumps.drain(..).map(Pump::stop).collect()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for side in [&self.a, &self.b] {
            remove(&side.namespace);
        }
        self.pumps.clear();
        fs::remove_file(&self.owner).ok();
    }
}

fn ip(words: &str) -> Result<()> {
    process::output(Command::new("ip").args(words.split(' '))).map(drop)
}

/// Makes a side and its device.
fn open(side: &Side, shape: &Shape) -> Result<Arc<SyncDevice>> {
    let (name, mtu) = (&side.namespace, shape.mtu);
    ip(&format!("netns add {name}"))?;
    let device = DeviceBuilder::new()
        .name(name.as_str())
        .layer(Layer::L3)
        .offload(shape.offload)
        .inherit_enable_state()
        .build_sync()
        .context("cannot make a TUN device")?;
    device.set_nonblocking(true)?;
    ip(&format!("link set dev {name} netns {name} name {DEVICE}"))?;
    process::output(side.command("sysctl").args(["-q", "-w", "net.ipv6.conf.all.disable_ipv6=1"]))?;
    // No packet is lost before the line's own queue.
    ip(&format!("-n {name} link set dev {DEVICE} mtu {mtu} txqueuelen 20000 up"))?;
    ip(&format!("-n {name} link set dev lo up"))?;
    ip(&format!("-n {name} addr add {}/32 dev {DEVICE}", side.address))?;
    // By route: a namespace may not choose by sysctl what the machine has not allowed to everyone.
    let (to, control) = (NETWORK, &shape.congestion);
    ip(&format!("-n {name} route add {to} dev {DEVICE} src {} congctl {control}", side.address))?;
    Ok(Arc::new(device))
}

/// Removes what tunnels left whose owner is dead.
fn sweep(owners: &Path) -> Result<()> {
    for entry in fs::read_dir(owners)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) {
            continue;
        }
        // Gone meanwhile is as good as removed.
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            for letter in ['a', 'b'] {
                remove(&format!("{name}{letter}"));
            }
            fs::remove_file(entry.path()).ok();
        }
    }
    Ok(())
}

/// Ends the processes of a namespace and removes it. Not there is as good as gone.
fn remove(namespace: &str) {
    let at = Path::new("/run/netns").join(namespace);
    for _ in 0..50 {
        let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
        let pids = pids.map(|found| String::from_utf8_lossy(&found.stdout).into_owned()).unwrap_or_default();
        let pids: Vec<_> = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if pids.is_empty() {
            break;
        }
        for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if at.exists() {
        Command::new("ip").args(["netns", "del", namespace]).status().ok();
    }
}
