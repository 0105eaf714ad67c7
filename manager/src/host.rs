//! `snowbird host --stdio`: what another site may ask of this one.
//!
//! One line says which agent and what for ([`Opening`]); then bytes are carried between standard input and output and one of
//! five sockets: the agent's supervisor, its QEMU that waits for a migration's stream, its QEMU's screen, a VNC server's inside it, or
//! its switch (the door for other sites); or all supervisors are asked how agents stand ([`exchange`]), or the memory of a suspended agent is taken ([`taking`]). Or it is asked what the host can do, or to say what
//! it is told, to forget an agent that is purged, or, as its new home, to draw for an agent. There is nothing else to be had, and no path comes from outside.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::agent::automatic::Settings;
use crate::agent::command_line::names;
use crate::agent::store::{Store, StoreError};
use crate::agent::{Agent, is_name};
use crate::ask_error::AskError;
use crate::control::{self, Here, LINE_MAX, Open, Opening, PROTOCOL, folder};
use crate::display::{self, guest, opengl};
use crate::exchange;
use crate::facts::Facts;
use crate::inventory::gather::gather;
use crate::lines::next_line;
use crate::net::config::Config;
use crate::policy::Mode;
use crate::purge;
use crate::seat::make_folder;
use crate::sites::Sites;
use crate::supervisor::image::Packed;
use crate::supervisor::marks::hold;
use crate::supervisor::phase::{End, Machine, Phase};
use crate::supervisor::{arrives, carry};
use crate::taking;
use crate::wandisk::{Wandisk, WandiskError};
use crate::words::wants_room;

/// Whoever says nothing is not served.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// A disk's map is in its keeper's memory, which may have to be started.
const MAP: Duration = Duration::from_secs(12);

/// Serves one stream.
///
/// # Errors
/// What went wrong, which the other site has been told.
pub async fn serve(here: &Here) -> Result<()> {
    let mut peer = BufReader::new(tokio::io::join(tokio::io::stdin(), tokio::io::stdout()));
    let line = timeout(FIRST_WORD, next_line(&mut peer, LINE_MAX)).await.context("nobody spoke")??;
    let opened = open(here, &line.context("nobody spoke")?).await;
    answer(&mut peer, &opened.as_ref().map(Opened::told)).await?;
    match opened? {
        Opened::Stream(mut stream) => carry(&mut stream, &mut peer).await,
        Opened::Guest(_, mut stream) => carry(&mut stream, &mut peer).await,
        Opened::Display(mut stream, _watched) => carry(&mut stream, &mut peer).await,
        Opened::Memory(mut qemu, _coming) => arrives(&mut peer, &mut qemu).await,
        Opened::Echo => echo(&mut peer).await?,
        Opened::Many => exchange::serve(here, peer).await?,
        Opened::Answer(_) => {}
        Opened::Image { agent, attempt, packed } => {
            let coming = hold(&folder(&here.home, &agent), names::COMING)?;
            let taken = taking::take(here, &agent, attempt, packed, &mut peer).await;
            drop(coming);
            answer(&mut peer, &taken.as_ref().map(|()| Value::Null)).await?;
        }
    }
    Ok(())
}

/// Says what it is told.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(peer: &mut S) -> std::io::Result<()> {
    let mut bytes = [0; 256];
    loop {
        let len = peer.read(&mut bytes).await?;
        if len == 0 {
            return Ok(());
        }
        peer.write_all(&bytes[..len]).await?;
        peer.flush().await?;
    }
}

/// Another version asks.
#[derive(Debug, thiserror::Error)]
#[error("snowbird speaks version {PROTOCOL} between sites, and not {theirs}")]
struct OtherVersion {
    theirs: u32,
}

/// What was asked for.
enum Opened {
    Stream(UnixStream),
    /// With what tells the supervisor that somebody looks from afar.
    Display(UnixStream, File),
    /// A server's inside the agent, and its port.
    Guest(u16, TcpStream),
    /// With what tells the supervisor that it comes.
    Memory(UnixStream, File),
    Echo,
    Many,
    Answer(Value),
    Image {
        agent: String,
        attempt: uuid::Uuid,
        packed: Packed,
    },
}

impl Opened {
    /// What is said of it at once.
    fn told(&self) -> Value {
        match self {
            Opened::Answer(value) => value.clone(),
            Opened::Guest(port, _) => (*port).into(),
            Opened::Stream(_)
            | Opened::Display(..)
            | Opened::Memory(..)
            | Opened::Echo
            | Opened::Many
            | Opened::Image { .. } => Value::Null,
        }
    }
}

async fn answer(peer: &mut (impl AsyncWrite + Unpin), result: &Result<Value, &anyhow::Error>) -> Result<()> {
    let answer = match result {
        Ok(value) => control::done(value),
        Err(error) => control::failed(&format!("{error:#}"), hint_of(error).as_deref()),
    };
    peer.write_all(answer.as_bytes()).await?;
    Ok(peer.flush().await?)
}

/// What to do about it, for whoever reads it elsewhere.
fn hint_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<AskError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<WandiskError>() {
            return error.hint().map(str::to_owned);
        }
        if cause.is::<OtherVersion>() {
            return Some(
                "use one version at all sites: `snowbird site setup SITE` installs its own there".to_owned(),
            );
        }
        wants_room(cause).then(|| "make room on the file system of that site's folder".to_owned())
    })
}

async fn open(here: &Here, line: &[u8]) -> Result<Opened> {
    let opening: Opening =
        serde_json::from_slice(line).context("the other site's words cannot be understood")?;
    if opening.snowbird != PROTOCOL {
        bail!(OtherVersion { theirs: opening.snowbird });
    }
    let of_agent =
        !matches!(opening.open, Open::Facts | Open::Inventory | Open::Echo | Open::Many | Open::Map { .. });
    if of_agent && !is_name(&opening.agent) {
        bail!("{:?} is no agent's name", opening.agent);
    }
    let folder = folder(&here.home, &opening.agent);
    let stream = match opening.open {
        Open::Facts => return Ok(Opened::Answer(serde_json::to_value(Facts::here())?)),
        Open::Inventory => {
            let inventory = gather(&here.home, here.wandisk.as_deref()).await;
            return Ok(Opened::Answer(serde_json::to_value(inventory)?));
        }
        Open::Map { disk, cells } => return map(here, &disk, cells).await.map(Opened::Answer),
        Open::Memory => {
            let coming = hold(&folder, names::COMING)?;
            let stream = control::connect(&folder, names::ARRIVING).await;
            return Ok(Opened::Memory(stream.context("the agent's QEMU does not listen")?, coming));
        }
        Open::Echo => return Ok(Opened::Echo),
        Open::Many => return Ok(Opened::Many),
        Open::Forget => {
            let agent = opening.document.context("it is not said which agent is to be forgotten")?;
            agent.check()?;
            purge::forget(here, &agent).await?;
            return Ok(Opened::Answer(Value::Null));
        }
        Open::Display => {
            let stream = control::connect(&folder, names::DISPLAY).await;
            return Ok(Opened::Display(
                stream.context("the agent has no screen")?,
                hold(&folder, names::WATCHED)?,
            ));
        }
        Open::Guest { port } => {
            let (port, stream) = guest::connect(here, &opening.agent, port).await?;
            return Ok(Opened::Guest(port, stream));
        }
        Open::Image { attempt, len_bytes, unpacked_bytes, blake3 } => {
            let packed = Packed { len_bytes, unpacked_bytes, blake3 };
            return Ok(Opened::Image { agent: opening.agent, attempt, packed });
        }
        Open::Desk { port } => {
            desk(here, &opening.agent, port).await?;
            return Ok(Opened::Answer(Value::Null));
        }
        Open::Automatic { settings, learnt } => {
            entrusted(here, &opening.agent, settings, learnt).await?;
            return Ok(Opened::Answer(Value::Null));
        }
        Open::Network => {
            if let Some(agent) = &opening.document {
                adopt(here, &opening.agent, agent)?;
            }
            here.switch(&opening.agent, crate::net::names::TUNNEL).await?
        }
        Open::Control => {
            if let Some(agent) = &opening.document {
                adopt(here, &opening.agent, agent)?;
            }
            here.supervisor(&opening.agent).await?
        }
    };
    Ok(Opened::Stream(stream))
}

/// The map of a disk's replica here.
async fn map(here: &Here, disk: &str, cells: u32) -> Result<Value> {
    if !is_name(disk) {
        bail!("{disk:?} is no disk's name");
    }
    let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref())?;
    Ok(wandisk.ask(&["map", disk, "--cells", &cells.to_string()], MAP).await?)
}

/// What the agent's OpenGL programs draw is drawn here from now on: this is its home.
async fn desk(here: &Here, name: &str, port: Option<u16>) -> Result<()> {
    let own = Sites::read(&here.home)?.name;
    if Store::open(&here.home)?.agent(name)?.agent.home != own {
        bail!("site {own:?} is not the home of {name}");
    }
    display::open(here, name).await?;
    if let Some(port) = port.filter(|port| *port > 0) {
        opengl::open(&folder(&here.home, name), Some(port)).await?;
    }
    Ok(())
}

/// This is the agent's home from now on: the user's word about it comes here, too.
///
/// A profile's own sensors are commands, and those are said here by a user or not at all.
async fn entrusted(here: &Here, name: &str, word: Settings, learnt: Option<String>) -> Result<()> {
    let own = Sites::read(&here.home)?.name;
    let mut store = Store::open(&here.home)?;
    let agent = store.agent(name)?.agent;
    if agent.home != own {
        bail!("site {own:?} is not the home of {name}");
    }
    if !word.profile()?.sensors.is_empty() {
        bail!("the profile has sensors that are commands, and no other site says what is run here");
    }
    let watched = word.mode != Mode::Off;
    store.set_automatic(agent.uuid, &own, |settings| *settings = word)?;
    store.set_forwards(agent.uuid, &own, &Config::read(&folder(&here.home, name))?.forwards)?;
    if let Some(learnt) = learnt {
        store.set_learnt(agent.uuid, &own, &learnt)?;
    }
    if watched {
        here.daemon(crate::auto::process::COMMAND, name).await?;
    }
    Ok(())
}

/// Makes an agent known that is known elsewhere.
fn adopt(here: &Here, name: &str, agent: &Agent) -> Result<()> {
    agent.check()?;
    if agent.name != name {
        bail!("the description is of another agent");
    }
    let mut store = Store::open(&here.home)?;
    match store.agent(name) {
        Ok(known) if known.agent == *agent => {}
        Ok(known) if known.agent.uuid != agent.uuid => {
            bail!("another agent named {name:?} is known at this site: rename or purge one of them")
        }
        Ok(known) => match known.agent.joined(agent) {
            // (What this site knows may be the later.)
            Some(joined) if joined == known.agent => {}
            Some(joined) => store.set_document(&joined, &joined.news_since(&known.agent))?,
            // All else is fixed at creation: two that differ are a mistake of somebody's.
            None => bail!("the agent {name:?} is known at this site with another description"),
        },
        Err(StoreError::NoAgent { .. }) => {
            make_folder(&folder(&here.home, name))?;
            // It has not been here: until it comes, its home knows where it is.
            let away = Phase::Off(End::Left { to: agent.home.clone() });
            let phase =
                if Sites::read(&here.home)?.name == agent.home { Phase::Off(End::Never) } else { away };
            let machine = Machine { phase, ..Machine::default() };
            store.put(agent, &serde_json::to_string(&machine)?, "known from another site")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agent::tests::example;

    #[test]
    fn a_site_that_hears_of_an_agent_says_that_it_is_where_its_home_knows_and_not_that_it_is_off() {
        let agent = example();
        let home = agent.home.clone();
        for (site, stands) in
            [("big", Phase::Off(End::Left { to: home.clone() })), (home.as_str(), Phase::Off(End::Never))]
        {
            let folder = tempfile::tempdir().unwrap();
            let own = json!({ "format": 1, "id": "x", "name": site, "sites": [] });
            std::fs::write(folder.path().join("site.json"), own.to_string()).unwrap();
            adopt(&Here { home: folder.path().to_owned(), wandisk: None }, &agent.name, &agent).unwrap();
            let kept = Store::open(folder.path()).unwrap().agent(&agent.name).unwrap();
            let machine: Machine = serde_json::from_str(&kept.phase).unwrap();
            assert_eq!((kept.agent, machine.phase), (agent.clone(), stands), "at {site}");
        }
    }
}
