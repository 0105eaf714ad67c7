//! Links and talks that are made before they are asked for: a login takes ten round trips.
//!
//! Whoever asks a site's lobby for something wants a session about the disk next. So that session's link is dialled
//! meanwhile, and a lobby that was asked who the site is can be asked for a replica too. What nobody takes is
//! dropped before the far side's patience ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use wandisk_link::Stream;
use wandisk_store::{SiteEntry, SiteId};

use crate::peer::dial;
use crate::peer::session::Session;

/// Younger than this, a far program that was started for a link still waits for a hello, by far. It holds its disk's keeper
/// meanwhile.
const FRESH: Duration = Duration::from_secs(15);

/// A link that is being dialled; ended when dropped.
struct Dialling {
    began: Instant,
    link: JoinHandle<Result<Stream, String>>,
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.link.abort();
    }
}

/// What was made ahead.
#[derive(Default)]
pub(super) struct Ahead {
    links: Mutex<HashMap<String, Dialling>>,
    lobbies: Mutex<HashMap<SiteId, Session>>,
}

/// How a site is reached, as a name for it.
fn way(entry: &SiteEntry) -> String {
    format!("{} {:?} {:?}", entry.address, entry.remote_home, entry.remote_wandisk)
}

impl Ahead {
    fn links(&self) -> MutexGuard<'_, HashMap<String, Dialling>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lobbies(&self) -> MutexGuard<'_, HashMap<SiteId, Session>> {
        self.lobbies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to dial a link, unless that is being done.
    pub(super) fn dial(&self, entry: &SiteEntry) {
        let mut links = self.links();
        links.retain(|_, dialling| dialling.began.elapsed() < FRESH);
        links.entry(way(entry)).or_insert_with(|| {
            let entry = entry.clone();
            Dialling { began: Instant::now(), link: tokio::spawn(async move { dial::link(&entry).await }) }
        });
    }

    /// The link that was or is being dialled. One that failed is none: the moment was another.
    pub(super) async fn link(&self, entry: &SiteEntry) -> Option<Stream> {
        let dialling = self.links().remove(&way(entry)).filter(|dialling| dialling.began.elapsed() < FRESH);
        (&mut dialling?.link).await.ok()?.ok()
    }

    /// The link will not be wanted.
    pub(super) fn forget(&self, entry: &SiteEntry) {
        self.links().remove(&way(entry));
    }

    /// Keeps a talk with a site's lobby for a while.
    pub(super) fn keep_lobby(&self, lobby: Session) {
        let mut lobbies = self.lobbies();
        lobbies.retain(|_, kept| !kept.is_closed());
        lobbies.insert(lobby.peer().site, lobby.clone());
        tokio::spawn(async move {
            tokio::time::sleep(FRESH).await;
            lobby.close("nobody asks for more");
        });
    }

    /// The talk that is kept.
    pub(super) fn lobby(&self, site: SiteId) -> Option<Session> {
        self.lobbies().remove(&site).filter(|lobby| !lobby.is_closed())
    }
}
