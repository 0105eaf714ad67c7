//! The QEMU process of an agent at this site: started, found again, talked to, ended.
//!
//! It is started in the agent's folder, in a process group of its own, and outlives the supervisor; the next supervisor finds
//! it by its monitor and its process id. Process ids are used again by the kernel, so one counts only while its command line
//! has the agent's UUID.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
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
    #[error("{QEMU} is not to be found at this site")]
    Missing,
    #[error("a UEFI firmware as the agent's is not at this site (the package ovmf)")]
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
    client: Option<Arc<Client>>,
    /// Events of an earlier QEMU are of no interest.
    life: Arc<AtomicU64>,
    inputs: UnboundedSender<Input>,
}

impl Qemu {
    pub(super) fn new(agent: Uuid, inputs: UnboundedSender<Input>) -> Qemu {
        Qemu { agent, client: None, life: Arc::new(AtomicU64::new(0)), inputs }
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
        let mut child = command.spawn()?;
        let end = Instant::now() + BEGIN;
        loop {
            if let Ok((client, events)) = Client::connect(Path::new(names::QMP), SOON).await {
                self.hear(client, events);
                // Waited for here, so that it is no zombie when it ends.
                tokio::spawn(async move { child.wait().await.ok() });
                return Ok(());
            }
            if child.try_wait()?.is_some() {
                return Err(QemuError::Ended(last_words()));
            }
            if Instant::now() > end {
                child.kill().await?;
                return Err(QemuError::Late);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Finds the QEMU that an earlier supervisor started. Is there one?
    pub(super) async fn find_again(&mut self) -> bool {
        if self.pid().is_none() {
            return false;
        }
        match Client::connect(Path::new(names::QMP), SOON).await {
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

    /// Ends it, whatever it does; one that is not there has ended.
    pub(super) async fn end(&mut self) -> Result<(), QemuError> {
        self.life.fetch_add(1, Ordering::SeqCst);
        if let Some(client) = self.client.take() {
            client.call("quit", Value::Null, ENDS).await.ok();
        }
        let start = Instant::now();
        let mut killed = false;
        while let Some(pid) = self.pid() {
            // A QEMU that has just been asked to end may do it by itself; one whose monitor hangs will not.
            if start.elapsed() > ENDS && !killed {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
                killed = true;
            }
            if start.elapsed() > DIES {
                return Err(QemuError::Immortal);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Its process id, while it is there.
    pub(super) fn pid(&self) -> Option<rustix::process::Pid> {
        let text = std::fs::read_to_string(names::PID).ok()?;
        let pid = rustix::process::Pid::from_raw(text.trim().parse().ok()?)?;
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        let uuid = self.agent.to_string();
        line.split(|byte| *byte == 0).any(|word| word == uuid.as_bytes()).then_some(pid)
    }
}

/// The last line that QEMU said.
pub(super) fn last_words() -> String {
    let text = std::fs::read(names::LOG).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
