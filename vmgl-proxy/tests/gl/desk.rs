//! A desk: an X server as the agent's, the proxy with its door for OpenGL, the watcher, and a viewer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use serde_json::Value;
use vmgl_rfb::{Encoding, Framebuffer};

use crate::peers::{Proxy, Running, Viewer, Xvnc, eventually, unix};

/// All of it.
pub(crate) struct Desk {
    pub(crate) server: Rc<Xvnc>,
    pub(crate) proxy: Proxy,
    pub(crate) viewer: Viewer,
    pub(crate) door: PathBuf,
    watcher: Option<Running>,
    _dir: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new(size: &str) -> Self {
        Self::with(size, &[])
    }

    /// With more words for the proxy.
    pub(crate) fn with(size: &str, words: &[&str]) -> Self {
        let mut desk = Self::unwatched(size, words);
        desk.watch();
        desk
    }

    /// Starts its watcher.
    pub(crate) fn watch(&mut self) {
        self.watcher = Some(watcher(&self.server.display, &self.door));
        eventually("the watcher is there", || (self.stat()["watched"] == true).then_some(()));
    }

    /// Without a watcher.
    pub(crate) fn unwatched(size: &str, words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Rc::new(Xvnc::start(dir.path().join("vnc"), size));
        Self::of(server, dir, words)
    }

    /// Another desk for the same agent, which nobody tells yet where windows are.
    pub(crate) fn another(&self) -> Self {
        Self::of(Rc::clone(&self.server), tempfile::tempdir().unwrap(), &[])
    }

    fn of(server: Rc<Xvnc>, dir: tempfile::TempDir, words: &[&str]) -> Self {
        let door = dir.path().join("gl");
        let trace = dir.path().join("trace");
        let door_word = unix(&door);
        let mut more = vec!["--gl-listen", &door_word, "--trace", trace.to_str().unwrap()];
        more.extend(words);
        let proxy = Proxy::start(dir.path(), &server.path, &more);
        proxy.attached();
        let viewer = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
        Self { server, proxy, viewer, door, watcher: None, _dir: dir }
    }

    /// What `vmgl-proxy gl stat` says.
    pub(crate) fn stat(&self) -> Value {
        self.ask("stat", &[])
    }

    /// All renderers are to be replaced.
    pub(crate) fn renew(&self) {
        assert_eq!(self.ask("renew", &[])["told"], 1);
    }

    /// All programs are to go on at the proxy with this door.
    pub(crate) fn send_to(&self, door: &Path) {
        assert_eq!(self.ask("renew", &["--to", &unix(door)])["told"], 1);
    }

    /// All programs are to go, and nobody comes any more.
    pub(crate) fn leave(&self) {
        let said = self.ask("leave", &[]);
        assert_eq!((&said["told"], &said["stay"]), (&1.into(), &0.into()));
    }

    fn ask(&self, what: &str, words: &[&str]) -> Value {
        let mut ask = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
        ask.args(["gl", what]).arg(self.proxy.door.with_file_name("ctl")).args(words);
        let done = ask.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// How many updates of the screen the sensors have heard of, of so many pixels.
    pub(crate) fn updates(&self, area: u64) -> usize {
        let trace = std::fs::read_to_string(self.proxy.door.with_file_name("trace")).unwrap();
        let update = format!(r#""e":"update","area":{area}}}"#);
        trace.lines().filter(|line| line.ends_with(&update)).count()
    }

    /// The process that draws for the only program.
    pub(crate) fn renderer(&self) -> String {
        self.program()["renderer_pid"].to_string()
    }

    /// The program that is connected: of one that has just ended there may be something left.
    pub(crate) fn program(&self) -> Value {
        let stat = self.stat();
        let programs = stat["programs"].as_array().unwrap();
        programs.iter().find(|program| program["connected"] == true).cloned().unwrap_or_default()
    }

    /// How many pictures the program with that process has completed.
    pub(crate) fn frames(&self, pid: u32) -> u64 {
        let stat = self.stat();
        let own = stat["programs"].as_array().unwrap().iter().filter(|program| program["pid"] == pid);
        own.filter_map(|program| program["frames"].as_u64()).max().unwrap_or(0)
    }

    /// Waits until the viewer has these colours at these places.
    pub(crate) fn sees(&mut self, what: &str, places: &[((u16, u16), u32)]) {
        self.viewer.sees(what, |shown| places.iter().all(|((x, y), colour)| pixel(shown, *x, *y) == *colour));
    }
}

pub(crate) fn pixel(shown: &Framebuffer, x: u16, y: u16) -> u32 {
    shown.row(x, y, 1)[0]
}

pub(crate) fn watcher(display: &str, door: &Path) -> Running {
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
    watcher.args(["gl", "watch", "--display", display, "--to", &unix(door)]);
    Running(watcher.stdout(Stdio::null()).spawn().unwrap())
}
