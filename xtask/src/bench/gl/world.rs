//! An agent and a desk with a line between them: two X servers and programs at one side, the proxy with its renderers at the other.
//!
//! The proxy shows the agent's first screen; nobody but a plain viewer looks at the second, so that the two never share the line.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::programs::{Pace, Program, settings};
use crate::bench::display::stage::{Running, ask, wait};
use crate::rig::Scratch;
use crate::wan::{Side, Tunnel, Wan};
use crate::{process, setup, workspace};

/// Bits a second of the line.
const RATE: u64 = 100_000_000;
/// Where the proxy hears programs.
const GL_PORT: u16 = 7100;
/// The first X server's port for viewers; the second's is the next.
const VNC_PORT: u16 = 5900;
const SCREEN: &str = "640x480";
/// A program that has drawn so often has begun.
const BEGUN: u64 = 10;
/// Longest wait for that: what loads textures over the line takes its time.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often Mesa tells its frames a second.
const TELLS: &str = "0.25";

/// How a viewer has pixels sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pixels {
    /// As they are: at the desk.
    Raw,
    /// ZRLE: over the line.
    Zrle,
}

/// The programs of the workspace, and where files go.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    folder: PathBuf,
    proxy: PathBuf,
    bench: PathBuf,
    library: PathBuf,
    scene: PathBuf,
    made: Rc<Cell<u32>>,
}

impl Built {
    /// Installs what is missing, builds, and gives [`Built::of`] that.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        setup::ensure_gl()?;
        let packages = ["vmgl-proxy", "vmgl-bench", "vmgl-gl"].map(|name| ["--package", name]).concat();
        process::run(workspace::cargo().args(["build", "--quiet", "--release"]).args(packages))?;
        Self::of(&workspace::target().join("release"), folder)
    }

    /// Programs that are there already; the library is put where the loader finds it.
    pub(super) fn of(programs: &Path, folder: &Path) -> Result<Self> {
        let programs = programs.canonicalize()?;
        let built = |name: &str| programs.join(name);
        let library = folder.join("vmgl");
        fs::create_dir_all(&library)?;
        for name in ["libGLX_vmgl.so.0", "libEGL_vmgl.so.0"] {
            symlink(built("libGLX_vmgl.so"), library.join(name))?;
        }
        let vendor = json!({
            "file_format_version": "1.0.0",
            "ICD": { "library_path": library.join("libEGL_vmgl.so.0") },
        });
        fs::write(library.join("vmgl.json"), vendor.to_string())?;
        let (file, settings) = settings();
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(file, settings)?;
        Ok(Self {
            folder: folder.to_owned(),
            proxy: built("vmgl-proxy"),
            bench: built("vmgl-bench"),
            library,
            scene: workspace::root().join("vmgl-proxy/bench/scenes/isosurface.py"),
            made: Rc::default(),
        })
    }

    /// The proxy's program.
    pub(super) fn proxy(&self) -> &Path {
        &self.proxy
    }

    /// What viewers are made of.
    pub(super) fn bench(&self) -> &Path {
        &self.bench
    }

    /// The folder with the agent's library.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// VTK's scene.
    pub(super) fn scene(&self) -> &Path {
        &self.scene
    }

    /// A path that is not used yet.
    pub(super) fn path(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.folder.join(format!("s{}", self.made.get()))
    }
}

/// An X server in the agent.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(super) running: Running,
    display: String,
    /// Where viewers reach it over the line.
    pub(crate) at: String,
}

/// The proxy at the desk.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(super) running: Running,
    ctl: PathBuf,
    /// Where viewers at the desk connect.
    pub(crate) at: String,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Playing {
    pub(super) running: Running,
    rates: PathBuf,
    errors: PathBuf,
}

impl Playing {
    /// Why it may not draw: what it said last.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned()
    }

    /// What Mesa has told so far of its frames a second.
    fn rates(&self) -> Vec<f64> {
        let said = fs::read_to_string(self.rates.join("fps")).unwrap_or_default();
        said.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Waits until Mesa has told of frames.
    pub(crate) fn drawn_here(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.rates().len() < 2 {
            if Instant::now() > until || self.running.ended()? {
                bail!("{}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Frames a second of Mesa's, in so long a time from now.
    pub(super) fn rate_here(&self, time: Duration) -> Result<f64> {
        let before = self.rates().len();
        std::thread::sleep(time);
        let rates = self.rates().split_off(before);
        let count = u32::try_from(rates.len()).ok().filter(|count| *count > 0);
        let count = count.with_context(|| format!("no frame in {time:?}: {}", self.last_words()))?;
        Ok(rates.iter().sum::<f64>() / f64::from(count))
    }
}

/// What the proxy counts of a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    pub(super) frames: f64,
    /// Packed, as they came.
    pub(super) bytes: f64,
    /// Times that the program has waited for an answer.
    pub(super) waits: f64,
    pub(super) renderer: u32,
}

/// By command how often, and how many milliseconds.
pub(super) type Waited = BTreeMap<String, (u64, u64)>;

/// What a viewer saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Changed pictures a second.
    pub(crate) rate: f64,
    /// The longest time between two.
    pub(super) longest_ms: f64,
}

/// A viewer that looks.
#[derive(Debug)]
pub(crate) struct Looking(Running);

impl Looking {
    /// Waits until it has looked.
    pub(crate) fn done(mut self) -> Result<Seen> {
        let said: Value = serde_json::from_str(&self.0.said()?).context("the viewer gave no report")?;
        let number = |name: &str| said[name].as_f64().context("the viewer's report lacks a number");
        Ok(Seen { rate: number("changes")? / number("seconds")?, longest_ms: number("longest_ms")? })
    }
}

/// All of it; what runs in it is ended with it.
#[derive(Debug)]
pub(crate) struct World {
    pub(super) built: Built,
    pub(super) rtt_ms: u64,
    pub(crate) shown: Screen,
    pub(crate) plain: Screen,
    pub(crate) proxy: Proxy,
    _watcher: Running,
    pub(super) tunnel: Tunnel,
}

impl World {
    /// With a line of this round trip.
    pub(crate) fn make(scratch: &mut Scratch, built: &Built, rtt_ms: u64) -> Result<Self> {
        let tunnel = Tunnel::make(&wan(rtt_ms).shape())?;
        scratch.guards(&tunnel)?;
        let screen = |port| screen(tunnel.a.command("Xvnc"), tunnel.a.address, port);
        let (shown, plain) = (screen(VNC_PORT)?, screen(VNC_PORT + 1)?);
        let gl = format!("tcp:{}:{GL_PORT}", tunnel.b.address);
        let proxy = proxy(built, tunnel.b.command(&built.proxy), &shown.at, &["--gl-listen", &gl])?;
        let mut watcher = tunnel.a.command(&built.proxy);
        watcher.args(["gl", "watch", "--display", &shown.display, "--to", &gl]).stdout(Stdio::null());
        let watcher = Running::start(&mut watcher)?;
        let made = Self { built: built.clone(), rtt_ms, shown, plain, proxy, _watcher: watcher, tunnel };
        wait("the watcher is heard", || made.told().is_ok_and(|told| told["watched"] == true))?;
        Ok(made)
    }

    /// A proxy of its own before the second screen.
    pub(crate) fn proxy_of_plain(&self) -> Result<Proxy> {
        proxy(&self.built, self.tunnel.b.command(&self.built.proxy), &self.plain.at, &[])
    }

    fn told(&self) -> Result<Value> {
        ask(&self.proxy.ctl, &json!({ "do": "gl" }))
    }

    fn start(&self, command: &mut Command, words: Vec<String>, pace: Pace) -> Result<Playing> {
        let errors = self.built.path();
        let rates = self.built.path();
        fs::create_dir_all(&rates)?;
        command.args(words).stdout(Stdio::null());
        // Some keep settings in the user's folders: here they have none, and make none there.
        command.env("HOME", &self.built.folder).env("XDG_CONFIG_HOME", &self.built.folder);
        // Without a card for sound some complain of it so fast that they fill the disk, and take a processor.
        command.env("SDL_AUDIODRIVER", "dummy").env("ALSOFT_DRIVERS", "null");
        command.env("XDG_RUNTIME_DIR", &self.built.folder).env("GALLIUM_HUD", "fps");
        command.env("GALLIUM_HUD_PERIOD", TELLS).env("GALLIUM_HUD_VISIBLE", "false");
        command.env("GALLIUM_HUD_DUMP_DIR", &rates);
        if pace == Pace::Free {
            command.env("vblank_mode", "0");
        }
        let running = Running::start_told(command, File::create(&errors)?.into())?;
        Ok(Playing { running, rates, errors })
    }

    /// Starts a program whose OpenGL is drawn at the desk.
    pub(crate) fn travelling(&self, program: &Program, pace: Pace) -> Result<Playing> {
        self.at_desk(program.words(&self.built.scene, pace), pace)
    }

    /// The same of a program that is none of the table's.
    pub(super) fn travelling_words(&self, words: Vec<String>) -> Result<Playing> {
        self.at_desk(words, Pace::Screen)
    }

    fn at_desk(&self, words: Vec<String>, pace: Pace) -> Result<Playing> {
        let mut command = self.tunnel.a.command("env");
        let library = self.built.library.display();
        command.arg(format!("LD_LIBRARY_PATH={library}"));
        command.env("DISPLAY", &self.shown.display).env("__GLX_VENDOR_LIBRARY_NAME", "vmgl");
        command.env("VMGL_GL", format!("tcp:{}:{GL_PORT}", self.tunnel.b.address));
        command.env("__EGL_VENDOR_LIBRARY_FILENAMES", format!("{library}/vmgl.json"));
        let mut playing = self.start(&mut command, words, pace)?;
        let until = Instant::now() + PATIENCE;
        while self.stat(&playing).map_or(0.0, |stat| stat.frames) < BEGUN as f64 {
            if Instant::now() > until || playing.running.ended()? {
                bail!("{}", playing.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(playing)
    }

    /// Starts a program that draws with Mesa's software in the agent, with `more` in its environment.
    pub(crate) fn staying(&self, program: &Program, pace: Pace, more: &[(&str, &str)]) -> Result<Playing> {
        let mut command = self.tunnel.a.command("env");
        command.env("DISPLAY", &self.plain.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
        command.env("__GLX_VENDOR_LIBRARY_NAME", "mesa");
        command.args(more.iter().map(|(name, value)| format!("{name}={value}")));
        self.start(&mut command, program.words(&self.built.scene, pace), pace)
    }

    /// What the proxy says of a program of [`World::travelling`].
    fn told_of(&self, playing: &Playing) -> Result<Value> {
        let told = self.told()?;
        let programs = told["programs"].as_array().context("no programs")?;
        // Of a renderer that was lost something may be left.
        let own = |program: &&Value| {
            program["connected"] == true && program["pid"].as_u64() == Some(playing.running.id().into())
        };
        programs.iter().find(own).cloned().context("the proxy does not know the program")
    }

    /// For which commands it has waited so far: how often, and how many milliseconds.
    pub(super) fn waited(&self, playing: &Playing) -> Result<Waited> {
        let own = self.told_of(playing)?;
        let number = |it: &Value, name: &str| it[name].as_u64().unwrap_or(0);
        let all = own["waits"].as_object().context("no waits")?.iter();
        Ok(all.map(|(name, it)| (name.clone(), (number(it, "times"), number(it, "milliseconds")))).collect())
    }

    /// What the proxy counts of it.
    pub(super) fn stat(&self, playing: &Playing) -> Result<Stat> {
        let own = self.told_of(playing)?;
        let number = |name: &str| own[name].as_f64().with_context(|| format!("no {name}"));
        Ok(Stat {
            frames: number("frames")?,
            bytes: number("packed_bytes")?,
            waits: number("blocking")?,
            renderer: own["renderer_pid"]
                .as_u64()
                .and_then(|pid| pid.try_into().ok())
                .context("no renderer")?,
        })
    }

    /// A viewer at the desk that looks from now on and counts after `before`.
    pub(crate) fn looking(
        &self,
        at: &str,
        pixels: Pixels,
        (before, time): (Duration, Duration),
        picture: Option<&Path>,
    ) -> Result<Looking> {
        let mut command = self.viewer("look", at, pixels);
        command.args(["--seconds", &time.as_secs_f64().to_string()]);
        command.args(["--before", &before.as_secs_f64().to_string()]);
        if let Some(file) = picture {
            command.arg("--picture").arg(file);
        }
        Ok(Looking(Running::start(command.stdout(Stdio::piped()))?))
    }

    /// What `vmgl-bench` is told to be at the desk.
    pub(super) fn viewer(&self, what: &str, at: &str, pixels: Pixels) -> Command {
        let mut command = self.tunnel.b.command(&self.built.bench);
        let number = match pixels {
            Pixels::Raw => "0",
            Pixels::Zrle => "16",
        };
        command.args([what, at, "--encoding", number]);
        command
    }

    /// `vmgl-bench` at a side, with these words.
    pub(super) fn helper(&self, side: &Side, words: &[&str]) -> Result<Running> {
        Running::start(side.command(&self.built.bench).args(words).stdout(Stdio::null()))
    }

    /// Bytes that have gone over the line, both ways, headers and all.
    pub(crate) fn line_bytes(&self) -> Result<f64> {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.tunnel.a.namespace, "-s", "-j", "link", "show", "dev", crate::wan::DEVICE]);
        let said: Value = serde_json::from_str(&process::output(&mut ip)?).context("ip gave no JSON")?;
        let counts = &said[0]["stats64"];
        let bytes = |way: &str| counts[way]["bytes"].as_f64().context("ip told no bytes");
        Ok(bytes("tx")? + bytes("rx")?)
    }
}

/// The line between both sides.
pub(super) fn wan(rtt_ms: u64) -> Wan {
    Wan {
        rate: RATE,
        rtt: Duration::from_millis(rtt_ms),
        jitter: Duration::ZERO,
        loss: 0.0,
        queue: None,
        seed: 1,
        mtu: 1500,
        congestion: "cubic".to_owned(),
        offload: None,
    }
}

/// Xvnc by this command, for viewers at that address and port.
fn screen(mut command: Command, address: &str, port: u16) -> Result<Screen> {
    command.args(["-displayfd", "1", "-SecurityTypes", "None", "-depth", "24", "-geometry", SCREEN]);
    command.args(["-AlwaysShared", "-rfbport", &port.to_string()]).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let display = format!(":{}", running.line()?);
    Ok(Screen { running, display, at: format!("tcp:{address}:{port}") })
}

/// The proxy by this command, before that screen.
fn proxy(built: &Built, mut command: Command, upstream: &str, more: &[&str]) -> Result<Proxy> {
    let (ctl, door) = (built.path(), built.path());
    let at = format!("unix:{}", door.display());
    command.args(["serve", "--upstream", upstream, "--listen", &at, "--ctl"]).arg(&ctl).args(more);
    let running = Running::start(command.env("RUST_LOG", "error").stdout(Stdio::null()))?;
    wait("the proxy shows the agent's screen", || {
        ask(&ctl, &json!({ "do": "status" })).is_ok_and(|status| status["phase"] == "attached")
    })?;
    Ok(Proxy { running, ctl, at })
}
