//! TigerVNC's server.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Running, truth_of};

/// A TigerVNC server.
pub(crate) struct Xvnc {
    _running: Running,
    pub(crate) display: String,
    pub(crate) path: PathBuf,
}

impl Xvnc {
    pub(crate) fn start(path: PathBuf, size: &str) -> Self {
        Self::with(path, size, &["-SecurityTypes", "None"])
    }

    /// The same with further words on its command line.
    pub(crate) fn with(path: PathBuf, size: &str, more: &[&str]) -> Self {
        let mut child = Command::new("Xvnc")
            .args(["-displayfd", "1", "-rfbport", "-1", "-dpi", "96", "-geometry", size, "-depth", "24"])
            .arg("-rfbunixpath")
            .arg(&path)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvnc is installed by xtask setup");
        let mut number = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { _running: Running(child), display: format!(":{}", number.trim()), path }
    }

    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        Command::new(words[0]).args(&words[1..]).env("DISPLAY", &self.display).output().unwrap().stdout
    }

    pub(crate) fn paint(&self, size: &str, picture: &str) {
        self.run(&["display", "-size", size, "-window", "root", picture]);
    }

    /// What X itself says is on the screen.
    pub(crate) fn truth(&self) -> Vec<u32> {
        truth_of(&self.display)
    }

    /// Which keys and buttons X holds down, as `xinput` names them: `key[38]`, `button[1]`.
    pub(crate) fn held(&self) -> Vec<String> {
        let state = |device| String::from_utf8(self.run(&["xinput", "query-state", device])).unwrap();
        let states = state("TigerVNC keyboard") + &state("TigerVNC pointer");
        let down = states.lines().filter_map(|line| line.trim().strip_suffix("=down"));
        down.map(str::to_owned).collect()
    }
}
