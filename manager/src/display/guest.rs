//! A VNC server inside the agent (Xvnc, or another one), shown in the place of its machine's screen.
//!
//! It is reached by a forward of the agent's network ([`crate::net`]): home's gateway stays where it is while the agent moves, so a
//! connection through it survives each move, and nothing is re-homed. At other sites a link leads to home.
//!
//! Which screen is shown is the user's word at the site where he looks, kept in the agent's folder there.
//!
//! Fault model: the server may not run, or end; the proxy behind viewers tries again and shows what it showed before.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::agent::store::Store;
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, ask, opened};
use crate::net::config::Forward;
use crate::net::names::ASK;
use crate::net::{AGENT_IP, ask as net};
use crate::sites::{Link, Sites};

/// Where VNC servers listen unless they are told otherwise: screens 0 to 9.
pub const PORTS: RangeInclusive<u16> = 5900..=5909;
/// What each of them says first.
const HELLO: &[u8] = b"RFB ";
/// Until a server far away, in a translated machine, has said it.
const SAYS: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);
/// A port of this host's that is free may be taken by somebody before the gateway has it.
const TRIES: usize = 3;
/// In the agent's folder.
const FILE: &str = "view.json";

/// Which screen of an agent is shown at this site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Screen {
    /// The machine's.
    #[default]
    Machine,
    /// A server's inside the agent.
    Guest {
        /// The agent's port.
        port: u16,
    },
}

impl Screen {
    /// The user's word, in the agent's folder; what cannot be read is none.
    #[must_use]
    pub fn read(folder: &Path) -> Screen {
        let text = std::fs::read(folder.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The file system's.
    #[expect(clippy::disallowed_methods, reason = "what a power cut takes is said again")]
    pub fn keep(self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FILE);
        std::fs::write(path.with_extension("new"), serde_json::to_vec(&self)?)?;
        std::fs::rename(path.with_extension("new"), path)
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Nobody answers as a VNC server does.
    #[error("no VNC server answers in the agent ({})", ports(*port))]
    None {
        /// The port that was named.
        port: Option<u16>,
    },
    /// The network of the agent could not be asked.
    #[error(transparent)]
    Network(#[from] AskError),
    /// No port could be had.
    #[error("no port of this host leads to the agent's VNC server")]
    Port(#[from] io::Error),
}

fn ports(port: Option<u16>) -> String {
    port.map_or_else(
        || format!("ports {} to {} of {AGENT_IP}", PORTS.start(), PORTS.end()),
        |port| format!("port {port} of {AGENT_IP}"),
    )
}

impl GuestError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            GuestError::None { .. } => Some(
                "start one there, one that may be reached from outside, or name its port: --guest=PORT"
                    .to_owned(),
            ),
            GuestError::Network(error) => error.hint(),
            GuestError::Port(_) => None,
        }
    }
}

/// A connection to a server in the agent, or to the first that answers, and its port; at the agent's home.
///
/// # Errors
/// [`GuestError`].
pub async fn connect(here: &Here, agent: &str, port: Option<u16>) -> Result<(u16, TcpStream), GuestError> {
    for tried in port.map_or(PORTS, |port| port..=port) {
        let (forward, ours) = forward(here, agent, tried).await?;
        if let Some(stream) = greeted(forward).await {
            return Ok((tried, stream));
        }
        if ours {
            tell(here, agent, &net::Request::Unforward { port: forward.host.port() }).await?;
        }
    }
    Err(GuestError::None { port })
}

/// The forward that leads to this port, and whether it was made for this.
async fn forward(here: &Here, agent: &str, port: u16) -> Result<(Forward, bool), GuestError> {
    let standing = tell(here, agent, &net::Request::Look).await?;
    let standing: net::Standing = serde_json::from_value(standing).map_err(|_| AskError::Nonsense)?;
    let leads = |known: &&Forward| known.guest_port == port && known.host.ip().is_loopback();
    if let Some(known) = standing.config.forwards.iter().find(leads) {
        return Ok((*known, false));
    }
    let mut tries = 0;
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, free);
        let forward = Forward { host, guest_port: port };
        tries += 1;
        match tell(here, agent, &net::Request::Forward { forward }).await {
            Ok(_) => return Ok((forward, true)),
            Err(AskError::Refused { .. }) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn tell(here: &Here, agent: &str, request: &net::Request) -> Result<serde_json::Value, AskError> {
    let mut stream = BufReader::new(here.switch(agent, ASK).await?);
    ask(&mut stream, request, net::SOON, |_| ()).await
}

/// A connection at whose other end a VNC server has spoken; its words are still to be read.
async fn greeted(forward: Forward) -> Option<TcpStream> {
    let end = Instant::now() + SAYS;
    let stream = timeout(SAYS, TcpStream::connect(forward.host)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    let mut said = [0; HELLO.len()];
    loop {
        // The gateway takes a connection before the agent does, and ends it if the agent does not.
        match timeout(end.saturating_duration_since(Instant::now()), stream.peek(&mut said))
            .await
            .ok()?
            .ok()?
        {
            0 => return None,
            len if !HELLO.starts_with(&said[..len]) => return None,
            len if len == HELLO.len() => return Some(stream),
            _ => sleep(LOOK).await,
        }
    }
}

/// The other end: this host's own, or home's by a link.
#[derive(Debug)]
pub(super) enum Way {
    Here(TcpStream),
    Home(Box<BufReader<Link>>),
}

/// Finds a server in the agent from any of its sites: its port, and a way to it.
pub(super) async fn reach(here: &Here, agent: &str, port: Option<u16>) -> Result<(u16, Way), GuestError> {
    let sites = Sites::read(&here.home).map_err(AskError::from)?;
    let home =
        Store::open(&here.home).and_then(|store| store.agent(agent)).map_err(AskError::from)?.agent.home;
    if home == sites.name {
        let (port, stream) = connect(here, agent, port).await?;
        return Ok((port, Way::Here(stream)));
    }
    let open = Open::Guest { port };
    let opening = Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open, document: None };
    let (link, said) = opened(sites.site(&home).map_err(AskError::from)?, &opening).await?;
    let found = said.as_u64().and_then(|port| u16::try_from(port).ok()).ok_or(AskError::Nonsense)?;
    Ok((found, Way::Home(Box::new(link))))
}

/// Finds a server in the agent; its port.
///
/// # Errors
/// [`GuestError`].
pub async fn find(here: &Here, agent: &str, port: Option<u16>) -> Result<u16, GuestError> {
    Ok(reach(here, agent, port).await?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn the_users_word_is_kept_and_nonsense_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Screen::read(folder.path()), Screen::Machine);
        for screen in [Screen::Guest { port: 5901 }, Screen::Machine] {
            screen.keep(folder.path()).unwrap();
            assert_eq!(Screen::read(folder.path()), screen);
        }
        std::fs::write(folder.path().join(FILE), "{\"guest\": {\"port\": 70000}}").unwrap();
        assert_eq!(Screen::read(folder.path()), Screen::Machine);
    }

    #[tokio::test]
    async fn only_who_greets_as_a_vnc_server_is_one() {
        for (says, is_one) in [("RFB 003.008\n", true), ("SSH-2.0\r\n", false), ("RFX", false), ("", false)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let std::net::SocketAddr::V4(host) = listener.local_addr().unwrap() else { panic!("not IPv4") };
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                for byte in says.bytes() {
                    stream.write_all(&[byte]).await.unwrap();
                    sleep(Duration::from_millis(1)).await;
                }
            });
            let found = greeted(Forward { host, guest_port: 1 }).await;
            assert_eq!(found.is_some(), is_one, "{says:?}");
            if let Some(mut stream) = found {
                let mut all = Vec::new();
                tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await.unwrap();
                assert_eq!(all, says.as_bytes());
            }
        }
    }
}
