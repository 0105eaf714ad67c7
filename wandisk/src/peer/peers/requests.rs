//! Requests between sites: asked over the session there is, passed on where there is none, answered for this site.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use wandisk_store::SiteId;
use wandisk_store::trace::TRACE_BYTES_MAX;

use super::{KEEPER_ENDS, Peers};
use crate::delta::{self, Form};
use crate::keeper::Report;
use crate::peer::audit::Refusals;
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::limits::{PATH_MAX, SESSIONS_A_SITE, SMALL_ANSWER};
use crate::peer::message::{Answer, Ask, Envelope, HelloFields, Standing};
use crate::peer::parts::Part;
use crate::peer::permit::Mode;
use crate::peer::rows::{self, ROWS_MAX};
use crate::peer::session::{
    Answered, Class, Handler, Left, OnLeft, Pack, Parts, ProgressSink, Reply, RequestError, Session,
};

/// Kept sessions with a site that one request may find dead.
const STALE_SESSIONS: usize = SESSIONS_A_SITE;

/// What a site answered.
#[derive(Debug)]
pub struct Heard {
    /// The answer.
    pub answer: Answer,
    /// Its body.
    pub body: Bytes,
    /// Bytes that the body took on the wire, with the answer where they were packed; 0 without a body.
    pub on_the_wire: usize,
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
            Ok(Ask::Fetch { part, .. }) => {
                let size = engine.map_or(0, |e| usize::try_from(e.hot_chunk_size()).unwrap_or(usize::MAX));
                part.map_or(size, |part| part.len().min(size))
            }
            Ok(Ask::Rows { .. }) => ROWS_MAX * rows::ROW_LEN,
            Ok(Ask::Trace) => TRACE_BYTES_MAX,
            _ => SMALL_ANSWER,
        }
    }

    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        let (peers, mode, refusals) = (self.peers.upgrade(), self.mode, Arc::clone(&self.refusals));
        async move {
            let ending = || Refusal::new(Code::Again, "the keeper is ending");
            let peers = peers.ok_or_else(ending)?;
            let result = peers.take(&peer, mode, parts, progress).await;
            if result.is_err() && peers.is_ending() {
                // It may have failed because links end. Whoever asked hears that the keeper does, and asks the next one.
                drop(peers);
                return std::future::pending().await;
            }
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
        | Ask::Rows { .. }
        | Ask::Trace => Class::Bulk,
        _ => Class::Demand,
    }
}

impl Peers {
    pub(super) fn desk(self: &Arc<Self>, mode: Mode) -> Arc<dyn Handler> {
        Arc::new(Desk { peers: Arc::downgrade(self), mode, refusals: Arc::default() })
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
        self.hear(to, ask, body).await.map(|heard| (heard.answer, heard.body))
    }

    /// As [`Peers::ask`], and tells what the answer came to on the wire.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn hear(self: &Arc<Self>, to: SiteId, ask: Ask, body: Bytes) -> Result<Heard, PeerError> {
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
        let heard = self.send(envelope, body, Some(Arc::clone(report))).await?;
        Ok((heard.answer, heard.body))
    }

    async fn send(
        self: &Arc<Self>,
        mut envelope: Envelope,
        body: Bytes,
        progress: Option<ProgressSink>,
    ) -> Result<Heard, PeerError> {
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
            let session = Some(session).filter(|_| class == Class::Demand).or_else(|| self.least_asked(to));
            let Some(session) = session else { continue };
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
    pub(super) fn relays(&self, path: &[SiteId]) -> Vec<Session> {
        let sites: Vec<SiteId> = self.sessions().keys().copied().filter(|s| !path.contains(s)).collect();
        self.by_nearness(sites).into_iter().filter_map(|s| self.live(s)).collect()
    }

    pub(super) async fn over(
        &self,
        session: &Session,
        envelope: &Envelope,
        body: Bytes,
        class: Class,
        progress: Option<ProgressSink>,
    ) -> Result<Heard, PeerError> {
        let site = || session.peer().name.clone();
        let head = serde_json::to_vec(envelope).map_err(|_| PeerError::Confused { site: site() })?;
        match session.request((head, body), class, progress).await {
            Ok(Answered { parts: (head, body), on_the_wire }) => {
                let answer =
                    serde_json::from_slice(&head).map_err(|_| PeerError::Confused { site: site() })?;
                Ok(Heard { answer, body, on_the_wire })
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
    ) -> Result<Reply, Refusal> {
        let envelope: Envelope = serde_json::from_slice(&head)
            .map_err(|e| Refusal::new(Code::Senseless, format!("the request makes no sense here: {e}")))?;
        let asker = envelope.path.first().copied().unwrap_or(peer.site);
        if envelope.path.len() > PATH_MAX || envelope.path.last() != Some(&peer.site) {
            return Err(Refusal::new(Code::Senseless, "the request's path is not the way it came"));
        }
        // Before it is passed on, too: a site beyond would take it for ours.
        mode.permits(&envelope.ask)?;
        let class = class_of(&envelope.ask);
        let answers_here = envelope.to == self.home.id();
        let (part, somebody_waits) = match &envelope.ask {
            Ask::Fetch { part, demand, .. } => (*part, *demand),
            _ => (None, false),
        };
        let (answer, body) = if answers_here {
            let keeper = self.keeper.get().and_then(Weak::upgrade);
            let keeper = keeper.ok_or_else(|| Refusal::new(Code::Again, "the keeper is ending"))?;
            keeper.answer(asker, envelope.ask, body, &progress).await?
        } else {
            if envelope.path.contains(&self.home.id()) {
                return Err(Refusal::new(Code::NoRoute, "the request came round in a circle"));
            }
            let heard = Box::pin(self.send(envelope, body, Some(progress))).await.map_err(|e| match e {
                PeerError::Refused { refusal, .. } => refusal,
                other => Refusal::new(Code::NoRoute, other.to_string()),
            })?;
            (heard.answer, heard.body)
        };
        let head = serde_json::to_vec(&answer).map_err(|e| Refusal::failed(&e))?;
        let Answer::Chunk { form, .. } = answer else { return Ok((head, body).into()) };
        // Of a chunk in parts its first is the one that counts: who waits for it waits once.
        if somebody_waits && !body.is_empty() && part.is_none_or(Part::is_first) {
            self.demand.note(peer.site);
        }
        let pack = if class == Class::Bulk && delta::gives_way(form, &body) { Pack::Yes } else { Pack::No };
        // What is passed on is the holder's to count.
        let on_left = if answers_here { self.on_left(form, part) } else { None };
        Ok(Reply { parts: (head, body), pack, on_left })
    }

    /// Keeps what a chunk of this site, or a part of one, came to when it left.
    fn on_left(&self, form: Form, part: Option<Part>) -> Option<OnLeft> {
        let engine = self.engine.upgrade()?;
        Some(Box::new(move |left: Left| {
            let (stats, chunk) = (engine.fetch_stats(), engine.hot_chunk_size());
            stats.bytes_out.fetch_add(left.on_the_wire as u64, Ordering::Relaxed);
            let chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
            let length = part.map_or(chunk, Part::len);
            stats.ledger.went(form, length, left.on_the_wire, left.level);
        }))
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
}
