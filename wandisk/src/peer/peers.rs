//! The other sites, as one keeper talks to them: sessions accepted and kept (`reach` dials them, some links `ahead`,
//! `requests` uses them, `demand` spreads what somebody waits for over them, `width` has more of them where a line is long).
//!
//! A session carries requests both ways, so a site behind NAT that dialled out is asked through its own connection.
//! Where no session can be had, any other session's site is asked to pass the request on.

mod ahead;
mod demand;
mod reach;
mod requests;
mod width;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use wandisk_store::{DiskId, Home, SiteId};

pub(super) use requests::Heard;

use super::audit::{SessionOrigin, audit};
use super::dial;
use super::limits::{LAST_WORDS, SESSIONS_A_SITE, SESSIONS_MAX};
use super::message::HelloFields;
use super::permit::Mode;
use super::session::Session;
use crate::delta::Ledger;
use crate::engine::Engine;
use crate::keeper::Keeper;

/// Why a session ends when its keeper does in order: whoever hears it knows that nothing was cut.
const KEEPER_ENDS: &str = "the keeper ends";

type Failure = (Instant, String);

/// All other sites.
pub struct Peers {
    home: Home,
    disk: DiskId,
    engine: Weak<Engine>,
    keeper: OnceLock<Weak<Keeper>>,
    sessions: Mutex<HashMap<SiteId, Vec<Session>>>,
    dialling: Mutex<HashMap<SiteId, Arc<tokio::sync::Mutex<Option<Failure>>>>>,
    ahead: ahead::Ahead,
    demand: demand::Demand,
    inbound: tokio::sync::Semaphore,
    ending: watch::Sender<bool>,
    /// Rung when a session with the resident ended otherwise than by a good-bye of its keeper.
    resident_cut: Notify,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl Peers {
    /// The other sites of a disk.
    #[must_use]
    pub fn new(home: Home, engine: &Arc<Engine>) -> Arc<Peers> {
        Arc::new(Peers {
            home,
            disk: engine.meta().uuid,
            engine: Arc::downgrade(engine),
            keeper: OnceLock::new(),
            sessions: Mutex::default(),
            dialling: Mutex::default(),
            ahead: ahead::Ahead::default(),
            demand: demand::Demand::default(),
            inbound: tokio::sync::Semaphore::new(SESSIONS_MAX),
            ending: watch::Sender::new(false),
            resident_cut: Notify::new(),
        })
    }

    /// Says who answers what peers ask.
    pub fn serve_with(&self, keeper: &Arc<Keeper>) {
        self.keeper.set(Arc::downgrade(keeper)).ok();
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SiteId, Vec<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hello(&self) -> HelloFields {
        dial::hello(&self.home, Some(self.disk))
    }

    /// Runs a session that a peer opened, until it ends or `gone` has come: whoever brought its stream is no longer there.
    /// `busy` is let go of once it has begun: a keeper that ends before is one that its peer never heard of.
    pub async fn accept(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        came: SessionOrigin,
        busy: impl Send,
        gone: impl Future<Output = ()>,
    ) {
        let Ok(_place) = self.inbound.try_acquire() else {
            tracing::warn!("a session was refused: {SESSIONS_MAX} are open");
            return;
        };
        // Kept before its first request is heard: what is asked here may need to ask back. A peer that may only read is
        // not asked: what it answered could say anything in the name of a site that holds the disk.
        let keep = |session: &Session| {
            if came.mode == Mode::Rw {
                self.keep(session.clone());
            }
            drop(busy);
        };
        match Session::start_then(stream, &self.hello(), self.desk(came.mode), keep).await {
            Ok(session) => {
                let peer = session.peer();
                tracing::info!(site = peer.name, uuid = %peer.site, mode = came.mode.word(), "a session began");
                let mut ending = self.ending.subscribe();
                tokio::select! {
                    _ = session.closed() => {}
                    () = ending.wait_for(|ending| *ending).map(drop) => session.close(KEEPER_ENDS),
                    () = gone => session.close("the far side ended it"),
                }
                let why = session.closed().await;
                session.told().await;
                audit(&session, &came, Some(self.disk), &why);
            }
            Err(e) => tracing::warn!(error = %e, "a session could not begin"),
        }
    }

    fn keep(self: &Arc<Self>, session: Session) {
        let (peers, kept) = (Arc::downgrade(self), session.clone());
        take_in(self.sessions().entry(session.peer().site).or_default(), session);
        tokio::spawn(async move {
            let why = kept.closed().await;
            if why != KEEPER_ENDS
                && let Some(peers) = peers.upgrade()
            {
                peers.note_cut(kept.peer().site);
            }
        });
    }

    fn note_cut(&self, site: SiteId) {
        if self.engine.upgrade().is_some_and(|engine| engine.meta().resident == site) {
            self.resident_cut.notify_one();
        }
    }

    /// Waits until a session with the resident is cut, or hears of one that was. Of many the last may be alive still.
    pub(crate) async fn resident_cut(&self) {
        self.resident_cut.notified().await;
    }

    /// A live session with a site, the newest first: an older one may be dying of a cut that it has not noticed.
    fn live(&self, site: SiteId) -> Option<Session> {
        let mut sessions = self.sessions();
        let of_site = sessions.get_mut(&site)?;
        of_site.retain(|s| !s.is_closed());
        of_site.last().cloned()
    }

    /// Of the live sessions with a site, the one over which least is asked: for what nobody waits for.
    ///
    /// Only those that the peer was heard on since the newest began, which a session from before a cut was not.
    fn least_asked(&self, site: SiteId) -> Option<Session> {
        let newest = self.live(site)?;
        self.fresh(site, &newest).into_iter().min_by_key(Session::asking).or(Some(newest))
    }

    /// The live sessions with a site that the peer was heard on since the newest began.
    fn fresh(&self, site: SiteId, newest: &Session) -> Vec<Session> {
        let sessions = self.sessions();
        let of_site = sessions.get(&site).map_or(&[][..], Vec::as_slice);
        of_site.iter().filter(|s| !s.is_closed() && s.heard_since(newest)).cloned().collect()
    }

    /// Tells what all links have brought so far.
    pub fn note_rate(&self, ledger: &Ledger) {
        let bytes_in = self.sessions().values().flatten().map(|session| session.bytes().0).sum();
        ledger.brought(bytes_in, Instant::now());
    }

    fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Is there a session with a site now?
    #[must_use]
    pub fn has_session(&self, site: SiteId) -> bool {
        self.live(site).is_some()
    }

    /// Round trip time to a site, if there is a session that measured it.
    #[must_use]
    pub fn rtt(&self, site: SiteId) -> Option<Duration> {
        self.live(site)?.rtt()
    }

    /// Sites by nearness: those with a session by their round trip time, then the others as given.
    #[must_use]
    pub fn by_nearness(&self, mut sites: Vec<SiteId>) -> Vec<SiteId> {
        sites.sort_by_key(|site| self.rtt(*site).unwrap_or(Duration::MAX));
        sites
    }

    /// A name for a site, for people.
    #[must_use]
    pub fn name_of(&self, site: SiteId) -> String {
        if site == self.home.id() {
            return self.home.name().to_owned();
        }
        if let Some(session) = self.live(site) {
            return session.peer().name.clone();
        }
        // Read anew: its UUID may have been noted since this keeper started.
        let home = Home::open(self.home.path()).ok();
        let added = home.and_then(|h| h.site_by_id(site).map(|s| s.name.clone()));
        let known = || self.engine.upgrade().map(|e| e.meta().site_name(site));
        added.or_else(known).unwrap_or_else(|| site.to_string())
    }

    /// Ends every session, and waits until each peer has been told why: who is told asks the next keeper.
    pub async fn close(&self) {
        self.ending.send_replace(true);
        let dialled: Vec<Session> = self.sessions().drain().flat_map(|(_, s)| s).collect();
        dialled.iter().for_each(|s| s.close(KEEPER_ENDS));
        let told = async {
            futures::future::join_all(dialled.iter().map(Session::told)).await;
            // Whoever accepted a session gives its place back.
            let places = u32::try_from(SESSIONS_MAX).unwrap_or(u32::MAX);
            drop(self.inbound.acquire_many(places).await);
        };
        tokio::time::timeout(LAST_WORDS, told).await.ok();
    }
}

/// One session more with a site.
pub(super) fn take_in(of_site: &mut Vec<Session>, session: Session) {
    of_site.retain(|s| !s.is_closed());
    if of_site.len() >= SESSIONS_A_SITE {
        // The oldest is the likeliest to be dying of a cut that nobody has noticed.
        of_site.remove(0).close("a newer session of the same site took its place");
    }
    // Of the others only those are used that are heard from now on: that is to be a round trip, not until their next ping.
    of_site.iter().for_each(Session::ping);
    of_site.push(session);
}
