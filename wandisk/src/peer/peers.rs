//! The other sites, as one keeper talks to them: sessions kept, dialled, accepted; requests routed.
//!
//! A session carries requests both ways, so a site behind NAT that dialled out is asked through its own connection.
//! Where no session can be had, any other session's site is asked to pass the request on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use wandisk_store::{DiskId, Home, SiteEntry, SiteId};

use super::audit::{Refusals, SessionOrigin, audit};
use super::dial;
use super::error::{Code, PeerError, Refusal, chain};
use super::facts::is_host;
use super::limits::{PATH_MAX, SESSIONS_A_SITE, SESSIONS_MAX, SMALL_ANSWER};
use super::message::{Answer, Ask, Envelope, Facts, HelloFields, Standing};
use super::permit::Mode;
use super::rows::{self, ROWS_MAX};
use super::session::{Class, Handler, Parts, ProgressSink, RequestError, Session};
use crate::engine::Engine;
use crate::keeper::{Keeper, Report};

/// A site that could not be reached is not dialled again for this long.
const DIAL_PAUSE: Duration = Duration::from_millis(500);
/// Kept sessions with a site that one request may find dead.
const STALE_SESSIONS: usize = SESSIONS_A_SITE;

/// Why a session ends when its keeper does in order.
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
    inbound: tokio::sync::Semaphore,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("disk", &self.disk).finish_non_exhaustive()
    }
}

/// Answers what a session's peer asks.
struct Desk {
    peers: Weak<Peers>,
    mode: Mode,
    refusals: Arc<Refusals>,
}

impl Handler for Desk {
    fn class_of(&self, (head, _): &Parts) -> Class {
        serde_json::from_slice::<Envelope>(head).map_or(Class::Demand, |envelope| class_of(&envelope.ask))
    }

    fn room_for(&self, (head, _): &Parts) -> usize {
        let engine = self.peers.upgrade().and_then(|peers| peers.engine.upgrade());
        match serde_json::from_slice::<Envelope>(head).map(|envelope| envelope.ask) {
            Ok(Ask::Fetch { .. }) => {
                engine.map_or(0, |e| usize::try_from(e.hot_chunk_size()).unwrap_or(usize::MAX))
            }
            Ok(Ask::Rows { .. }) => ROWS_MAX * rows::ROW_LEN,
            _ => SMALL_ANSWER,
        }
    }

    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<Parts, Refusal>> {
        let (peers, mode, refusals) = (self.peers.upgrade(), self.mode, Arc::clone(&self.refusals));
        async move {
            let ending = || Refusal::new(Code::Again, "the keeper is ending");
            let result = peers.ok_or_else(ending)?.take(&peer, mode, parts, progress).await;
            refusals.note(&peer, &result);
            result
        }
        .boxed()
    }
}

/// What nobody waits for goes after what somebody waits for, and so does its reply.
fn class_of(ask: &Ask) -> Class {
    match ask {
        Ask::Fetch { demand: false, .. }
        | Ask::Push { .. }
        | Ask::Holds { .. }
        | Ask::Hashes { .. }
        | Ask::Rows { .. } => Class::Bulk,
        _ => Class::Demand,
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
            inbound: tokio::sync::Semaphore::new(SESSIONS_MAX),
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

    fn desk(self: &Arc<Self>, mode: Mode) -> Arc<dyn Handler> {
        Arc::new(Desk { peers: Arc::downgrade(self), mode, refusals: Arc::default() })
    }

    /// Runs a session that a peer opened, until it ends.
    pub async fn accept(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        came: SessionOrigin,
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
        };
        match Session::start_then(stream, &self.hello(), self.desk(came.mode), keep).await {
            Ok(session) => {
                let peer = session.peer();
                tracing::info!(site = peer.name, uuid = %peer.site, mode = came.mode.word(), "a session began");
                let why = session.closed().await;
                audit(&session, &came, Some(self.disk), &why);
            }
            Err(e) => tracing::warn!(error = %e, "a session could not begin"),
        }
    }

    fn keep(&self, session: Session) {
        let mut sessions = self.sessions();
        let of_site = sessions.entry(session.peer().site).or_default();
        of_site.retain(|s| !s.is_closed());
        if of_site.len() >= SESSIONS_A_SITE {
            // The oldest is the likeliest to be dying of a cut that nobody has noticed.
            of_site.remove(0).close("a newer session of the same site took its place");
        }
        of_site.push(session);
    }

    /// A live session with a site, the newest first: an older one may be dying of a cut that it has not noticed.
    fn live(&self, site: SiteId) -> Option<Session> {
        let mut sessions = self.sessions();
        let of_site = sessions.get_mut(&site)?;
        of_site.retain(|s| !s.is_closed());
        of_site.last().cloned()
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
            let session = dial::lobby_session(&home, entry).await.map_err(|why| unreachable(name, &why))?;
            let found = session.peer().site;
            session.close("that was all");
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

    async fn session(self: &Arc<Self>, site: SiteId) -> Result<Session, String> {
        if let Some(session) = self.live(site) {
            return Ok(session);
        }
        // One dial a site at a time: whoever waited finds the session that the first one made, or its failure.
        let turn = {
            let mut dialling = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(dialling.entry(site).or_default())
        };
        let mut failure = turn.lock().await;
        if let Some(session) = self.live(site) {
            return Ok(session);
        }
        if let Some((at, why)) = failure.as_ref()
            && at.elapsed() < DIAL_PAUSE
        {
            return Err(why.clone());
        }
        let home = Home::open(self.home.path()).map_err(|e| chain(&e))?;
        let result = match self.entry_for(&home, site) {
            Some(entry) => self.dial_entry(&home, &entry, Some(site)).await,
            None => Err("it was not added here, and it has not connected to this site".to_owned()),
        };
        *failure = result.as_ref().err().map(|why| (Instant::now(), why.clone()));
        result
    }

    async fn dial_entry(
        self: &Arc<Self>,
        home: &Home,
        entry: &SiteEntry,
        expected: Option<SiteId>,
    ) -> Result<Session, String> {
        let session = dial::session(home, entry, &self.hello(), self.desk(Mode::of_dialled(entry, home.sites()))).await?;
        let found = session.peer().site;
        if expected.is_some_and(|expected| expected != found) {
            session.close("another site was expected");
            return Err(format!("another site answers at {} ({})", entry.address, session.peer().name));
        }
        if entry.id != Some(found) && home.site(&entry.name).is_ok() {
            note_site_id(home, &entry.name, found);
        }
        self.keep(session.clone());
        Ok(session)
    }

    /// Asks a site, directly or through others.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn ask(
        self: &Arc<Self>,
        to: SiteId,
        ask: Ask,
        body: Bytes,
    ) -> Result<(Answer, Bytes), PeerError> {
        let envelope = Envelope { to, path: Vec::new(), ask };
        self.send(envelope, body, None).await
    }

    /// As [`Peers::ask`], with progress.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn ask_reporting(
        self: &Arc<Self>,
        to: SiteId,
        ask: Ask,
        body: Bytes,
        report: &Report,
    ) -> Result<(Answer, Bytes), PeerError> {
        let envelope = Envelope { to, path: Vec::new(), ask };
        self.send(envelope, body, Some(Arc::clone(report))).await
    }

    async fn send(
        self: &Arc<Self>,
        mut envelope: Envelope,
        body: Bytes,
        progress: Option<ProgressSink>,
    ) -> Result<(Answer, Bytes), PeerError> {
        envelope.path.push(self.home.id());
        let class = class_of(&envelope.ask);
        let to = envelope.to;
        let mut stale = 0;
        let mut why = loop {
            let kept = self.live(to).is_some();
            let session = match self.session(to).await {
                Ok(session) => session,
                Err(why) => break why,
            };
            match self.over(&session, &envelope, body.clone(), class, progress.clone()).await {
                // A session that was kept may have died unnoticed, and any may have met a keeper that is just ending:
                // every request can be asked twice.
                Err(PeerError::Broken { why, .. })
                    if (kept || why == KEEPER_ENDS) && stale < STALE_SESSIONS =>
                {
                    stale += 1;
                }
                other => return other,
            }
        };
        if envelope.path.len() < PATH_MAX {
            for relay in self.relays(&envelope.path) {
                match self.over(&relay, &envelope, body.clone(), class, progress.clone()).await {
                    Err(e) if e.code() == Some(Code::NoRoute) => why = e.to_string(),
                    Err(PeerError::Broken { why: broken, .. }) => why = broken,
                    other => return other,
                }
            }
        }
        Err(PeerError::Unreachable { site: self.name_of(to), why })
    }

    /// Sessions with sites that a request has not passed.
    fn relays(&self, path: &[SiteId]) -> Vec<Session> {
        let sites: Vec<SiteId> = self.sessions().keys().copied().filter(|s| !path.contains(s)).collect();
        self.by_nearness(sites).into_iter().filter_map(|s| self.live(s)).collect()
    }

    async fn over(
        &self,
        session: &Session,
        envelope: &Envelope,
        body: Bytes,
        class: Class,
        progress: Option<ProgressSink>,
    ) -> Result<(Answer, Bytes), PeerError> {
        let site = || session.peer().name.clone();
        let head = serde_json::to_vec(envelope).map_err(|_| PeerError::Confused { site: site() })?;
        match session.request((head, body), class, progress).await {
            Ok((head, body)) => {
                let answer =
                    serde_json::from_slice(&head).map_err(|_| PeerError::Confused { site: site() })?;
                Ok((answer, body))
            }
            Err(RequestError::Refused(refusal)) => Err(PeerError::Refused { site: site(), refusal }),
            Err(RequestError::Broken(why)) => Err(PeerError::Broken { site: site(), why }),
        }
    }

    /// A request that came over a session: for this site, or to be passed on.
    async fn take(
        self: &Arc<Self>,
        peer: &HelloFields,
        mode: Mode,
        (head, body): Parts,
        progress: ProgressSink,
    ) -> Result<Parts, Refusal> {
        let envelope: Envelope = serde_json::from_slice(&head)
            .map_err(|e| Refusal::new(Code::Senseless, format!("the request makes no sense here: {e}")))?;
        let asker = envelope.path.first().copied().unwrap_or(peer.site);
        if envelope.path.len() > PATH_MAX || envelope.path.last() != Some(&peer.site) {
            return Err(Refusal::new(Code::Senseless, "the request's path is not the way it came"));
        }
        // Before it is passed on, too: a site beyond would take it for ours.
        mode.permits(&envelope.ask)?;
        let (answer, body) = if envelope.to == self.home.id() {
            let keeper = self.keeper.get().and_then(Weak::upgrade);
            let keeper = keeper.ok_or_else(|| Refusal::new(Code::Again, "the keeper is ending"))?;
            keeper.answer(asker, envelope.ask, body, &progress).await?
        } else {
            if envelope.path.contains(&self.home.id()) {
                return Err(Refusal::new(Code::NoRoute, "the request came round in a circle"));
            }
            Box::pin(self.send(envelope, body, Some(progress))).await.map_err(|e| match e {
                PeerError::Refused { refusal, .. } => refusal,
                other => Refusal::new(Code::NoRoute, other.to_string()),
            })?
        };
        let head = serde_json::to_vec(&answer).map_err(|e| Refusal::failed(&e))?;
        Ok((head, body))
    }

    /// How the disk stands at a site.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn standing_of(self: &Arc<Self>, site: SiteId) -> Result<Standing, PeerError> {
        match self.ask(site, Ask::Standing, Bytes::new()).await?.0 {
            Answer::Standing(standing) => Ok(*standing),
            _ => Err(PeerError::Confused { site: self.name_of(site) }),
        }
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
        match dial::create_replica(&home, &entry, facts).await {
            Ok(()) => Ok(()),
            Err(e) if e.code == Code::NoRoute && !self.relays(&[]).is_empty() => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Ends every session.
    pub async fn close(&self) {
        let all: Vec<Session> = self.sessions().drain().flat_map(|(_, s)| s).collect();
        all.iter().for_each(|s| s.close(KEEPER_ENDS));
        tokio::time::sleep(Duration::from_millis(20)).await;
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
