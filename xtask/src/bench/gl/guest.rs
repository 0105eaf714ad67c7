//! An agent that is a machine without KVM: its programs drawn at this host by VMGL, beside the software that the machine has.
//!
//! The machine is the test guest, which has this host's own programs. Its network is QEMU's, with no distance: what is compared
//! is a translated processor that fills pixels with one that only says what is to be drawn. A script in the guest plays one
//! program after the other, until this process has seen enough of it and leaves a file that says so.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::Arguments;
use super::programs::{Pace, Program};
use super::world::Built;
use crate::bench::display::bar::Bar;
use crate::bench::display::stage::{Running, ask};
use crate::guest::{self, Options};

/// By default these: an effect, a light and a surface that refracts, all bound by pixels.
const USUAL: [&str; 3] = ["glmark2 effect2d", "glmark2 shading", "glmark2 refract"];
/// So many times the software's frames.
const TIMES: f64 = 5.0;
/// Longest wait for a program to draw: it is read over 9p, and compiles its shaders, all translated.
const PATIENCE: Duration = Duration::from_secs(150);
/// All of it.
const LIMIT: Duration = Duration::from_secs(520);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// As many frames as this are drawn before frames are counted.
const BEGUN: f64 = 10.0;
/// Where the guest finds this host.
const HOST: &str = "10.0.2.2";

/// Its network, its screen, its watcher; then `play NAME COMMAND…` for each program.
const SCRIPT: &str = r#"set -e
modprobe virtio_net
until [ -e /sys/class/net/eth0 ]; do sleep 0.2; done
ip link set lo up; ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2
export HOME=/tmp XDG_RUNTIME_DIR=/tmp
Xvnc -displayfd 5 -SecurityTypes None -depth 24 -geometry 640x480 -AlwaysShared -rfbport 5900 5>/tmp/display 2>/share/screen.log &
until [ -s /tmp/display ]; do sleep 0.2; done
export DISPLAY=:$(cat /tmp/display)
"$PROXY" gl watch --to "$GL" 2>/share/watch.log &
play() {
  name=$1; shift
  "$@" >/dev/null 2>"/share/$name.log" & pid=$!
  until [ -e "/share/$name.enough" ]; do
    kill -0 $pid || { echo "$name ended"; tail -3 "/share/$name.log"; exit 1; }
    sleep 0.3
  done
  kill -9 $pid; wait $pid || true
}
"#;

/// What is seen of a program, frames a second.
struct Rates {
    desk: f64,
    seen: f64,
    software: f64,
}

struct Desk {
    _proxy: Running,
    ctl: PathBuf,
    door: String,
    bench: PathBuf,
    share: PathBuf,
}

/// Programs in the guest, in both ways.
pub(super) fn measure(built: &Built, arguments: &Arguments) -> Result<Vec<Bar>> {
    crate::setup::ensure_guest()?;
    let programs = arguments.chosen(|program| USUAL.contains(&program.name));
    let share = built.path();
    std::fs::create_dir_all(&share)?;
    let (vnc, gl) = (free_port()?, free_port()?);
    let desk = Desk::start(built, &share, vnc, gl)?;
    let script = script(built, &programs, gl);
    let network = format!("user,id=net,hostfwd=tcp:127.0.0.1:{vnc}-:5900");
    let options = Options {
        memory_mib: 2048,
        scratch_bytes: 0,
        share,
        limit: LIMIT,
        translated: true,
        qemu: ["-netdev", &network, "-device", "virtio-net-pci,netdev=net"].map(str::to_owned).to_vec(),
        ..Options::default()
    };
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let all = thread::scope(|scope| {
        let guest = scope.spawn(|| guest::run(&command, &options));
        let played = desk.play(&programs, arguments.time(), &guest);
        if played.is_err() {
            // The script hurries to its end.
            (0..programs.len()).try_for_each(|at| desk.enough("desk", at).and(desk.enough("here", at)))?;
        }
        let ended = guest.join().map_err(|_| anyhow!("whoever runs the guest panicked"))?;
        let all = played?;
        ensure!(ended? == 0, "the guest's script failed");
        Ok(all)
    })?;
    println!("\na guest that is translated, no distance, as fast as it goes: frames a second");
    println!("  {:<24} {:>9} | {:>9} {:>9} {:>6}", "program", "software", "VMGL", "seen", "times");
    let tell = |(program, rates): (&&Program, &Rates)| {
        let Rates { desk, seen, software } = rates;
        let times = desk / software;
        println!("  {:<24} {software:>9.2} | {desk:>9.1} {seen:>9.1} {times:>6.1}", program.name);
        Bar::at_least(format!("{}, in a guest: VMGL's frames by its software's", program.name), times, TIMES)
    };
    Ok(programs.iter().zip(&all).map(tell).collect())
}

/// A port of this host's that nobody has.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn script(built: &Built, programs: &[&Program], gl: u16) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let proxy = quoted(&built.proxy().display().to_string());
    let mut script = format!("PROXY={proxy}\nGL=tcp:{HOST}:{gl}\n{SCRIPT}");
    for (at, program) in programs.iter().enumerate() {
        let words = program.words(built.scene(), Pace::Free);
        let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let library = built.library().display();
        let far = format!(
            "env LD_LIBRARY_PATH={library} __GLX_VENDOR_LIBRARY_NAME=vmgl VMGL_GL=\"$GL\" \
             __EGL_VENDOR_LIBRARY_FILENAMES={library}/vmgl.json vblank_mode=0"
        );
        let here = format!(
            "env LIBGL_ALWAYS_SOFTWARE=1 __GLX_VENDOR_LIBRARY_NAME=mesa vblank_mode=0 GALLIUM_HUD=fps \
             GALLIUM_HUD_PERIOD=0.25 GALLIUM_HUD_VISIBLE=false GALLIUM_HUD_DUMP_DIR=/share/rates{at}"
        );
        script +=
            &format!("play desk{at} {far} {words}\nmkdir /share/rates{at}\nplay here{at} {here} {words}\n");
    }
    script
}

type Guest<'g> = ScopedJoinHandle<'g, Result<i32>>;

impl Desk {
    fn start(built: &Built, share: &Path, vnc: u16, gl: u16) -> Result<Self> {
        let (ctl, door) = (built.path(), built.path());
        let door = format!("unix:{}", door.display());
        let mut proxy = Command::new(built.proxy());
        proxy.args(["serve", "--upstream", &format!("tcp:127.0.0.1:{vnc}"), "--listen", &door, "--ctl"]);
        proxy.arg(&ctl).args(["--gl-listen", &format!("tcp:127.0.0.1:{gl}")]);
        let proxy = Running::start(proxy.env("RUST_LOG", "error").stdout(Stdio::null()))?;
        Ok(Self { _proxy: proxy, ctl, door, bench: built.bench().to_owned(), share: share.to_owned() })
    }

    fn play(&self, programs: &[&Program], time: Duration, guest: &Guest<'_>) -> Result<Vec<Rates>> {
        let one = |at: usize| {
            let (desk, seen) = self.drawn(time, guest)?;
            self.enough("desk", at)?;
            let software = self.software(&self.share.join(format!("rates{at}/fps")), time, guest)?;
            self.enough("here", at)?;
            Ok(Rates { desk, seen, software })
        };
        (0..programs.len()).map(one).collect()
    }

    /// Has the script end a program.
    fn enough(&self, name: &str, at: usize) -> Result<()> {
        Ok(std::fs::write(self.share.join(format!("{name}{at}.enough")), "")?)
    }

    /// Frames of the program that is connected; none if none is.
    fn frames(&self) -> Option<f64> {
        let told = ask(&self.ctl, &json!({ "do": "gl" })).ok()?;
        let programs = told["programs"].as_array()?;
        programs.iter().find(|it| it["connected"] == true)?["frames"].as_f64()
    }

    /// Frames a second that were given to the proxy, and those that a viewer saw.
    fn drawn(&self, time: Duration, guest: &Guest<'_>) -> Result<(f64, f64)> {
        wait("a program of the guest's draws at the desk", guest, || {
            self.frames().is_some_and(|frames| frames >= BEGUN)
        })?;
        let mut look = Command::new(&self.bench);
        look.args(["look", &self.door, "--encoding", "0", "--before", "0.5", "--seconds"]);
        look.arg(time.as_secs_f64().to_string());
        let mut looking = Running::start(look.stdout(Stdio::piped()))?;
        thread::sleep(Duration::from_millis(500));
        let (before, began) = (self.frames().context("the program has gone")?, Instant::now());
        thread::sleep(time);
        let (after, passed) = (self.frames().context("the program has gone")?, began.elapsed());
        let said: Value = serde_json::from_str(&looking.said()?).context("the viewer gave no report")?;
        let number = |name: &str| said[name].as_f64().context("the viewer's report lacks a number");
        Ok(((after - before) / passed.as_secs_f64(), number("changes")? / number("seconds")?))
    }

    /// What Mesa in the guest tells of its frames a second, in so long a time, or of the next two where they take longer.
    fn software(&self, file: &Path, time: Duration, guest: &Guest<'_>) -> Result<f64> {
        let rates = || -> Vec<f64> {
            let said = std::fs::read_to_string(file).unwrap_or_default();
            said.lines().filter_map(|line| line.trim().parse().ok()).collect()
        };
        wait("a program of the guest's draws there", guest, || rates().len() >= 2)?;
        let (before, began) = (rates().len(), Instant::now());
        wait("it draws on", guest, || began.elapsed() >= time && rates().len() >= before + 2)?;
        let rates = rates().split_off(before);
        Ok(rates.iter().sum::<f64>() / rates.len() as f64)
    }
}

fn wait(what: &str, guest: &Guest<'_>, is_so: impl Fn() -> bool) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if guest.is_finished() || Instant::now() > until {
            bail!("not seen: {what}");
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
