//! X screens without VNC, programs on them, and VNC programs of other makers.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Running, eventually};

/// What X itself says is on the screen, `0x00RRGGBB`.
pub(crate) fn truth_of(display: &str) -> Vec<u32> {
    let mut import = Command::new("import");
    import.args(["-display", display, "-window", "root", "-depth", "8", "rgb:-"]);
    let rgb = import.output().unwrap().stdout;
    rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b])).collect()
}

/// An X screen without VNC.
pub(crate) struct Xvfb {
    _running: Running,
    pub(crate) display: String,
}

impl Xvfb {
    pub(crate) fn start(size: &str) -> Self {
        // It would begin anew when its last client has gone, and whoever connects just then is thrown out.
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-noreset", "-dpi", "96", "-screen", "0", &format!("{size}x24")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed by xtask setup");
        let mut number = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { _running: Running(child), display: format!(":{}", number.trim()) }
    }

    pub(crate) fn truth(&self) -> Vec<u32> {
        truth_of(&self.display)
    }

    pub(crate) fn paint(&self, size: &str, picture: &str) {
        let mut paint = Command::new("display");
        paint.args(["-size", size, "-window", "root", picture]).env("DISPLAY", &self.display);
        paint.output().unwrap();
    }
}

/// TigerVNC's viewer, which fills its screen with what `door` shows.
pub(crate) fn vncviewer(screen: &Xvfb, door: &Path, more: &[&str]) -> Running {
    let mut viewer = Command::new("vncviewer");
    viewer.args(["-AutoSelect=0", "-NoJpeg=1", "-RemoteResize=0", "-FullScreen=1", "-MenuKey="]);
    viewer.args(more).arg(door).env("DISPLAY", &screen.display).env("HOME", door.parent().unwrap());
    Running(viewer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// An x11vnc: a server that sends nothing that it was not asked for.
pub(crate) struct X11vnc {
    _running: Running,
    pub(crate) path: PathBuf,
}

impl X11vnc {
    pub(crate) fn start(screen: &Xvfb, path: PathBuf, more: &[&str]) -> Self {
        let mut child = Command::new("x11vnc");
        child.args(["-display", &screen.display, "-rfbport", "0", "-noipv6", "-q", "-forever", "-shared"]);
        child.arg("-unixsock").arg(&path).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(child.spawn().expect("x11vnc is installed by xtask setup"));
        eventually("x11vnc listens", || path.exists().then_some(()));
        Self { _running: running, path }
    }
}

/// Programs that draw, of different kinds, until they are stopped.
pub(crate) struct Programs(Vec<Running>);

impl Programs {
    /// A terminal with an editor, gears in OpenGL, and a screen saver, side by side on 800 x 600.
    pub(crate) fn start(display: &str) -> Self {
        let spawn = |words: &[&str]| {
            let mut program = Command::new(words[0]);
            program.args(&words[1..]).env("DISPLAY", display).stdout(Stdio::null()).stderr(Stdio::null());
            Running(program.spawn().unwrap_or_else(|fault| panic!("{}: {fault}", words[0])))
        };
        Self(vec![
            spawn(&["xterm", "-geometry", "50x20+0+0", "-e", "nano", "--view", "/etc/services"]),
            spawn(&["glxgears", "-geometry", "200x200+450+0"]),
            spawn(&["/usr/libexec/xscreensaver/popsquares", "-geometry", "300x200+450+300"]),
        ])
    }

    /// Stops them where they are.
    pub(crate) fn stop(&self) {
        for program in &self.0 {
            let id = program.0.id().to_string();
            assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
        }
    }
}
