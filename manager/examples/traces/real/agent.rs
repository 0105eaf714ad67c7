//! The agent: a screen with programs, and a thread that computes when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use sensors::Event;
use sensors::sources::Vcpus;

/// Killed whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(super) struct Agent {
    /// The screen's socket.
    pub(super) screen: PathBuf,
    computes: Arc<AtomicBool>,
    /// What counts as its two vCPUs: the compressor and the screen.
    vcpus: [Vcpus; 2],
    _programs: Vec<Running>,
}

impl Agent {
    /// Starts it; sockets are in `folder`.
    pub(super) fn start(folder: &Path, programs: &[&str]) -> Result<Agent> {
        let screen = folder.join("vnc");
        let mut server = Command::new("Xvnc")
            .args(["-displayfd", "1", "-SecurityTypes", "None", "-rfbport", "-1", "-geometry", "800x600"])
            .args(["-depth", "24", "-rfbunixpath"])
            .arg(&screen)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("Xvnc (xtask setup installs it)")?;
        let mut number = String::new();
        BufReader::new(server.stdout.take().context("a pipe")?).read_line(&mut number)?;
        let display = format!(":{}", number.trim());
        let mut compressor = Command::new("xz")
            .args(["-6", "-c", "-T1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("xz")?;
        let computes = Arc::new(AtomicBool::new(false));
        feed(compressor.stdin.take().context("a pipe")?, &computes);
        let pids = [compressor.id(), server.id()];
        let mut all = vec![Running(compressor)];
        for words in programs {
            let mut words = words.split(' ');
            let program = words.next().unwrap_or_default();
            let child = Command::new(program)
                .args(words)
                .env("DISPLAY", &display)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            all.push(Running(child.with_context(|| format!("{program} (xtask setup installs it)"))?));
        }
        all.push(Running(server));
        let [one, other] = pids.map(|pid| Vcpus::new(pid, &[pid]));
        Ok(Agent { screen, computes, vcpus: [one?, other?], _programs: all })
    }

    pub(super) fn compute(&self, on: bool) {
        self.computes.store(on, Ordering::Relaxed);
    }

    /// What its vCPUs did since the last sample.
    pub(super) fn sample(&mut self) -> Result<Event> {
        let mut all = Event::Cpu { wall: Duration::ZERO, busy: Vec::new() };
        for vcpu in &mut self.vcpus {
            if let (Event::Cpu { wall, busy }, Event::Cpu { wall: longest, busy: both }) =
                (vcpu.sample()?, &mut all)
            {
                *longest = wall.max(*longest);
                both.extend(busy);
            }
        }
        Ok(all)
    }
}

/// Gives the compressor something to do while it computes; ends with it.
fn feed(mut to: impl Write + Send + 'static, computes: &Arc<AtomicBool>) {
    let computes = Arc::clone(computes);
    thread::spawn(move || {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut block = vec![0; 64 << 10];
        loop {
            if !computes.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            // Neither noise nor one letter, so that there is something to find.
            block.iter_mut().for_each(|byte| *byte = rng.u8(0..16) * rng.u8(0..16));
            if to.write_all(&block).is_err() {
                return;
            }
        }
    });
}
