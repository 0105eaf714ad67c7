//! A tap as a gateway: our own process ([`crate::net::tap`]), started and asked.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::process::Command;
use uuid::Uuid;

use super::GatewayError;
use crate::control::ask;
use crate::net::config::Forward;
use crate::net::names;
use crate::net::tap::ask::Request;
use crate::net::tap::outside::first_name_server;

/// How long a command may take.
const SOON: Duration = Duration::from_secs(5);
/// Where this host says which name server it asks.
const RESOLVERS: &str = "/etc/resolv.conf";
/// No such file is longer.
const RESOLVERS_MAX: u64 = 64 << 10;

/// What starts it.
pub(super) fn command(agent: Uuid) -> Result<Command, GatewayError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("gateway").arg(agent.to_string());
    Ok(command)
}

/// Where it is asked.
pub(super) struct Line {
    stream: BufReader<UnixStream>,
    /// The name server that it was told.
    names: Option<IpAddr>,
}

impl Line {
    pub(super) async fn connect() -> Result<Line, GatewayError> {
        let mut line =
            Line { stream: BufReader::new(UnixStream::connect(names::GATEWAY_ASK).await?), names: None };
        line.say(&Request::Look).await?;
        Ok(line)
    }

    async fn say(&mut self, request: &Request) -> Result<(), GatewayError> {
        Ok(ask(&mut self.stream, request, SOON, |_| ()).await.map(drop)?)
    }

    /// It is well, and knows the host's name server: it reads no file itself.
    pub(super) async fn keep(&mut self) -> Result<(), GatewayError> {
        let names = resolver();
        if names != self.names {
            self.say(&Request::Names { at: names }).await?;
            self.names = names;
        }
        self.say(&Request::Look).await
    }

    pub(super) async fn forward(&mut self, forward: &Forward) -> Result<(), GatewayError> {
        self.say(&Request::Forward { forward: *forward }).await
    }

    pub(super) async fn unforward(&mut self, forward: &Forward) -> Result<(), GatewayError> {
        self.say(&Request::Unforward { forward: *forward }).await
    }

    pub(super) async fn quit(&mut self) {
        self.say(&Request::End).await.ok();
    }
}

fn resolver() -> Option<IpAddr> {
    let path = Path::new(RESOLVERS);
    let short = std::fs::metadata(path).is_ok_and(|found| found.len() <= RESOLVERS_MAX);
    first_name_server(&short.then(|| std::fs::read_to_string(path).ok()).flatten()?)
}
