//! `snowbird dashboard`: a page that shows all agents and sites as they are now, and takes the same wishes as commands do.
//!
//! ```text
//! supervisors, watchers, proxies ── hear ─┐                      ┌─ /live ── browsers
//! lines to other sites ──────────── line ─┼─ hub (model, patch) ─┤
//! list of agents, logs, sites ──── known ─┘                      └─ doings, maps, screens
//! ```
//!
//! What is shown is one JSON document; [`model`] makes it of what was seen, and [`patch`] says what has changed: both pure, as is
//! [`told`], the words. [`hear`] (at other sites over [`lines`], one a site), [`line`](mod@line) and [`known`] look; [`hub`] tells pages; [`door`] and [`answer`] are HTTP
//! ([`key`]: who may); the page (`page/`) is plain modules and is in the program.
//!
//! Fault model: pages, and whoever else can connect, are hostile; everything that is heard may be silent at any time. The
//! dashboard keeps nothing: it may be ended whenever, and begun anew. Nothing depends on it.
//!
//! Invariant: it listens at a loopback address unless it was told otherwise in so many words, and tells nothing to who does not
//! know its key.

pub mod answer;
pub mod doings;
pub mod door;
pub mod hear;
pub mod hub;
pub mod key;
pub mod known;
pub mod line;
pub mod lines;
pub mod maps;
pub mod model;
pub mod patch;
pub mod shelf;
pub mod told;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use vmgl_proxy::web::guard::Guard;

use crate::auto::process::ensure;
use crate::control::Here;
use crate::sites::Sites;
use answer::House;
use hub::Hub;
use key::Key;
use shelf::Shelf;

/// A dashboard whose door is open, and that nobody has come to yet.
#[derive(Debug)]
pub struct Dashboard {
    listener: TcpListener,
    house: Arc<House>,
    /// Where it listens.
    pub at: SocketAddr,
    /// What to open in a browser: whoever has it may do all that the page can.
    pub url: String,
    /// What is missing for screens in the page.
    pub advice: Option<&'static str>,
}

impl Dashboard {
    /// Opens the door. `names` are names by which browsers may call it, beside addresses and localhost.
    ///
    /// # Errors
    /// When it cannot be opened there, or the folder is no site.
    pub async fn open(here: Here, listen: SocketAddr, names: Vec<String>) -> Result<Dashboard> {
        let sites = Sites::read(&here.home)?;
        let shelf = Shelf::fill().context("noVNC")?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listening at {listen}"))?;
        let at = listener.local_addr()?;
        let key = Key::random();
        let url = format!("http://{at}/#{}", key.word());
        let hub = Arc::new(Hub::new(&sites.name));
        let advice = shelf.advice();
        let house = Arc::new(House::new(here, hub, key, Guard::new(names), shelf));
        Ok(Dashboard { listener, house, at, url, advice })
    }

    /// Serves pages until something of the site cannot be read any more.
    ///
    /// # Errors
    /// What it was.
    pub async fn run(self) -> Result<()> {
        let here = self.house.here.clone();
        let site = Sites::read(&here.home)?.name;
        // As after each command: watchers run where they should. One that cannot begin is told by its agent's readings.
        ensure(&here, &site).await.ok();
        let looks = known::look(here, Arc::clone(&self.house.hub));
        tokio::select! {
            ended = looks => ended,
            never = door::serve(self.listener, self.house) => match never {},
        }
    }
}
