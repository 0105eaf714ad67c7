//! A gateway: libslirp, in a QEMU that has no machine. It turns the agent's packets into ordinary connections of this host's.
//!
//! QEMU is at every site anyway, takes frames as datagrams, needs no right, and takes forwards while it runs. It is a process of
//! its own that outlives the switch: connections live in it. It may start no program, and change neither rights nor limits.
//!
//! Fault model: it may die; it is started again, and connections through it are lost. A process id counts only while its command
//! line has the agent's UUID.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::config::Forward;
use super::{
    AGENT_IP, GATEWAY_IP, GATEWAY_IP6, NAMES_IP, NAMES_IP6, NETWORK_BITS, NETWORK6, NETWORK6_BITS, names,
};
use crate::agent::machine::{QEMU, find};
use crate::qmp::{Client, QmpError};
use crate::words::with_causes;

/// How it is called in lists of processes.
const CALLED: &str = "snowbird-gateway";
/// How long it may take until it answers.
const BEGIN: Duration = Duration::from_secs(20);
/// How long a command may take.
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
    #[error(transparent)]
    Qmp(#[from] QmpError),
    #[error("{0}")]
    Refused(String),
}

/// What its task is asked.
#[derive(Debug)]
pub(super) enum Wish {
    /// It shall be there, or not.
    There(bool),
    /// A port shall lead into the agent; answered with what went wrong, if anything.
    Forward(Forward, oneshot::Sender<Result<(), String>>),
    /// It shall no longer.
    Unforward(Forward, oneshot::Sender<Result<(), String>>),
}

/// The task that keeps the gateway of an agent; `state` tells people how it stands.
pub(super) async fn keep(
    agent: Uuid,
    forwards: Vec<Forward>,
    mut wishes: mpsc::Receiver<Wish>,
    state: watch::Sender<String>,
) {
    let mut gateway = Gateway { agent, forwards, missing: Vec::new(), client: None };
    // Not known at first: what an earlier switch has left may be wanted.
    let mut wanted = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                None => break,
                Some(Wish::There(there)) => wanted = Some(there),
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

/// Its arguments.
fn arguments(agent: Uuid) -> Vec<String> {
    let slirp = format!(
        "user,id=slirp,net={GATEWAY_IP}/{NETWORK_BITS},host={GATEWAY_IP},dns={NAMES_IP},dhcpstart={AGENT_IP},\
         ipv6-net={NETWORK6}/{NETWORK6_BITS},ipv6-host={GATEWAY_IP6},ipv6-dns={NAMES_IP6}"
    );
    let port = format!(
        "dgram,id=port,local.type=unix,local.path={},remote.type=unix,remote.path={}",
        names::GATEWAY,
        names::GATEWAY_PORT
    );
    let monitor = format!("unix:{},server=on,wait=off", names::GATEWAY_QMP);
    let uuid = agent.to_string();
    [
        "-machine",
        "none",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-uuid",
        uuid.as_str(),
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-pidfile",
        names::GATEWAY_PID,
        "-qmp",
        &monitor,
        "-netdev",
        &slirp,
        "-netdev",
        "hubport,id=inside,hubid=0,netdev=slirp",
        "-netdev",
        &port,
        "-netdev",
        "hubport,id=outside,hubid=0,netdev=port",
    ]
    .map(str::to_owned)
    .to_vec()
}

struct Gateway {
    agent: Uuid,
    forwards: Vec<Forward>,
    /// Those that this gateway does not have yet.
    missing: Vec<Forward>,
    client: Option<Client>,
}

impl Gateway {
    /// It is there, found again, or started.
    async fn ensure(&mut self) -> Result<&'static str, GatewayError> {
        self.running().await?;
        // A port that somebody else has now is tried again; the others are there.
        let mut result = Ok("there");
        for forward in std::mem::take(&mut self.missing) {
            // One that was found again has them already.
            self.monitor(&format!("hostfwd_remove slirp {}", forward.listener())).await.ok();
            if let Err(error) = self.monitor(&format!("hostfwd_add slirp {}", forward.rule())).await {
                self.missing.push(forward);
                result = Err(error);
            }
        }
        result
    }

    async fn running(&mut self) -> Result<(), GatewayError> {
        if self.pid().is_none() {
            self.client = None;
            self.start().await?;
        } else if self.client.is_none() {
            match Client::connect(Path::new(names::GATEWAY_QMP), SOON).await {
                Ok((client, _)) => self.client = Some(client),
                // It is there and cannot be talked to: of no use to anybody.
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
        for name in [names::GATEWAY, names::GATEWAY_QMP, names::GATEWAY_PID] {
            std::fs::remove_file(name).ok();
        }
        let log = File::create(names::GATEWAY_LOG)?;
        let mut command = Command::new(find(QEMU).ok_or(GatewayError::Missing)?);
        command.arg0(CALLED).args(arguments(self.agent)).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let mut child = command.spawn()?;
        let end = Instant::now() + BEGIN;
        loop {
            if let Ok((client, _)) = Client::connect(Path::new(names::GATEWAY_QMP), SOON).await {
                self.client = Some(client);
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

    /// A word of the human monitor: there is no other for forwards. What it says is why it failed.
    async fn monitor(&self, line: &str) -> Result<(), GatewayError> {
        let Some(client) = &self.client else { return Ok(()) };
        let answer = client.call("human-monitor-command", json!({ "command-line": line }), SOON).await?;
        match answer.as_str().map(str::trim) {
            Some("") | None => Ok(()),
            Some(said) => Err(GatewayError::Refused(said.to_owned())),
        }
    }

    async fn add(&mut self, forward: Forward) -> Result<(), String> {
        self.monitor(&format!("hostfwd_add slirp {}", forward.rule())).await.map_err(|e| with_causes(&e))?;
        self.forwards.push(forward);
        Ok(())
    }

    async fn remove(&mut self, forward: Forward) -> Result<(), String> {
        self.forwards.retain(|known| *known != forward);
        self.missing.retain(|known| *known != forward);
        // It says what it did, which is no failure.
        match self.monitor(&format!("hostfwd_remove slirp {}", forward.listener())).await {
            Ok(()) | Err(GatewayError::Refused(_)) => Ok(()),
            Err(error) => Err(with_causes(&error)),
        }
    }

    async fn end(&mut self) -> Result<(), GatewayError> {
        if let Some(client) = self.client.take() {
            client.call("quit", Value::Null, SOON).await.ok();
        }
        let end = Instant::now() + SOON;
        while let Some(pid) = self.pid() {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            if Instant::now() > end {
                return Err(GatewayError::Refused("the gateway could not be ended".to_owned()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_has_no_machine_may_start_nothing_and_shows_the_agent_the_same_addresses() {
        let args = arguments(Uuid::from_u128(7));
        let value = |name: &str| &args[args.iter().position(|a| a == name).unwrap() + 1];
        assert_eq!(value("-machine"), "none");
        assert!(value("-sandbox").contains("spawn=deny"));
        let slirp = value("-netdev");
        let (four, six) = slirp.split_once(",ipv6-net=").unwrap();
        assert_eq!(four, "user,id=slirp,net=10.0.2.2/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.15");
        assert_eq!(six, "fec0::/64,ipv6-host=fec0::2,ipv6-dns=fec0::3");
    }
}
