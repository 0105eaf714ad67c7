//! What stands around a measured proxy: servers, programs that paint, lines, viewers; each a process that ends
//! with its handle, all sockets in one folder that goes with the stage.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::{process, setup, workspace};

/// Longest wait for a process to be ready.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes a second of the line of the FPS table: 100 Mbit/s.
pub(crate) const FAST: u64 = 12_500_000;
/// 20 Mbit/s.
pub(super) const THIN: u64 = 2_500_000;

/// A process that is ended when dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Self::start_told(command, Stdio::null())
    }

    /// The same; what it has to say of itself goes there.
    pub(crate) fn start_told(command: &mut Command, errors: Stdio) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stderr(errors).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {}", process::line(command)))?))
    }

    /// The first line it says.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let out = self.0.stdout.take().context("its output is not read")?;
        BufReader::new(out).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// What it says until it ends.
    pub(crate) fn said(&mut self) -> Result<String> {
        let mut text = String::new();
        self.0.stdout.take().context("its output is not read")?.read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Seconds of a processor that its threads have used; those that ended do not count.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.id())
    }

    /// Stops it, or lets it go on.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw);
        Ok(rustix::process::kill_process(id.context("its number is none")?, signal)?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server, or the near end of a line to one.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) running: Running,
    /// As `unix:PATH`.
    pub(crate) at: String,
}

/// Xvnc.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) server: Server,
    /// `:N`.
    pub(crate) display: String,
}

/// The measured program.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(super) server: Server,
    ctl: PathBuf,
}

impl Proxy {
    /// Asks at its `ctl`.
    pub(super) fn ask(&self, question: &Value) -> Result<Value> {
        ask(&self.ctl, question)
    }

    /// The address where viewers connect.
    pub(crate) fn at(&self) -> &str {
        &self.server.at
    }
}

/// How a viewer looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) seconds: f64,
    pub(crate) push: bool,
}

/// What a viewer saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Frames that came whole: when it was made, when it had come, in microseconds.
    pub(crate) frames: Vec<(u64, u64)>,
    /// Updates that changed the first pixel, a second.
    pub(crate) changes_per_second: f64,
    pub(crate) frames_per_second: f64,
    pub(crate) torn: u64,
    pub(crate) ended: Option<String>,
}

impl Seen {
    /// Ages in milliseconds, sorted.
    pub(super) fn ages_ms(&self) -> Vec<f64> {
        let age = |(made, came): &(u64, u64)| came.saturating_sub(*made) as f64 / 1e3;
        let mut ages: Vec<f64> = self.frames.iter().map(age).collect();
        ages.sort_by(f64::total_cmp);
        ages
    }

    fn read(text: &str) -> Result<Self> {
        let said: Value = serde_json::from_str(text).context("the viewer gave no report")?;
        let seconds = said["seconds"].as_f64().unwrap_or(1.0);
        let list = |name: &str| said[name].as_array().cloned().unwrap_or_default();
        let frames: Vec<(u64, u64)> = list("frames")
            .iter()
            .filter_map(|frame| Some((frame[1].as_u64()?, frame[2].as_u64()?)))
            .collect();
        Ok(Self {
            changes_per_second: list("changes").len() as f64 / seconds,
            frames_per_second: frames.len() as f64 / seconds,
            torn: said["torn"].as_u64().unwrap_or(0),
            ended: said["ended"].as_str().map(str::to_owned),
            frames,
        })
    }
}

/// What records a session.
#[derive(Debug)]
pub(crate) struct Recorder(Running);

impl Recorder {
    /// Waits until it has ended, as it does when its viewer leaves.
    pub(crate) fn done(mut self) -> Result<()> {
        let status = self.0.0.wait()?;
        if !status.success() {
            bail!("recording: {status}");
        }
        Ok(())
    }
}

/// A viewer that looks while something else is done.
#[derive(Debug)]
pub(super) struct Looking(Running);

impl Looking {
    /// Waits until it has looked.
    pub(super) fn done(mut self) -> Result<Seen> {
        Seen::read(&self.0.said()?)
    }
}

/// Programs and a folder.
#[derive(Debug)]
pub(crate) struct Stage {
    dir: PathBuf,
    bench: PathBuf,
    proxy: PathBuf,
    made: Cell<u32>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

impl Stage {
    /// Installs what is missing and builds the programs.
    pub(crate) fn make() -> Result<Self> {
        setup::ensure_all()?;
        let packages = ["--package", "vmgl-proxy", "--package", "vmgl-bench"];
        process::run(workspace::cargo().args(["build", "--quiet", "--release"]).args(packages))?;
        // Paths of sockets are short, so not below target/.
        let dir = std::env::temp_dir().join(format!("vmgl-bench-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let built = |name| workspace::target().join("release").join(name);
        Ok(Self { dir, bench: built("vmgl-bench"), proxy: built("vmgl-proxy"), made: Cell::new(0) })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.proxy
    }

    /// A path that is not used yet.
    pub(crate) fn path(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.dir.join(format!("s{}", self.made.get()))
    }

    /// Starts what listens at a fresh socket.
    fn server(&self, start: impl FnOnce(&str, &Path) -> Result<Running>) -> Result<Server> {
        let path = self.path();
        let at = format!("unix:{}", path.display());
        let running = start(&at, &path)?;
        wait("a server", || UnixStream::connect(&path).is_ok())?;
        Ok(Server { running, at })
    }

    /// Xvnc with an empty screen.
    pub(crate) fn xvnc(&self, size: &str) -> Result<Screen> {
        let mut display = String::new();
        let server = self.server(|_, path| {
            let mut command = Command::new("Xvnc");
            command.args(["-displayfd", "1", "-SecurityTypes", "None", "-rfbport", "-1", "-depth", "24"]);
            command.args(["-geometry", size, "-rfbunixpath"]).arg(path).stdout(Stdio::piped());
            let mut running = Running::start(&mut command)?;
            display = format!(":{}", running.line()?);
            Ok(running)
        })?;
        Ok(Screen { server, display })
    }

    /// A screen that nobody looks at, for a real viewer.
    pub(super) fn xvfb(&self, size: &str) -> Result<(Running, String)> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-noreset", "-screen", "0", &format!("{size}x24")]);
        command.stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let display = format!(":{}", running.line()?);
        Ok((running, display))
    }

    /// TigerVNC's viewer.
    pub(super) fn vncviewer(&self, display: &str, server: &str) -> Result<Running> {
        let mut command = Command::new("xtigervncviewer");
        command.env("DISPLAY", display).args(["-RemoteResize=0", "-FullScreen=1", "-MenuKey="]);
        command.arg(server.trim_start_matches("unix:")).stdout(Stdio::null());
        Running::start(&mut command)
    }

    /// A program that paints frames of about so many bytes, 60 a second.
    pub(crate) fn paint(&self, screen: &Screen, bytes: u64) -> Result<Running> {
        let mut command = Command::new(&self.bench);
        command.args(["paint", &screen.display, "--bytes", &bytes.to_string()]).stdout(Stdio::null());
        Running::start(&mut command)
    }

    /// A server of our own, 60 frames a second; a plain one has neither continuous updates nor fences.
    pub(super) fn source(&self, bytes: u64, plain: bool) -> Result<Server> {
        self.server(|at, _| {
            let mut command = Command::new(&self.bench);
            command.args(["source", "--listen", at, "--bytes", &bytes.to_string()]);
            command.args(plain.then_some("--plain")).stdout(Stdio::null());
            Running::start(&mut command)
        })
    }

    /// QEMU with a guest that changes the screen 60 times a second.
    pub(super) fn qemu(&self) -> Result<Server> {
        let disk = self.path();
        process::output(Command::new(&self.bench).arg("guest").arg(&disk))?;
        self.server(|at, _| {
            let mut command = Command::new("qemu-system-x86_64");
            command.args(["-nodefaults", "-accel", "tcg", "-m", "32", "-vga", "std", "-vnc", at, "-drive"]);
            command.arg(format!("file={},format=raw,if=ide", disk.display())).stdout(Stdio::null());
            Running::start(&mut command)
        })
    }

    /// A line to a server.
    pub(crate) fn line(&self, to: &str, rtt: Duration, rate: u64) -> Result<Server> {
        self.server(|at, _| {
            let mut command = Command::new(&self.bench);
            command.args(["wan", "--listen", at, "--to", to, "--rate", &rate.to_string(), "--rtt-ms"]);
            command.arg(rtt.as_millis().to_string()).stdout(Stdio::null());
            Running::start(&mut command)
        })
    }

    /// The proxy, once it shows the server.
    pub(crate) fn proxy(&self, upstream: &str) -> Result<Proxy> {
        let ctl = self.path();
        let server = self.server(|at, _| {
            let mut command = Command::new(&self.proxy);
            command.args(["serve", "--upstream", upstream, "--listen", at, "--ctl"]);
            Running::start(command.arg(&ctl).stdout(Stdio::null()))
        })?;
        let proxy = Proxy { server, ctl };
        let status = serde_json::json!({ "do": "status" });
        wait("the proxy shows its server", || {
            proxy.ask(&status).is_ok_and(|status| status["phase"] == "attached")
        })?;
        Ok(proxy)
    }

    /// Records a session: what records, and where its viewer connects.
    pub(crate) fn recorder(&self, upstream: &str, session: &Path) -> Result<(Recorder, String)> {
        let door = self.path();
        let at = format!("unix:{}", door.display());
        let mut command = Command::new(&self.proxy);
        command.args(["record", "--upstream", upstream, "--listen", &at, "--out"]).arg(session);
        let running = Running::start(command.stdout(Stdio::null()))?;
        wait("the recorder listens", || door.exists())?;
        Ok((Recorder(running), at))
    }

    /// A user who types these lines; waits until they are typed.
    pub(crate) fn act(&self, at: &str, lines: &[&str]) -> Result<()> {
        process::output(Command::new(&self.bench).args(["act", at]).args(lines)).map(drop)
    }

    /// A viewer that begins to look.
    pub(super) fn looking(&self, at: &str, look: Look) -> Result<Looking> {
        let mut command = Command::new(&self.bench);
        command.args(["watch", at, "--seconds", &look.seconds.to_string()]);
        command.args(look.push.then_some("--push")).stdout(Stdio::piped());
        Ok(Looking(Running::start(&mut command)?))
    }

    /// What a viewer sees.
    pub(crate) fn look(&self, at: &str, look: Look) -> Result<Seen> {
        self.looking(at, look)?.done()
    }
}

/// Asks a proxy at its `ctl`.
pub(crate) fn ask(ctl: &Path, question: &Value) -> Result<Value> {
    let mut stream = UnixStream::connect(ctl)?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut said: Value = serde_json::from_str(&line)?;
    match said.get("error") {
        Some(why) => Err(anyhow!("{question}: {why}")),
        None => Ok(said["ok"].take()),
    }
}

/// Seconds of a processor that a process's threads have used; those that ended do not count.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0_u64);
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Waits until it is so; an error after [`PATIENCE`].
pub(crate) fn wait(what: &str, mut so: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > PATIENCE {
            bail!("never: {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
