//! QEMU's own stream between the same two sites, for comparison: plain, or `multifd` with zstd over several connections.
//!
//! Nothing of ours takes part: no supervisor, no ssh (so nothing is encrypted), no disk that moves. The machine, its program, the
//! line, and what the line carries are those of the other rows; what QEMU is told of them is exact.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::world::dirtied;
use super::{Arguments, memory};
use crate::rig::boot::{self, Work};
use crate::rig::console::Console;
use crate::rig::{AGENT, Scratch};
use crate::wan::{Side, Tunnel, Wan};

/// Boots and fills its memory; a move that has not ended after as long is given up.
const PATIENCE: Duration = Duration::from_secs(180);
const PORT: u16 = 4444;
/// What a machine may stand, as ours: in milliseconds.
const MAY_STAND_MS: u64 = 300;
/// The level of ours.
const LEVEL: u8 = 1;

/// QEMU's monitor.
struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Of a QEMU that was just started.
    fn open(qemu: &mut Child) -> Result<Monitor> {
        // A socket's address holds 107 bytes, and the folder's name may be longer: it is the process's own folder.
        let socket = Path::new("/proc").join(qemu.id().to_string()).join("cwd/qmp.sock");
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > end => return Err(error).context("QEMU has no monitor"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            if let Some(status) = qemu.try_wait()? {
                bail!("QEMU ended at its start: {status}");
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Monitor { reader: BufReader::new(stream) };
        monitor.next()?;
        monitor.ask("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.reader.read_line(&mut line)? > 0, "QEMU has ended");
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.reader.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut said = self.next()?;
            if let Some(error) = said.get("error") {
                bail!("QEMU refused {command}: {}", error["desc"]);
            }
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    /// What both ends must agree on.
    fn channels(&mut self, channels: u8) -> Result<()> {
        if channels == 0 {
            return Ok(());
        }
        let on = json!({ "capabilities": [{ "capability": "multifd", "state": true }] });
        self.ask("migrate-set-capabilities", &on)?;
        let how = json!({ "multifd-channels": channels, "multifd-compression": "zstd", "multifd-zstd-level": LEVEL });
        self.ask("migrate-set-parameters", &how).map(drop)
    }
}

/// A QEMU at one side; ended when dropped.
struct Machine {
    child: Child,
    monitor: Monitor,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Machine {
    /// With the words that both have.
    fn start(qemu: &Path, side: &Side, folder: &Path, words: &[String], more: &[&str]) -> Result<Machine> {
        fs::create_dir_all(folder)?;
        let mut command = side.command(qemu);
        command.current_dir(folder).args(words).args(more).stdin(Stdio::null());
        let mut child = command.spawn().context("cannot start QEMU")?;
        let monitor = Monitor::open(&mut child)?;
        Ok(Machine { child, monitor })
    }
}

/// Moves a machine once over this line, by so many connections (0: plain).
pub(super) fn measure(
    arguments: &Arguments,
    line: &Wan,
    channels: u8,
    scratch: &mut Scratch,
    qemu: &Path,
) -> Result<()> {
    let folder = scratch.path().to_owned();
    let (kernel, root) = boot::write(&folder, &Work::default())?;
    let tunnel = Tunnel::make(&line.shape())?;
    scratch.guards(&tunnel)?;
    let disk = folder.join("disk.img");
    fs::File::create(&disk)?.set_len(8 << 20)?;
    let words = words(arguments, &kernel, &root, &disk);
    let place = |site: &str| folder.join(site).join("agents").join(AGENT);
    let console = Console::hear(&folder, AGENT);
    let mut source = Machine::start(qemu, &tunnel.a, &place("a"), &words, &[])?;
    console.wait(PATIENCE, |line| line == "filled")?;
    let mut target = Machine::start(qemu, &tunnel.b, &place("b"), &words, &["-incoming", "defer"])?;
    source.monitor.channels(channels)?;
    target.monitor.channels(channels)?;
    target.monitor.ask("migrate-incoming", &json!({ "uri": format!("tcp:{}:{PORT}", tunnel.b.address) }))?;
    let rate = line.rate / 8;
    let told =
        json!({ "max-bandwidth": rate, "avail-switchover-bandwidth": rate, "downtime-limit": MAY_STAND_MS });
    source.monitor.ask("migrate-set-parameters", &told)?;
    let was = memory::look(&place("a").join("qemu.pid"), arguments.memory << 20)?;
    let before = dirtied(&console)?;
    let began = Instant::now();
    source.monitor.ask("migrate", &json!({ "uri": format!("tcp:{}:{PORT}", tunnel.b.address) }))?;
    let account = loop {
        let account = source.monitor.ask("query-migrate", &json!({}))?;
        match account["status"].as_str() {
            Some("completed") => break account,
            Some("failed" | "cancelled") => bail!("QEMU's own move failed: {account}"),
            _ if began.elapsed() > PATIENCE => {
                println!("{}: gave up after {} s: {}", name(channels), PATIENCE.as_secs(), account["ram"]);
                return Ok(());
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let after = dirtied(&console)?;
    let bytes = account["ram"]["transferred"].as_f64().unwrap_or(f64::NAN);
    let total = account["total-time"].as_f64().unwrap_or(f64::NAN);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "\n{} ms, {}: total {total:.0} ms, {:.1} MiB, {:.1} Mbit/s, {} passes, stood {} ms; {:.1} MiB packed by zstd -3, {:.1} dirtied",
        line.rtt.as_secs_f64() * 1e3,
        name(channels),
        mib(bytes),
        bytes * 8e-3 / total,
        account["ram"]["dirty-sync-count"],
        account["downtime"],
        mib(was.packed as f64),
        mib((after - before) as f64 * 4096.0),
    );
    Ok(())
}

fn name(channels: u8) -> String {
    match channels {
        0 => "QEMU's plain stream".to_owned(),
        some => format!("QEMU's multifd, {some} connections, zstd -{LEVEL}"),
    }
}

fn words(arguments: &Arguments, kernel: &Path, root: &Path, disk: &Path) -> Vec<String> {
    // Both have the one file: the first has written its last when the other begins.
    let drive = format!("file={},format=raw,if=virtio,cache=none,file.locking=off", disk.display());
    let append = format!(
        "console=ttyS0 quiet panic=-1 rdinit=/init fill={} dirty={}",
        arguments.fill, arguments.dirty
    );
    let words = [
        ["-machine", "q35"],
        ["-accel", "tcg,thread=multi"],
        ["-display", "none"],
        ["-pidfile", "qemu.pid"],
        ["-qmp", "unix:qmp.sock,server=on,wait=off"],
        ["-serial", "unix:console.sock,server=on,wait=off"],
        ["-m", &format!("{}M", arguments.memory)],
        ["-kernel", &kernel.display().to_string()],
        ["-initrd", &root.display().to_string()],
        ["-append", &append],
        ["-drive", &drive],
    ];
    let nothing_else = ["-nodefaults".to_owned(), "-no-user-config".to_owned()];
    words.concat().into_iter().map(str::to_owned).chain(nothing_else).collect()
}
