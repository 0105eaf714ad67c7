//! Which address a site is reached at, and one dial at a time to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use wandisk_store::{Home, SiteEntry, SiteId};

use super::{KEEPER_ENDS, Peers};
use crate::peer::dial;
use crate::peer::error::{Code, Refusal, chain};
use crate::peer::facts::is_host;
use crate::peer::message::Facts;
use crate::peer::permit::Mode;
use crate::peer::session::Session;

/// A site that could not be reached is not dialled again for this long.
const DIAL_PAUSE: Duration = Duration::from_millis(500);

impl Peers {
    /// The site that a name means here: this one, an added one, or one that the disk knows.
    ///
    /// # Errors
    /// A [`Refusal`] if none does, or an added one was never reached and cannot be now.
    pub async fn resolve(self: &Arc<Self>, name: &str) -> Result<SiteId, Refusal> {
        if name == self.home.name() {
            return Ok(self.home.id());
        }
        let home = Home::open(self.home.path()).map_err(|e| Refusal::failed(&e))?;
        if let Ok(entry) = home.site(name) {
            if let Some(id) = entry.id {
                return Ok(id);
            }
            // The site itself is asked: it may never have seen the disk.
            self.ahead.dial(entry);
            let session = dial::lobby_session(&home, entry).await.map_err(|why| {
                self.ahead.forget(entry);
                unreachable(name, &why)
            })?;
            let found = session.peer().site;
            self.ahead.keep_lobby(session);
            note_site_id(&home, name, found);
            return Ok(found);
        }
        let meta = self.engine.upgrade().map(|e| e.meta());
        let known = meta.and_then(|m| m.sites.iter().find(|s| s.name == name).map(|s| s.id));
        known.ok_or_else(|| {
            Refusal::new(Code::NoRoute, format!("no site named {name:?} is known here"))
                .hint(format!("add it with `wandisk site add {name} ssh://…`"))
        })
    }

    /// Somebody asks for something now: a failure that was remembered to spare dials is no answer to that.
    pub fn dial_anew(&self) {
        self.dialling.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Is a site being dialled?
    pub fn is_dialling(&self) -> bool {
        let turns = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        turns.values().any(|turn| turn.try_lock().is_err())
    }

    /// How to reach a site: as it was added here, else by the address that the disk brought along.
    fn entry_for(&self, home: &Home, site: SiteId) -> Option<SiteEntry> {
        let name = self.engine.upgrade()?.meta().sites.iter().find(|s| s.id == site).map(|s| s.name.clone());
        let by_name = || home.sites().iter().find(|s| s.id.is_none() && Some(&s.name) == name.as_ref());
        let hinted = || {
            let known = self.engine.upgrade()?.meta().sites.into_iter().find(|s| s.id == site)?;
            Some(SiteEntry {
                name: known.name,
                // A table of before may still hold what a peer told.
                address: known.address.filter(|a| is_host(a))?,
                remote_home: None,
                remote_wandisk: None,
                id: None,
                reads_only: false,
            })
        };
        home.site_by_id(site).or_else(by_name).cloned().or_else(hinted)
    }

    /// An address of a site that may be of use to other sites too: a host's name is, a command of this machine is not.
    #[must_use]
    pub fn address_for_others(&self, site: SiteId) -> Option<String> {
        let home = Home::open(self.home.path()).ok()?;
        let entry =
            home.site_by_id(site).filter(|e| e.remote_home.is_none() && e.remote_wandisk.is_none())?;
        entry.address.starts_with("ssh://").then(|| entry.address.clone())
    }

    /// Could this site dial that one?
    #[must_use]
    pub(crate) fn knows_a_way(&self, site: SiteId) -> bool {
        Home::open(self.home.path()).is_ok_and(|home| self.entry_for(&home, site).is_some())
    }

    /// Has a session with a site, by a dial if need be.
    ///
    /// # Errors
    /// A sentence about what went wrong on the way.
    pub(crate) async fn reach(self: &Arc<Self>, site: SiteId) -> Result<(), String> {
        self.session(site).await.map(drop)
    }

    pub(super) async fn session(self: &Arc<Self>, site: SiteId) -> Result<Session, String> {
        if let Some(session) = self.live(site) {
            return Ok(session);
        }
        // One dial a site at a time: whoever waited finds the session that the first one made, or its failure.
        let turn = {
            let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(dialling.entry(site).or_default())
        };
        let mut failure = turn.lock_owned().await;
        if let Some(session) = self.live(site) {
            return Ok(session);
        }
        if let Some((at, why)) = failure.as_ref()
            && at.elapsed() < DIAL_PAUSE
        {
            return Err(why.clone());
        }
        let home = Home::open(self.home.path()).map_err(|e| chain(&e))?;
        let peers = Arc::clone(self);
        // Whoever asks may wait for less time than a dial takes; what it has begun is for whoever asks next.
        let dial = async move {
            let mut ending = peers.ending.subscribe();
            let dialled = async {
                match peers.entry_for(&home, site) {
                    Some(entry) => peers.dial_entry(&home, &entry, Some(site)).await,
                    None => Err("it was not added here, and it has not connected to this site".to_owned()),
                }
            };
            let result = tokio::select! {
                result = dialled => result,
                _ = ending.wait_for(|ending| *ending) => Err(KEEPER_ENDS.to_owned()),
            };
            *failure = result.as_ref().err().map(|why| (Instant::now(), why.clone()));
            result
        };
        tokio::spawn(dial).await.map_err(|e| format!("the dial was given up: {e}"))?
    }

    async fn dial_entry(
        self: &Arc<Self>,
        home: &Home,
        entry: &SiteEntry,
        expected: Option<SiteId>,
    ) -> Result<Session, String> {
        let desk = self.desk(Mode::of_dialled(entry, home.sites()));
        let hello = self.hello();
        let begin = async |link| dial::session(link, home, entry, &hello, Arc::clone(&desk)).await;
        let ahead = Mutex::new(self.ahead.link(entry).await);
        let attempt = || {
            let ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
            let begin = &begin;
            async move {
                let (waited, began) = (ahead.is_some(), Instant::now());
                let link = match ahead {
                    Some(link) => link,
                    None => dial::link(entry).await?,
                };
                match begin(link).await {
                    // Cut while it waited, most likely. What is silent is dialled beside.
                    Err(_) if waited && began.elapsed() < DIAL_PAUSE => begin(dial::link(entry).await?).await,
                    begun => begun,
                }
            }
            .boxed()
        };
        let session = dial::beside(&entry.name, attempt).await?;
        let found = session.peer().site;
        if expected.is_some_and(|expected| expected != found) {
            session.close("another site was expected");
            return Err(format!("another site answers at {} ({})", entry.address, session.peer().name));
        }
        if entry.id != Some(found) && home.site(&entry.name).is_ok() {
            note_site_id(home, &entry.name, found);
        }
        self.keep(session.clone());
        self.look_after_width(home.clone(), entry.clone(), session.clone());
        Ok(session)
    }

    /// Makes sure that a site has a replica, creating an empty one if it never saw the disk.
    ///
    /// # Errors
    /// A [`Refusal`]: not reachable, or its name is taken there by another disk.
    pub async fn ensure_replica(self: &Arc<Self>, site: SiteId, facts: &Facts) -> Result<(), Refusal> {
        if self.live(site).is_some() {
            return Ok(());
        }
        let home = Home::open(self.home.path()).map_err(|e| Refusal::failed(&e))?;
        // A site that connected from outside has a keeper, so a replica; one that is only reached through others
        // must have been told of the disk by one of those.
        let Some(entry) = self.entry_for(&home, site).or_else(|| home.site_by_id(site).cloned()) else {
            return Ok(());
        };
        self.ahead.dial(&entry);
        let created = dial::create_replica(&home, &entry, self.ahead.lobby(site), facts).await;
        if created.is_err() {
            self.ahead.forget(&entry);
        }
        match created {
            Err(e) if e.code == Code::NoRoute && !self.relays(&[]).is_empty() => Ok(()),
            created => created,
        }
    }
}

/// The next dial knows whom to expect. A note that cannot be made costs one question more.
fn note_site_id(home: &Home, name: &str, found: SiteId) {
    if let Err(e) = home.clone().set_site_id(name, found) {
        tracing::warn!(error = %e, "a site's UUID could not be noted");
    }
}

fn unreachable(site: &str, why: &str) -> Refusal {
    Refusal::new(Code::NoRoute, format!("site {site} cannot be reached: {why}"))
        .hint(format!("see `wandisk site check {site}`"))
}
