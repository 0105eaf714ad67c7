//! Two sites, what stands between them, and the judge.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_init::{BLOCK, SLOTS, number, place};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use test_guard::Guard;

use crate::boot;

/// Only a failure takes so long.
pub const SOON: Duration = Duration::from_secs(60);
/// Of a log, what a test that fails shows.
const LOG_END: usize = 4000;
/// Bytes of memory that a link carries before it is held.
const SOME: u64 = 1 << 20;
/// The agent's name.
pub const AGENT: &str = "vm";

#[track_caller]
pub fn eventually(what: &str, cond: impl FnMut() -> bool) {
    eventually_within(SOON, what, cond);
}

#[track_caller]
pub fn eventually_within(limit: Duration, what: &str, mut cond: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !cond() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn snowbird() -> PathBuf {
    env!("CARGO_BIN_EXE_snowbird").into()
}

/// A program that `cargo build -p …`, or building the workspace, put beside ours.
pub fn beside(name: &str) -> PathBuf {
    let program = snowbird().with_file_name(name);
    assert!(program.exists(), "{name} is missing beside snowbird: cargo build -p {name}");
    program
}

fn wandisk() -> PathBuf {
    beside("wandisk")
}

pub fn script(file: &Path, text: &str) {
    std::fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Both sites and the agent.
pub struct World {
    pub judge: Judge,
    /// Ends what was started here when the test cannot.
    _guard: Guard,
    dir: TempDir,
    /// Sites that have QEMU 10; the others have the machine's own.
    newer: &'static [&'static str],
}

/// The folder of QEMU 10. (Before 9 a translated machine stands while its memory is copied.)
fn newer_qemu() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/guest/qemu-10/bin");
    assert!(folder.is_dir(), "QEMU 10 is missing: cargo xtask setup");
    folder
}

impl World {
    /// Two sites and an agent at `a`, which runs.
    pub fn with_agent() -> World {
        World::with_agent_on(World::new(), &["--size", "8M"])
    }

    /// The same, with the disk that `source` says.
    pub fn with_agent_on(world: World, source: &[&str]) -> World {
        World::begin(world, "96M", source, "")
    }

    /// The same, with more on its kernel's command line, and a gateway of this kind at home.
    pub fn with_agent_behind(gateway: &str, words: &str) -> World {
        let world = World::new();
        world.create("96M", &["--size", "8M"], words);
        world.ok("a", &["net", AGENT, "gateway", gateway]);
        world.launch()
    }

    /// The same, with more on its kernel's command line.
    pub fn with_agent_told(words: &str) -> World {
        World::begin(World::new(), "96M", &["--size", "8M"], words)
    }

    /// The same, by UEFI, with a CD.
    pub fn with_agent_by_uefi(cdrom: &str) -> World {
        World::begin(World::new(), "256M", &["--size", "8M", "--uefi", "--cdrom", cdrom], "")
    }

    fn begin(world: World, memory: &str, source: &[&str], words: &str) -> World {
        world.create(memory, source, words);
        world.launch()
    }

    /// A new world's agent at `a`, which runs, has so much memory, and has more in its first root.
    pub fn with_agent_that_has(self, extras: &[boot::Extra], memory: &str) -> World {
        self.create_with(memory, &["--size", "8M"], "", extras);
        self.launch()
    }

    fn create(&self, memory: &str, source: &[&str], words: &str) {
        self.create_with(memory, source, words, &[]);
    }

    /// An agent at `a` that has so much memory, the disk that `source` says, and more on its kernel's command line and in its first root.
    pub fn create_with(&self, memory: &str, source: &[&str], words: &str, extras: &[boot::Extra]) {
        let root = self.file("root.cpio");
        boot::initramfs(&root, extras);
        let kernel = self.file("vmlinuz");
        std::fs::copy(boot::kernel(), &kernel).unwrap();
        let (kernel, root) = (kernel.to_str().unwrap(), root.to_str().unwrap());
        let append = format!("console=ttyS0 quiet panic=-1 rdinit=/init {words}");
        let machine = ["create", AGENT, "--memory", memory, "--vcpus", "1", "--accelerator", "tcg"];
        self.ok(
            "a",
            &[&machine[..], source, &["--kernel", kernel, "--initrd", root, "--append", &append]].concat(),
        );
    }

    /// Its agent runs at `a`.
    pub fn launch(self) -> World {
        self.ok("a", &["launch", AGENT]);
        self.judge.goes_on_at("a");
        self
    }

    pub fn new() -> World {
        World::with_newer_qemu(&[])
    }

    /// These sites have QEMU 10; where both have, an agent goes on while its memory is copied.
    pub fn with_newer_qemu(newer: &'static [&'static str]) -> World {
        let dir = tempfile::Builder::new().prefix("s").rand_bytes(5).tempdir().unwrap();
        let at = dir.path().display().to_string();
        // The link, which can be cut, and what stands before each site's wandisk. Of an agent's memory it can be had to carry some and
        // then no more; what is said first tells whether it is that.
        let some = format!("head -c {SOME}; while [ -e {at}/hold ]; do sleep 0.05; done");
        script(
            &dir.path().join("link"),
            &format!(
                "[ -e {at}/cut ] && exit 1\necho $$ >> {at}/links\n\
                 case \"$*\" in *' host '*) ;; *) exec \"$@\" ;; esac\n[ -e {at}/hold ] || exec \"$@\"\n\
                 mkfifo {at}/held.$$ && exec 3<&0\n\
                 {{ read -r first; printf '%s\\n' \"$first\"; case \"$first\" in *'\"open\":\"memory\"'*) {some} ;; esac; exec cat; }} \
                 <&3 > {at}/held.$$ &\n\
                 echo $! >> {at}/links\nexec \"$@\" < {at}/held.$$ 3<&-"
            ),
        );
        for site in ["a", "b"] {
            let real = wandisk();
            let text = format!(
                "real={}\nhook={at}/hook-{site}\n[ -e $hook ] && . $hook\nexec $real \"$@\"",
                real.display()
            );
            script(&dir.path().join(format!("wandisk-{site}")), &text);
        }
        let (judge, guard) = (Judge::listen(dir.path()), Guard::of(dir.path()).unwrap());
        let world = World { judge, _guard: guard, dir, newer };
        for (site, other) in [("a", "b"), ("b", "a")] {
            world.wandisk(site, &["init", "--site", site]);
            let path = world.path(other).map_or(String::new(), |path| format!(" PATH={path}"));
            let address = format!("cmd:env SNOWBIRD_WANDISK={at}/wandisk-{other}{path} {at}/link");
            let far = [world.home(other).display().to_string(), wandisk().display().to_string()];
            let args =
                ["site", "add", other, &address, "--remote-home", &far[0], "--remote-wandisk", &far[1]];
            world.wandisk(site, &args);
        }
        world
    }

    /// A third site, `c`, at which nothing runs: it holds disks. The others know it by a link of its own (`link-c`).
    pub fn add_third(&self) {
        let at = self.dir.path().display().to_string();
        script(
            &self.file("link-c"),
            &format!("[ -e {at}/cut-c ] && exit 1\necho $$ >> {at}/links-c\nexec \"$@\""),
        );
        self.wandisk("c", &["init", "--site", "c"]);
        let far = [self.home("c").display().to_string(), wandisk().display().to_string()];
        for site in ["a", "b"] {
            let address = format!("cmd:env {at}/link-c");
            self.wandisk(
                site,
                &["site", "add", "c", &address, "--remote-home", &far[0], "--remote-wandisk", &far[1]],
            );
        }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn home(&self, site: &str) -> PathBuf {
        self.file(site)
    }

    pub fn wandisk(&self, site: &str, args: &[&str]) -> Value {
        let mut command = Command::new(wandisk());
        command.arg("--home").arg(self.home(site)).arg("--json").args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "wandisk {args:?}: {}", shown(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn command(&self, site: &str, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120"]).arg(snowbird());
        self.finish(command, site, args)
    }

    /// One that does not end by itself.
    pub fn command_for_long(&self, site: &str, args: &[&str]) -> Command {
        self.finish(Command::new(snowbird()), site, args)
    }

    /// What a person is told: it works.
    #[track_caller]
    #[allow(dead_code, reason = "not every test looks at words")]
    pub fn text(&self, site: &str, args: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120"]).arg(snowbird()).arg("--home").arg(self.home(site));
        command.arg("--wandisk").arg(self.file(&format!("wandisk-{site}"))).args(args);
        command.stdin(Stdio::null()).env_remove("SNOWBIRD_HOME");
        let output = command.output().unwrap();
        assert!(output.status.success(), "at {site}: {args:?}: {}", shown(&output));
        shown(&output)
    }

    fn finish(&self, mut command: Command, site: &str, args: &[&str]) -> Command {
        command.arg("--home").arg(self.home(site));
        command.arg("--wandisk").arg(self.file(&format!("wandisk-{site}"))).arg("--json").args(args);
        command.stdin(Stdio::null()).env_remove("SNOWBIRD_HOME");
        if let Some(path) = self.path(site) {
            command.env("PATH", path);
        }
        command
    }

    /// Where a site's programs are, if they are not where this machine's are.
    fn path(&self, site: &str) -> Option<String> {
        if self.newer.is_empty() {
            return None;
        }
        let own = std::env::var("PATH").unwrap();
        Some(if self.newer.contains(&site) { format!("{}:{own}", newer_qemu().display()) } else { own })
    }

    pub fn run(&self, site: &str, args: &[&str]) -> Output {
        self.command(site, args).output().unwrap()
    }

    #[track_caller]
    pub fn ok(&self, site: &str, args: &[&str]) -> Value {
        let output = self.run(site, args);
        assert!(output.status.success(), "at {site}: {args:?}: {}", shown(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// It fails with exit code 1; gives its sentence.
    #[track_caller]
    pub fn fails(&self, site: &str, args: &[&str]) -> String {
        self.refused(site, args).0
    }

    /// The same with what to do about it.
    #[track_caller]
    pub fn refused(&self, site: &str, args: &[&str]) -> (String, String) {
        let output = self.run(site, args);
        assert_eq!(output.status.code(), Some(1), "at {site}: {args:?}: {}", shown(&output));
        let error: Value = serde_json::from_slice(&output.stdout).unwrap();
        let hint = error["hint"].as_str().unwrap_or_default();
        (error["error"].as_str().unwrap().to_owned(), hint.to_owned())
    }

    pub fn state(&self, site: &str) -> String {
        self.ok(site, &["status", AGENT])["state"].as_str().unwrap().to_owned()
    }

    /// What the next calls of wandisk at a site do first: shell, with `$4` the command and `$real` the program.
    pub fn hook(&self, site: &str, shell: &str) {
        let file = self.file(&format!("hook-{site}"));
        std::fs::write(file.with_extension("new"), format!("{shell}\n")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's file need not survive a crash")]
        std::fs::rename(file.with_extension("new"), &file).unwrap();
    }

    /// Cuts the link, or mends it.
    pub fn cut(&self, cut: bool) {
        if cut {
            std::fs::write(self.file("cut"), "").unwrap();
        } else {
            std::fs::remove_file(self.file("cut")).unwrap();
        }
    }

    /// A part of an agent's memory goes over each link that is made from now on, and no more; or all of it.
    pub fn hold(&self, hold: bool) {
        let file = self.file("hold");
        if hold { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
    }

    /// From a site memory is being copied for the first time, some of it is at the other one, and the agent does not stand for it.
    pub fn is_copied_from(&self, site: &str) -> bool {
        let output = self.run(site, &["status", AGENT]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let (moving, memory) = (&status["moving"], &status["migration"]);
        moving["stands"] == false && memory["passes"] == 1 && memory["bytes"].as_u64() > Some(SOME)
    }

    /// Cuts the link, and ends what goes through it now.
    pub fn sever(&self) {
        self.cut(true);
        self.end_links("links");
    }

    /// Cuts the third site off, or lets it be reached again.
    pub fn cut_third(&self, cut: bool) {
        if cut {
            std::fs::write(self.file("cut-c"), "").unwrap();
            self.end_links("links-c");
        } else {
            std::fs::remove_file(self.file("cut-c")).unwrap();
        }
    }

    fn end_links(&self, list: &str) {
        let pids = std::fs::read_to_string(self.file(list)).unwrap_or_default();
        pids.lines()
            .filter_map(|pid| pid.parse().ok())
            .filter(|pid| self.processes("").contains(pid))
            .for_each(kill);
    }

    /// Process ids of this world whose command line has this word.
    pub fn processes(&self, word: &str) -> Vec<i32> {
        let folder = self.dir.path().to_str().unwrap();
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                (line.contains(folder) || cwd.starts_with(folder)) && line.contains(word)
            })
            .collect()
    }

    /// Those of a site: their command line names something in its folder, or they work there and it names no other site's. (Who was
    /// begun over a link may work in the folder of whoever dialled.)
    pub fn processes_at(&self, site: &str, word: &str) -> Vec<i32> {
        let homes = ["a", "b", "c"].map(|site| (site, self.home(site)));
        let of = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let named =
                homes.iter().find(|(_, home)| words.iter().any(|word| Path::new(&**word).starts_with(home)));
            let works = homes.iter().find(|(_, home)| cwd.starts_with(home));
            named.or(works).is_some_and(|(found, _)| *found == site)
        };
        self.processes(word).into_iter().filter(of).collect()
    }

    /// Shuts the guest down from inside, and compares the disk with what it said.
    pub fn end_at(&self, site: &str) {
        self.judge.say(site, "off");
        eventually("the guest is off, and its disk let go", || {
            let status = self.ok(site, &["status", AGENT]);
            status["state"] == "off" && status["disk"]["attached"] == false
        });
        let file = self.file("disk.raw");
        self.wandisk(site, &["export", AGENT, file.to_str().unwrap()]);
        self.judge.compare(&std::fs::read(file).unwrap());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for site in ["a", "b"] {
                eprintln!("--- at {site}: {}", shown(&self.run(site, &["log", AGENT])));
                for log in ["qemu.log", "view.log", "daemons.log"] {
                    let said = std::fs::read(self.home(site).join("agents").join(AGENT).join(log));
                    let said = said.unwrap_or_default();
                    let end = &said[said.len().saturating_sub(LOG_END)..];
                    eprintln!("{log}: {}", String::from_utf8_lossy(end));
                }
            }
            let told = self.judge.told.lock().unwrap();
            let (counted, said): (Vec<_>, Vec<_>) =
                told.lines.iter().rev().partition(|line| line.contains(": at "));
            eprintln!("--- judge, the newest first: {:?}", counted.into_iter().take(10).collect::<Vec<_>>());
            eprintln!("{:?}", said.into_iter().take(40).collect::<Vec<_>>());
        }
        self.judge.end.store(true, Ordering::SeqCst);
        // Supervisors, QEMUs and keepers are daemons of this folder.
        eventually("every process of this test is gone", || {
            let left = self.processes("");
            for pid in &left {
                kill(*pid);
            }
            left.is_empty()
        });
    }
}

pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).ok();
}

pub fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[derive(Default)]
struct Told {
    /// Where each number was said.
    said: BTreeMap<u64, &'static str>,
    wrong: Vec<String>,
    lines: Vec<String>,
    /// What is to be typed at a site.
    typed: HashMap<String, String>,
}

/// Hears what the agent says at both sites.
pub struct Judge {
    told: Arc<Mutex<Told>>,
    end: Arc<AtomicBool>,
}

fn console(folder: &Path, site: &str) -> PathBuf {
    folder.join(site).join("agents").join(AGENT).join("console.sock")
}

impl Judge {
    fn listen(folder: &Path) -> Judge {
        let told = Arc::new(Mutex::new(Told::default()));
        let end = Arc::new(AtomicBool::new(false));
        for site in ["a", "b"] {
            let (told, end, path) = (Arc::clone(&told), Arc::clone(&end), console(folder, site));
            std::thread::spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    if let Ok(stream) = UnixStream::connect(&path) {
                        hear(site, stream, &told);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        Judge { told, end }
    }

    /// Types a line at the agent; the port has one listener at a time, which does it.
    pub fn say(&self, site: &str, word: &str) {
        self.told.lock().unwrap().typed.insert(site.to_owned(), word.to_owned());
    }

    /// The agent says that this was typed at its keyboard while it was at this site.
    #[track_caller]
    pub fn heard(&self, site: &str, word: &str) {
        let line = format!("{site}: typed {word}");
        eventually(&line, || self.told.lock().unwrap().lines.contains(&line));
    }

    /// The agent said this line there.
    pub fn said(&self, site: &str, line: &str) -> bool {
        self.told.lock().unwrap().lines.contains(&format!("{site}: {line}"))
    }

    /// The first line that it said there and that begins so.
    pub fn begins(&self, site: &str, word: &str) -> Option<String> {
        let (told, begins) = (self.told.lock().unwrap(), format!("{site}: {word}"));
        let line = told.lines.iter().find(|line| line.starts_with(&begins))?;
        line.split_once(": ").map(|(_, said)| said.to_owned())
    }

    /// How often it said that it had a far block.
    pub fn looked(&self) -> usize {
        self.told.lock().unwrap().lines.iter().filter(|line| line.contains(": far ")).count()
    }

    /// The newest number that was said.
    pub fn newest(&self) -> u64 {
        self.told.lock().unwrap().said.keys().next_back().copied().unwrap_or(0)
    }

    /// The agent says new numbers at this site, and at no other.
    #[track_caller]
    pub fn goes_on_at(&self, site: &str) {
        let before = self.newest();
        eventually(&format!("the agent goes on at {site}"), || {
            let told = self.told.lock().unwrap();
            assert!(told.wrong.is_empty(), "{:?}", told.wrong);
            told.said.range(before + 1..).filter(|(_, at)| **at == site).count() >= 5
        });
        let told = self.told.lock().unwrap();
        let last: Vec<_> = told.said.iter().rev().take(3).collect();
        assert!(last.iter().all(|(_, at)| **at == site), "not only at {site}: {last:?}");
    }

    /// The disk holds what was said, and nothing is torn.
    #[track_caller]
    fn compare(&self, disk: &[u8]) {
        let told = self.told.lock().unwrap();
        assert!(told.wrong.is_empty(), "{:?}", told.wrong);
        let newest = told.said.keys().next_back().copied().unwrap();
        for slot in 0..SLOTS {
            let at = usize::try_from(place(slot)).unwrap();
            let found = number(&disk[at..at + BLOCK]).unwrap_or_else(|| panic!("slot {slot} is torn"));
            let due = (newest.saturating_sub(SLOTS - 1)..=newest).find(|n| n % SLOTS == slot).unwrap_or(0);
            assert!(found == due || found > newest, "slot {slot} holds {found}, {due} was said to be there");
        }
    }
}

/// Takes lines until the port closes, and types what is to be typed.
fn hear(site: &'static str, stream: UnixStream, told: &Mutex<Told>) {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let typed = told.lock().unwrap().typed.remove(site);
        if let Some(word) = typed {
            writeln!(writer, "{word}").ok();
        }
        match reader.read_line(&mut line) {
            Ok(0) => return,
            Ok(_) => {
                told.lock().unwrap().take(site, line.trim());
                line.clear();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

impl Told {
    fn take(&mut self, site: &'static str, line: &str) {
        self.lines.push(format!("{site}: {line}"));
        if line.starts_with("bad ") {
            self.wrong.push(format!("{site}: {line}"));
        }
        let Some(n) = line.strip_prefix("at ").and_then(|n| n.parse().ok()) else { return };
        if let Some(before) = self.said.insert(n, site) {
            self.wrong.push(format!("{n} was said at {before} and at {site}: two agents ran"));
        }
    }
}
