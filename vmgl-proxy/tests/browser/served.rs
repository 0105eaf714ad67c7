//! A proxy with its doors for viewers and browsers both open.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{io::BufRead, io::BufReader};

use serde_json::Value;

use crate::peers::{Running, eventually, unix};

/// The proxy.
pub(crate) struct Served {
    _running: Running,
    pub(crate) door: PathBuf,
    /// `127.0.0.1:PORT` of its page.
    pub(crate) at: String,
    ctl: PathBuf,
}

impl Served {
    pub(crate) fn start(dir: &Path, upstream: &Path, more: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
        Self::start_program(program, dir, upstream, "127.0.0.1:0", more)
    }

    /// Another copy of the program, its page at an address of choice.
    pub(crate) fn start_program(
        program: &Path,
        dir: &Path,
        upstream: &Path,
        at: &str,
        more: &[&str],
    ) -> Self {
        let (door, ctl) = (dir.join("door"), dir.join("ctl"));
        let mut child = Command::new(program)
            .args(["serve", "--upstream", &unix(upstream), "--listen", &unix(&door)])
            .args(["--ws", &format!("tcp:{at}"), "--ctl"])
            .arg(&ctl)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().unwrap().starts_with("listening unix:"));
        let url = lines.next().unwrap();
        let at = url.strip_prefix("browse http://").and_then(|rest| rest.strip_suffix('/')).expect(&url);
        let proxy = Self { _running: Running(child), door, at: at.to_owned(), ctl };
        eventually("the proxy answers at its ctl", || proxy.ctl(&["status"]).ok());
        proxy
    }

    /// What `vmgl-proxy ctl` says.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<Value, String> {
        let program = env!("CARGO_BIN_EXE_vmgl-proxy");
        let done = Command::new(program).arg("ctl").arg(&self.ctl).args(words).output().unwrap();
        if done.status.success() {
            return Ok(serde_json::from_slice(&done.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// How many viewers there are.
    pub(crate) fn viewers(&self) -> usize {
        self.ctl(&["viewers"]).unwrap().as_array().unwrap().len()
    }
}
