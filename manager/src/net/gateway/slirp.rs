//! libslirp as a gateway, in a QEMU that has no machine. It turns the agent's packets into ordinary connections of this host's.
//!
//! QEMU is at every site anyway, takes frames as datagrams, needs no right, and takes forwards while it runs. It may start no
//! program, and change neither rights nor limits.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::GatewayError;
use crate::agent::machine::{QEMU, find};
use crate::net::config::Forward;
use crate::net::{
    AGENT_IP, GATEWAY_IP, GATEWAY_IP6, NAMES_IP, NAMES_IP6, NETWORK_BITS, NETWORK6, NETWORK6_BITS, names,
};
use crate::qmp::Client;

/// How long a command may take.
const SOON: Duration = Duration::from_secs(5);

/// What starts it.
pub(super) fn command(agent: Uuid) -> Result<Command, GatewayError> {
    let mut command = Command::new(find(QEMU).ok_or(GatewayError::Missing)?);
    command.args(arguments(agent));
    Ok(command)
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

/// Its monitor.
pub(super) struct Monitor(Client);

impl Monitor {
    pub(super) async fn connect() -> Result<Monitor, GatewayError> {
        Ok(Monitor(Client::connect(Path::new(names::GATEWAY_QMP), SOON).await?.0))
    }

    /// A word of the human monitor: there is no other for forwards. What it says is why it failed.
    async fn say(&self, line: &str) -> Result<(), GatewayError> {
        let answer = self.0.call("human-monitor-command", json!({ "command-line": line }), SOON).await?;
        match answer.as_str().map(str::trim) {
            Some("") | None => Ok(()),
            Some(said) => Err(GatewayError::Refused(said.to_owned())),
        }
    }

    pub(super) async fn forward(&self, forward: &Forward) -> Result<(), GatewayError> {
        self.say(&format!("hostfwd_add slirp {}", forward.rule())).await
    }

    pub(super) async fn unforward(&self, forward: &Forward) -> Result<(), GatewayError> {
        // It says what it did, which is no failure.
        match self.say(&format!("hostfwd_remove slirp {}", forward.listener())).await {
            Ok(()) | Err(GatewayError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn quit(&self) {
        self.0.call("quit", Value::Null, SOON).await.ok();
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
