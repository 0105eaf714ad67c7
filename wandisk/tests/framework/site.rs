//! One site: the real program with a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::{Export, SOON, eventually, kill, number, shown};

/// Longest time of one command, in seconds.
const PATIENCE: &str = "150";

pub struct Site {
    home: PathBuf,
    name: String,
    /// For its commands, and the keepers that they start.
    env: Vec<(&'static str, PathBuf)>,
}

/// A command that failed, as a program sees it.
pub struct Failed {
    pub code: i32,
    /// The sentence and the hint.
    pub text: String,
}

impl Failed {
    /// The words are all in the sentence or its hint.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> &Failed {
        for word in words {
            assert!(self.text.contains(word), "{word:?} is not in: {}", self.text);
        }
        self
    }
}

/// The program: the guest has its own copy.
pub fn program() -> PathBuf {
    std::env::var_os("WANDISK_BIN").map_or_else(|| env!("CARGO_BIN_EXE_wandisk").into(), PathBuf::from)
}

impl Site {
    pub fn init(home: PathBuf, name: &str) -> Site {
        let site = Site::at(home, name);
        site.ok(["init", "--site", name]);
        site
    }

    /// A site that was made before.
    pub fn at(home: PathBuf, name: &str) -> Site {
        Site { home, name: name.to_owned(), env: Vec::new() }
    }

    /// From now on its commands have this in their environment.
    pub fn set_env(&mut self, name: &'static str, value: PathBuf) {
        self.env.push((name, value));
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A file of a disk at this site.
    pub fn disk_file(&self, disk: &str, file: &str) -> PathBuf {
        self.home.join("disks").join(disk).join(file)
    }

    pub fn data(&self, disk: &str) -> PathBuf {
        self.disk_file(disk, "data.img")
    }

    pub fn has_folder(&self, disk: &str) -> bool {
        self.home.join("disks").join(disk).exists()
    }

    /// The command that serves this site.
    pub fn serve_command(&self) -> Command {
        let mut command = Command::new(program());
        command.arg("--home").arg(&self.home).args(["serve", "--stdio"]);
        command
    }

    /// Adds another site by a plain link that nobody cuts.
    pub fn knows(&self, other: &Site) {
        let serve = format!("cmd:{} --home {} serve --stdio", program().display(), other.home.display());
        self.ok(["site", "add", &other.name, &serve]);
    }

    /// The command as it would be typed here; it is killed if it does not end.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", PATIENCE]).arg(program()).arg("--home").arg(&self.home).args(args);
        command.stdin(Stdio::null()).env_remove("WANDISK_HOME").env_remove("WANDISK_LOG");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts a command without waiting for it.
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// It works; gives what it printed.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&args);
        assert!(output.status.success(), "at {}: {args:?}: {}: {}", self.name, output.status, shown(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// It works with `--json`; gives the result.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let args = args.into_iter().map(|a| a.as_ref().to_owned());
        let text = self.ok(std::iter::once("--json".into()).chain(args));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// It fails, in words and in JSON alike; nothing is printed to standard output but the JSON.
    #[track_caller]
    pub fn fails<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Failed {
        let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = self.run(&args);
        failed(&format!("at {}: {args:?}", self.name), &output)
    }

    #[track_caller]
    pub fn status(&self, disk: &str) -> Value {
        self.json(["status", disk])
    }

    /// One of the numbers of chunks.
    #[track_caller]
    pub fn chunks(&self, disk: &str, which: &str) -> u64 {
        number(&self.status(disk)["chunks"][which])
    }

    #[track_caller]
    pub fn is_resident(&self, disk: &str) -> bool {
        self.status(disk)["residency"] == "resident"
    }

    /// Attaches over NBD.
    #[track_caller]
    pub fn attach(&self, disk: &str) -> Export {
        self.attach_with(disk, &[])
    }

    #[track_caller]
    pub fn attach_with(&self, disk: &str, more: &[&str]) -> Export {
        let args = ["attach", disk, "--nbd"].into_iter().chain(more.iter().copied());
        let value = self.json(args);
        Export::new(value["uri"].as_str().unwrap())
    }

    #[track_caller]
    pub fn detach(&self, disk: &str) {
        self.ok(["detach", disk]);
    }

    /// Process id of the disk's keeper; one is started where none runs.
    #[track_caller]
    pub fn keeper(&self, disk: &str) -> u32 {
        u32::try_from(number(&self.status(disk)["pid"])).unwrap()
    }

    /// kill -9 of the keeper; waits until it is gone.
    #[track_caller]
    pub fn kill_keeper(&self, disk: &str) {
        let pid = self.keeper(disk);
        kill(pid, rustix::process::Signal::KILL);
        eventually("the keeper is dead", SOON, || is_gone(pid));
    }
}

/// Gone, or a zombie that nobody has waited for.
pub fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[track_caller]
pub fn failed(what: &str, output: &Output) -> Failed {
    let text = shown(output);
    let code = output.status.code().unwrap_or_else(|| panic!("{what}: killed: {text}"));
    assert!(code == 1 || code == 2, "{what}: exit code {code}: {text}");
    assert!(!text.trim().is_empty(), "{what}: fails without a word");
    assert!(!text.contains("panicked"), "{what}: {text}");
    Failed { code, text }
}
