//! A gateway: what turns the agent's packets into ordinary connections of this host's. Of two kinds: libslirp, which needs no
//! right (`slirp`), and a tap, whose TCP is the kernel's, which root may have (`tap`).
//!
//! It is a process of its own that outlives the switch: connections live in it. Both kinds show the agent the same addresses, so
//! that nothing is to be changed in the agent when the kind is.
//!
//! Fault model: it may die; it is started again, and connections through it are lost. A process id counts only while its command
//! line has the agent's UUID. One of the other kind, or that does not answer, is ended and replaced.

mod slirp;
mod tap;

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::config::{Forward, Kind};
use super::names;
use crate::agent::machine::QEMU;
use crate::control::AskError;
use crate::qmp::QmpError;
use crate::words::with_causes;

/// How it is called in lists of processes.
const CALLED: &str = "snowbird-gateway";
/// How long it may take until it answers.
const BEGIN: Duration = Duration::from_secs(20);
/// How long it may take to end.
const SOON: Duration = Duration::from_secs(5);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why there is none, or why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    #[error("{QEMU} is not to be found at this site")]
    Missing,
    #[error("the gateway could not be started")]
    Start(#[from] std::io::Error),
    #[error("the gateway ended at once: {0}")]
    Ended(String),
    #[error("the gateway did not answer in {} s", BEGIN.as_secs())]
    Late,
    #[error("the gateway could not be ended")]
    Stays,
    #[error(transparent)]
    Qmp(#[from] QmpError),
    #[error(transparent)]
    Tap(#[from] AskError),
    #[error("{0}")]
    Refused(String),
}

/// What its task is asked. Answers are what went wrong, if anything.
#[derive(Debug)]
pub(super) enum Wish {
    /// It shall be there, or not.
    There(bool),
    /// It shall be of this kind.
    Kind(Kind, oneshot::Sender<Result<(), String>>),
    /// A port shall lead into the agent.
    Forward(Forward, oneshot::Sender<Result<(), String>>),
    /// It shall no longer.
    Unforward(Forward, oneshot::Sender<Result<(), String>>),
}

/// The task that keeps the gateway of an agent; `state` tells people how it stands.
pub(super) async fn keep(
    agent: Uuid,
    kind: Kind,
    forwards: Vec<Forward>,
    mut wishes: mpsc::Receiver<Wish>,
    state: watch::Sender<String>,
) {
    let mut gateway = Gateway { agent, kind, forwards, missing: Vec::new(), line: None };
    // Not known at first: what an earlier switch has left may be wanted.
    let mut wanted = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                None => break,
                Some(Wish::There(there)) => wanted = Some(there),
                Some(Wish::Kind(kind, answer)) => {
                    drop(answer.send(gateway.change(kind, wanted == Some(true)).await));
                }
                Some(Wish::Forward(forward, answer)) => drop(answer.send(gateway.add(forward).await)),
                Some(Wish::Unforward(forward, answer)) => drop(answer.send(gateway.remove(forward).await)),
            },
            _ = look.tick() => {}
        }
        let told = match wanted {
            Some(true) => gateway.ensure().await,
            Some(false) => gateway.end().await.map(|()| "not needed here"),
            None => continue,
        };
        state.send_replace(told.map_or_else(|error| with_causes(&error), str::to_owned));
    }
}

/// Where one that runs is asked.
enum Line {
    Slirp(slirp::Monitor),
    Tap(tap::Line),
}

impl Line {
    async fn connect(kind: Kind) -> Result<Line, GatewayError> {
        Ok(match kind {
            Kind::Slirp => Line::Slirp(slirp::Monitor::connect().await?),
            Kind::Tap => Line::Tap(tap::Line::connect().await?),
        })
    }

    async fn forward(&mut self, forward: &Forward) -> Result<(), GatewayError> {
        match self {
            Line::Slirp(monitor) => monitor.forward(forward).await,
            Line::Tap(line) => line.forward(forward).await,
        }
    }

    async fn unforward(&mut self, forward: &Forward) -> Result<(), GatewayError> {
        match self {
            Line::Slirp(monitor) => monitor.unforward(forward).await,
            Line::Tap(line) => line.unforward(forward).await,
        }
    }

    async fn quit(&mut self) {
        match self {
            Line::Slirp(monitor) => monitor.quit().await,
            Line::Tap(line) => line.quit().await,
        }
    }
}

struct Gateway {
    agent: Uuid,
    kind: Kind,
    forwards: Vec<Forward>,
    /// Those that this gateway does not have yet.
    missing: Vec<Forward>,
    line: Option<Line>,
}

impl Gateway {
    /// It is there, found again, or started.
    async fn ensure(&mut self) -> Result<&'static str, GatewayError> {
        self.running().await?;
        let Some(line) = &mut self.line else { return Err(GatewayError::Late) };
        let mut result = Ok("there");
        if let Line::Tap(tap) = line {
            match tap.keep().await {
                Ok(()) => {}
                Err(GatewayError::Tap(AskError::Refused { message, .. })) => {
                    result = Err(GatewayError::Refused(message));
                }
                // It may have died, or does not answer: the next look finds out which.
                Err(error) => {
                    self.line = None;
                    return Err(error);
                }
            }
        }
        // A port that somebody else has now is tried again; the others are there.
        for forward in std::mem::take(&mut self.missing) {
            // One that was found again has them already.
            line.unforward(&forward).await.ok();
            if let Err(error) = line.forward(&forward).await {
                self.missing.push(forward);
                result = Err(error);
            }
        }
        result
    }

    async fn running(&mut self) -> Result<(), GatewayError> {
        if self.pid().is_none() {
            self.line = None;
            self.start().await?;
        } else if self.line.is_none() {
            match Line::connect(self.kind).await {
                Ok(line) => self.line = Some(line),
                // It is there and cannot be talked to, or is of the other kind: of no use to anybody.
                Err(_) => {
                    self.end().await?;
                    self.start().await?;
                }
            }
        } else {
            return Ok(());
        }
        self.missing = self.forwards.clone();
        Ok(())
    }

    async fn start(&mut self) -> Result<(), GatewayError> {
        for name in [names::GATEWAY, names::GATEWAY_QMP, names::GATEWAY_ASK, names::GATEWAY_PID] {
            std::fs::remove_file(name).ok();
        }
        let log = File::create(names::GATEWAY_LOG)?;
        let mut command = match self.kind {
            Kind::Slirp => slirp::command(self.agent)?,
            Kind::Tap => tap::command(self.agent)?,
        };
        command.arg0(CALLED).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = command.spawn()?;
        let end = Instant::now() + BEGIN;
        loop {
            if let Ok(line) = Line::connect(self.kind).await {
                self.line = Some(line);
                // Waited for here, so that it is no zombie when it ends.
                tokio::spawn(async move { child.wait().await.ok() });
                return Ok(());
            }
            if child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(names::GATEWAY_LOG).unwrap_or_default();
                return Err(GatewayError::Ended(log.lines().last().unwrap_or("it said nothing").to_owned()));
            }
            if Instant::now() > end {
                child.kill().await?;
                return Err(GatewayError::Late);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Is of another kind from now on; of the old one if the new one cannot be.
    async fn change(&mut self, kind: Kind, wanted: bool) -> Result<(), String> {
        let old = std::mem::replace(&mut self.kind, kind);
        if old == kind || !wanted {
            return Ok(());
        }
        let changed = match self.end().await {
            Ok(()) => self.running().await,
            Err(error) => Err(error),
        };
        changed.map_err(|error| {
            self.kind = old;
            with_causes(&error)
        })
    }

    async fn add(&mut self, forward: Forward) -> Result<(), String> {
        if let Some(line) = &mut self.line {
            line.forward(&forward).await.map_err(|e| with_causes(&e))?;
        }
        self.forwards.push(forward);
        Ok(())
    }

    async fn remove(&mut self, forward: Forward) -> Result<(), String> {
        self.forwards.retain(|known| *known != forward);
        self.missing.retain(|known| *known != forward);
        match &mut self.line {
            Some(line) => line.unforward(&forward).await.map_err(|error| with_causes(&error)),
            None => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<(), GatewayError> {
        if let Some(mut line) = self.line.take() {
            line.quit().await;
        }
        let end = Instant::now() + SOON;
        while let Some(pid) = self.pid() {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            if Instant::now() > end {
                return Err(GatewayError::Stays);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn pid(&self) -> Option<rustix::process::Pid> {
        let text = std::fs::read_to_string(names::GATEWAY_PID).ok()?;
        let pid = rustix::process::Pid::from_raw(text.trim().parse().ok()?)?;
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        let uuid = self.agent.to_string();
        line.split(|byte| *byte == 0).any(|word| word == uuid.as_bytes()).then_some(pid)
    }
}
