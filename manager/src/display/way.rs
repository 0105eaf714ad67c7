//! The ways to the displays of other sites: a socket in the agent's folder for each, behind which a link is made to that
//! site for every connection.
//!
//! A display has a link of its own, so that it queues behind nothing else that goes to that site.
//!
//! Invariant: a socket's name is made from a site's name that was checked; a connection that cannot be led on is kept for a
//! while before it is closed, longer each time, so that a proxy that tries again at once dials no site five times a second.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::guest::{self, Screen, Way};
use crate::agent::command_line::names;
use crate::agent::is_name;
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, open};
use crate::sites::{Link, Sites};
use crate::supervisor::carry;

/// Until a site that did not answer, or has no screen now, is dialled again: it doubles this many times.
const AGAIN: Duration = Duration::from_secs(1);
const DOUBLES: u32 = 3;
/// Before the port of a server inside the agent, where a site's name could be.
const GUEST: char = '*';
/// Connections to one site's display at a time; the proxy has two at most.
const AT_ONCE: usize = 8;

/// The ways of one agent. The process's folder must be the agent's.
#[derive(Debug)]
pub(super) struct Ways {
    here: Here,
    own: String,
    agent: String,
    known: BTreeMap<String, String>,
    doors: JoinSet<()>,
}

impl Ways {
    pub(super) fn new(here: Here, own: String, agent: String) -> Ways {
        Ways { here, own, agent, known: BTreeMap::new(), doors: JoinSet::new() }
    }

    /// The address, for the proxy, of a site's display, or of [`guest_at`].
    pub(super) fn address(&mut self, site: &str) -> io::Result<String> {
        if site == self.own {
            return Ok(format!("unix:{}", names::DISPLAY));
        }
        if let Some(known) = self.known.get(site) {
            return Ok(known.clone());
        }
        let (name, to) = match port_of(site) {
            Some(port) => (format!("guest-{port}.sock"), To::Guest(port)),
            None if is_name(site) => (format!("view-{site}.sock"), To::Site(site.to_owned())),
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no site's name")),
        };
        std::fs::remove_file(&name).ok();
        let listener = UnixListener::bind(&name)?;
        self.doors.spawn(serve(listener, self.here.clone(), to, self.agent.clone()));
        let address = format!("unix:{name}");
        self.known.insert(site.to_owned(), address.clone());
        Ok(address)
    }

    /// The site to which such an address leads, or [`guest_at`].
    pub(super) fn site(&self, address: &str) -> Option<String> {
        let name = address.strip_prefix("unix:")?;
        if name == names::DISPLAY {
            return Some(self.own.clone());
        }
        if let Some(port) = name.strip_prefix("guest-").and_then(|rest| rest.strip_suffix(".sock")) {
            return port.parse().ok().map(guest_at);
        }
        let site = name.strip_prefix("view-")?.strip_suffix(".sock")?;
        is_name(site).then(|| site.to_owned())
    }
}

/// What stands for a site where a server inside the agent is shown.
pub(super) fn guest_at(port: u16) -> String {
    format!("{GUEST}{port}")
}

fn port_of(site: &str) -> Option<u16> {
    site.strip_prefix(GUEST)?.parse().ok()
}

/// Which screen is at an address of the proxy's, in words.
pub(super) fn screen(address: &str) -> String {
    let port = address.strip_prefix("unix:guest-").and_then(|rest| rest.strip_suffix(".sock"));
    port.map_or("machine".to_owned(), |port| format!("guest:{port}"))
}

/// What is to be shown, as the user said in this folder: what stands for it, or nothing for the machine's screen.
pub(super) fn wanted(folder: &std::path::Path) -> Option<String> {
    match Screen::read(folder) {
        Screen::Machine => None,
        Screen::Guest { port } => Some(guest_at(port)),
    }
}

/// Where a door leads.
#[derive(Clone, Debug)]
enum To {
    Site(String),
    Guest(u16),
}

async fn serve(listener: UnixListener, here: Here, to: To, agent: String) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let failed = Arc::new(AtomicU32::new(0));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((mut near, _)) = listener.accept().await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let (here, to, agent) = (here.clone(), to.clone(), agent.clone());
        let failed = Arc::clone(&failed);
        tokio::spawn(async move {
            let led = match &to {
                To::Site(site) => dial(&here, site, &agent).await.map(|far| Way::Home(Box::new(far))).ok(),
                To::Guest(port) => guest::reach(&here, &agent, Some(*port)).await.map(|(_, way)| way).ok(),
            };
            if led.is_some() {
                failed.store(0, Ordering::Relaxed);
            }
            match led {
                Some(Way::Here(mut far)) => carry(&mut near, &mut far).await,
                Some(Way::Home(mut far)) => carry(&mut near, &mut *far).await,
                None => {
                    let before = failed.fetch_add(1, Ordering::Relaxed).min(DOUBLES);
                    tokio::time::sleep(AGAIN * 2_u32.pow(before)).await;
                }
            }
            drop(place);
        });
    }
}

async fn dial(here: &Here, site: &str, agent: &str) -> Result<BufReader<Link>, AskError> {
    let sites = Sites::read(&here.home)?;
    let opening =
        Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open: Open::Display, document: None };
    open(sites.site(site)?, &opening).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back_to_their_sites_and_to_no_other_file() {
        let here = Here { home: "/nowhere".into(), wandisk: None };
        let mut ways = Ways::new(here, "desk".to_owned(), "vm".to_owned());
        assert_eq!(ways.address("desk").unwrap(), "unix:display.sock");
        assert_eq!(ways.site("unix:display.sock").as_deref(), Some("desk"));
        assert_eq!(ways.site("unix:view-big.1.sock").as_deref(), Some("big.1"));
        assert_eq!(ways.site("unix:guest-5901.sock"), Some(guest_at(5901)));
        assert_eq!(
            (screen("unix:guest-5901.sock"), screen("unix:x")),
            ("guest:5901".into(), "machine".into())
        );
        assert_eq!((port_of(&guest_at(5901)), port_of("desk"), port_of("*x")), (Some(5901), None, None));
        for odd in ["tcp:h:1", "unix:view-.sock", "unix:view-../x.sock", "unix:x", "unix:guest-x.sock"] {
            assert_eq!(ways.site(odd), None, "{odd}");
        }
        assert!(ways.address("../x").is_err());
    }
}
