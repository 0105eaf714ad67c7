//! The QEMU process of an agent at this site: started, found again, talked to, ended.
//!
//! It is started in the agent's folder, in a process group of its own, and outlives the supervisor; the next supervisor finds
//! it by its monitor and its process id. Process ids are used again by the kernel, so one counts only while its command line
//! has the agent's UUID. One whose supervisor died before it had said its id is found by that and by its folder.
//!
//! Invariant: none is started while another process of the agent is here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::event::Event;
use super::senses::Threads;
use super::shell::Input;
use crate::agent::Agent;
use crate::agent::command_line::{Beginning, arguments, names};
use crate::agent::machine::{QEMU, find};
use crate::qmp::{Client, Events, MigrationStatus, QmpError, RunState};

/// How long QEMU may take until its monitor listens.
const BEGIN: Duration = Duration::from_secs(30);
/// How long the monitor of one that runs already may take to answer: whoever does not is ended, and the agent's memory with it. A
/// guest's request for a chunk that is elsewhere holds the monitor for as long as that is waited for, and so may a busy machine.
const FINDS: Duration = Duration::from_secs(30);
/// How long a command may take that does nothing much.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// How long it may take to end when asked: it keeps nothing that the disk has not, and where the disk has gone away it would
/// wait for it for as long as it asks it anew.
const ENDS: Duration = Duration::from_millis(500);
/// How long the kernel may take to end it.
const DIES: Duration = Duration::from_secs(15);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum QemuError {
    #[error("{QEMU} is not to be found")]
    Missing,
    #[error("there is no UEFI firmware as the agent's (the package ovmf)")]
    NoFirmware,
    #[error("QEMU could not be started")]
    Start(#[from] std::io::Error),
    #[error("QEMU ended at once: {0}")]
    Ended(String),
    #[error("QEMU's monitor did not come up in {} s", BEGIN.as_secs())]
    Late,
    #[error("QEMU is not there")]
    None,
    #[error("QEMU could not be ended")]
    Immortal,
    #[error(transparent)]
    Qmp(#[from] QmpError),
}

/// A running QEMU, and who hears of it.
#[derive(Debug)]
pub(super) struct Qemu {
    agent: Uuid,
    /// Where it runs: the agent's, in which this process is.
    folder: PathBuf,
    client: Option<Arc<Client>>,
    /// Events of an earlier QEMU are of no interest.
    life: Arc<AtomicU64>,
    inputs: UnboundedSender<Input>,
}

impl Qemu {
    pub(super) fn new(agent: Uuid, inputs: UnboundedSender<Input>) -> Qemu {
        Qemu { agent, folder: ".".into(), client: None, life: Arc::new(AtomicU64::new(0)), inputs }
    }

    pub(super) fn client(&self) -> Result<&Arc<Client>, QemuError> {
        self.client.as_ref().ok_or(QemuError::None)
    }

    /// A command of the monitor.
    pub(super) async fn call(&self, command: &str, arguments: Value) -> Result<Value, QemuError> {
        Ok(self.client()?.call(command, arguments, SOON).await?)
    }

    pub(super) async fn run_state(&self) -> Result<RunState, QemuError> {
        let status = self.call("query-status", Value::Null).await?;
        Ok(RunState::of(status["status"].as_str().unwrap_or_default()))
    }

    pub(super) async fn migration(&self) -> Result<MigrationStatus, QemuError> {
        let migration = self.call("query-migrate", Value::Null).await?;
        Ok(MigrationStatus::of(migration["status"].as_str().unwrap_or("none")))
    }

    /// Starts it; the machine does not run yet.
    pub(super) async fn start(&mut self, agent: &Agent, beginning: Beginning) -> Result<(), QemuError> {
        self.end().await?;
        for name in [names::QMP, names::CONSOLE, names::DISPLAY, names::ARRIVING, names::LEAVING, names::PID]
        {
            std::fs::remove_file(name).ok();
        }
        if let Some(uefi) = agent.uefi {
            uefi.images().ok_or(QemuError::NoFirmware)?.put(Path::new("."))?;
        }
        let log = File::create(names::LOG)?;
        let mut command = Command::new(find(QEMU).ok_or(QemuError::Missing)?);
        command.args(arguments(agent, beginning)).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let (client, events) = begun(command.spawn()?, Path::new(names::QMP), BEGIN).await?;
        self.hear(client, events);
        Ok(())
    }

    /// Finds the QEMU that an earlier supervisor started. Is there one?
    pub(super) async fn find_again(&mut self) -> bool {
        if self.pid().is_none() {
            return false;
        }
        match Client::connect(&self.folder.join(names::QMP), FINDS).await {
            Ok((client, events)) => {
                self.hear(client, events);
                true
            }
            // It is there and cannot be talked to: of no use to anybody.
            Err(_) => {
                self.end().await.ok();
                false
            }
        }
    }

    fn hear(&mut self, client: Client, mut events: Events) {
        self.client = Some(Arc::new(client));
        let life = self.life.fetch_add(1, Ordering::SeqCst) + 1;
        self.ask_threads();
        self.ask_state();
        let (current, inputs) = (Arc::clone(&self.life), self.inputs.clone());
        tokio::spawn(async move {
            let mut orderly = false;
            while let Some(event) = events.recv().await {
                orderly |= event.name == "SHUTDOWN" && event.data["guest"] == json!(true);
                if current.load(Ordering::SeqCst) != life {
                    return;
                }
                inputs.send(Input::Qemu(event)).ok();
            }
            if current.load(Ordering::SeqCst) == life {
                inputs.send(Input::Event(Event::Ended { orderly })).ok();
            }
        });
    }

    /// Which threads are its processors does not change while it lives.
    fn ask_threads(&self) {
        let (Some(client), Some(pid)) = (self.client.clone(), self.pid()) else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let pid = pid.as_raw_nonzero().get().unsigned_abs();
            if let Some(threads) = Threads::ask(&client, pid).await {
                inputs.send(Input::Threads(threads)).ok();
            }
        });
    }

    /// How its machine is when it is met; events tell the rest.
    fn ask_state(&self) {
        let (Some(client), inputs) = (self.client.clone(), self.inputs.clone()) else { return };
        tokio::spawn(async move {
            let status = client.call("query-status", Value::Null, SOON).await.unwrap_or_default();
            if let Some(word) = status["status"].as_str() {
                inputs.send(Input::RunState(word.to_owned())).ok();
            }
        });
    }

    /// Ends it, whatever it does; one that is not there has ended.
    pub(super) async fn end(&mut self) -> Result<(), QemuError> {
        self.life.fetch_add(1, Ordering::SeqCst);
        if let Some(client) = self.client.take() {
            client.call("quit", Value::Null, ENDS).await.ok();
        }
        let start = Instant::now();
        loop {
            let left = self.pid().map_or_else(|| self.strays(), |pid| vec![pid]);
            if left.is_empty() {
                return Ok(());
            }
            // A QEMU that has just been asked to end may do it by itself; one whose monitor hangs will not.
            if start.elapsed() > ENDS {
                for pid in left {
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
                }
            }
            if start.elapsed() > DIES {
                return Err(QemuError::Immortal);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its process id, while it is there.
    pub(super) fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.folder.join(names::PID)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        self.is_ours(pid).then_some(pid)
    }

    /// Is it this agent's machine? Its gateway is a QEMU with its UUID, too, and stays: the agent's connections are there wherever
    /// it runs. What tells them apart is the file of their ids; the name of a process is lost where QEMU is a script that begins another.
    fn is_ours(&self, pid: Pid) -> bool {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        let has = |word: &str| line.split(|byte| *byte == 0).any(|other| other == word.as_bytes());
        has(&self.agent.to_string()) && has(names::PID)
    }

    /// Those of this agent that run in this folder, whatever the file says. (Another site of this machine has another folder.)
    fn strays(&self) -> Vec<Pid> {
        let (Ok(here), Ok(all)) = (self.folder.canonicalize(), std::fs::read_dir("/proc")) else {
            return Vec::new();
        };
        let pids = all.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let runs_here = |pid: &Pid| {
            std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|at| at == here)
        };
        pids.filter(runs_here).filter(|pid| self.is_ours(*pid)).collect()
    }
}

/// Waits until its monitor listens; where that takes longer it is ended.
async fn begun(mut child: Child, monitor: &Path, limit: Duration) -> Result<(Client, Events), QemuError> {
    let end = Instant::now() + limit;
    let begun = loop {
        if let Ok(heard) = Client::connect(monitor, SOON).await {
            break Ok(heard);
        }
        if child.try_wait()?.is_some() {
            return Err(QemuError::Ended(last_words()));
        }
        if Instant::now() > end {
            child.start_kill()?;
            break Err(QemuError::Late);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // So that it is no zombie when it ends. Not waited for here: it may hang in its disk, which is served again only after this.
    tokio::spawn(async move { child.wait().await.ok() });
    begun
}

/// The last line that QEMU said.
pub(super) fn last_words() -> String {
    let text = std::fs::read(names::LOG).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn of(folder: &Path) -> Qemu {
        Qemu { folder: folder.to_owned(), ..Qemu::new(Uuid::new_v4(), unbounded_channel().0) }
    }

    /// A process that is the agent's by its command line and its folder. It is there before the kernel shows its command line.
    fn process(qemu: &Qemu, pid_file: &str) -> std::process::Child {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "while :; do sleep 1; done", "qemu", &qemu.agent.to_string(), pid_file]);
        let child = command.current_dir(&qemu.folder).process_group(0).spawn().unwrap();
        let line = format!("/proc/{}/cmdline", child.id());
        let end = Instant::now() + Duration::from_secs(60);
        while !std::fs::read_to_string(&line).unwrap().contains(pid_file) {
            assert!(Instant::now() < end, "{line} stays empty");
            std::thread::yield_now();
        }
        child
    }

    #[tokio::test]
    async fn one_that_had_not_said_its_id_when_its_supervisor_died_is_ended_before_another_begins() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut qemu = of(folder.path());
        let mut stray = process(&qemu, names::PID);
        let at_other = Qemu { agent: qemu.agent, ..of(other.path()) };
        let mut elsewhere = process(&at_other, names::PID);
        let (pid, left) = (stray.id(), elsewhere.id());
        // Whoever started it reaps it.
        let reaped = std::thread::spawn(move || stray.wait());
        qemu.end().await.unwrap();
        assert!(reaped.join().unwrap().is_ok(), "{pid}");
        assert!(elsewhere.try_wait().unwrap().is_none(), "{left} is another site's");
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
    }

    #[tokio::test]
    async fn the_agents_gateway_is_not_ended_with_its_qemu() {
        let folder = tempfile::tempdir().unwrap();
        let mut qemu = of(folder.path());
        let mut stays = process(&qemu, crate::net::names::GATEWAY_PID);
        qemu.end().await.unwrap();
        assert!(stays.try_wait().unwrap().is_none());
        stays.kill().unwrap();
        stays.wait().unwrap();
    }

    /// Killed, it is not gone: whoever traces it must let go of it first, as a disk must that nobody serves.
    const HANGS: &str = "import ctypes, os, signal
own = os.getpid()
if os.fork() == 0 and ctypes.CDLL(None).ptrace(0x4206, own, 0, 0) == 0:  # PTRACE_SEIZE
    open('held', 'w').close()
signal.pause()";

    #[tokio::test]
    async fn one_that_hangs_in_its_disk_and_cannot_be_ended_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", HANGS]).current_dir(folder.path()).process_group(0);
        let machine = command.spawn().unwrap();
        let pid = Pid::from_raw(machine.id().unwrap().try_into().unwrap()).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while !folder.path().join("held").exists() {
            assert!(Instant::now() < end, "it cannot be traced");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let monitor = folder.path().join(names::QMP);
        let begins = begun(machine, &monitor, Duration::ZERO);
        let told = tokio::time::timeout(Duration::from_secs(60), begins).await;
        let is_there = std::fs::exists(format!("/proc/{}", pid.as_raw_nonzero())).unwrap();
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).unwrap();
        assert!(matches!(told, Ok(Err(QemuError::Late))), "{told:?}");
        assert!(is_there, "it did not hang");
    }

    /// Its monitor is held by a request of the guest that waits for a chunk.
    #[tokio::test(start_paused = true)]
    async fn one_whose_monitor_answers_late_is_found_again_and_not_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut qemu = of(folder.path());
        let mut machine = process(&qemu, names::PID);
        std::fs::write(folder.path().join(names::PID), machine.id().to_string()).unwrap();
        let listener = UnixListener::bind(folder.path().join(names::QMP)).unwrap();
        let monitor = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            tokio::time::sleep(Duration::from_secs(20)).await;
            let version = json!({ "major": 10, "minor": 0, "micro": 0 });
            let mut say =
                json!({ "QMP": { "version": { "qemu": version, "package": "" }, "capabilities": [] } });
            let mut line = String::new();
            loop {
                stream.get_mut().write_all(format!("{say}\n").as_bytes()).await.unwrap();
                line.clear();
                if stream.read_line(&mut line).await.unwrap() == 0 {
                    return;
                }
                let asked: Value = serde_json::from_str(&line).unwrap();
                say = json!({ "return": {}, "id": asked["id"] });
            }
        });
        assert!(qemu.find_again().await);
        assert!(machine.try_wait().unwrap().is_none(), "it was ended");
        monitor.abort();
        machine.kill().unwrap();
        machine.wait().unwrap();
    }
}
