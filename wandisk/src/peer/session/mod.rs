//! A session: requests and replies both ways over one byte stream. Bytes are described in `docs/format.md`.
//!
//! Hello first, then frames. Both ends may ask; each request has an id of its asker, gets progress events and one
//! final reply, and can be cancelled. Frames of requests that somebody waits for overtake bulk ones, piece by piece. Bulk
//! ones that give way are packed together ([`super::packing`]).
//!
//! Fault model: the peer is hostile until checked, the stream may end or stall anywhere. Deadlines are armed before
//! the first byte; every length is checked before memory is taken for it; a peer that breaks a rule is named and cut.
//!
//! Memory is bounded without trusting the peer (all bounds are in [`super::limits`]): so many requests and bytes of
//! requests are worked on at a time; each waits for room for its answer, and gives the room back when the answer has
//! left (a peer that does not read stops its own requests, and is cut in the end); what is received for our own
//! requests is at most one message for each of them, what comes in pieces two messages at a time.

#[cfg(test)]
mod ends;
mod pack;
mod receive;
mod send;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::error::{Code, Refusal};
use super::frame::{self, Kind, Message};
use super::limits::{ANSWERS_MAX, ASKING_MAX, HELLO, PING, QUEUE, SILENCE, SMALL_ANSWER};
use super::message::{HelloFields, Progress};

pub use super::frame::Parts;

/// What is sent ahead of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits.
    Demand,
    /// Syncs, tables, prefetch.
    Bulk,
}

/// Why a request got no reply.
#[derive(Clone, Debug)]
pub enum RequestError {
    /// The peer said no.
    Refused(Refusal),
    /// The session ended first.
    Broken(String),
}

/// Is an answer that nobody waits for packed together with others?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pack {
    /// Only if it is small.
    #[default]
    No,
    /// It gives way.
    Yes,
}

/// What an answer came to when it left.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// Bytes of its body on the wire, with its head where they were packed; 0 without a body.
    pub on_the_wire: usize,
    /// The level at which it was packed, if it was.
    pub level: Option<i32>,
}

/// Hears that an answer has left.
pub type OnLeft = Box<dyn FnOnce(Left) + Send>;

/// An answer to a request of the peer.
pub struct Reply {
    /// Head and body.
    pub parts: Parts,
    /// How it travels.
    pub pack: Pack,
    /// Who hears what it came to.
    pub on_left: Option<OnLeft>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("pack", &self.pack).finish_non_exhaustive()
    }
}

impl From<Parts> for Reply {
    fn from(parts: Parts) -> Reply {
        Reply { parts, pack: Pack::No, on_left: None }
    }
}

/// The final reply to a request of ours.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Head and body.
    pub parts: Parts,
    /// Bytes of the body on the wire, with the head where they were packed; 0 without a body.
    pub on_the_wire: usize,
}

/// Tells the asker how far it is.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Who answers the peer's requests.
pub trait Handler: Send + Sync {
    /// What the reply to a request is sent ahead of.
    fn class_of(&self, _parts: &Parts) -> Class {
        Class::Demand
    }

    /// How many bytes the answer to a request takes at most.
    fn room_for(&self, _parts: &Parts) -> usize {
        SMALL_ANSWER
    }

    /// Answers one request of `peer`.
    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>>;
}

struct Waiting {
    reply: oneshot::Sender<Result<Answered, Refusal>>,
    progress: Option<ProgressSink>,
}

/// A message on its way to the peer; its room is given back when it has left.
struct Outgoing {
    message: Message,
    /// It brings more than its head.
    has_body: bool,
    pack: Pack,
    /// The level at which it was packed.
    level: Option<i32>,
    room: Option<OwnedSemaphorePermit>,
    on_left: Option<OnLeft>,
}

impl Outgoing {
    fn of(message: Message) -> Outgoing {
        let has_body = !message.parts.1.is_empty();
        Outgoing { message, has_body, pack: Pack::No, level: None, room: None, on_left: None }
    }
}

/// What a session has carried, for the audit line.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes that came.
    pub bytes_in: AtomicU64,
    /// Bytes that went.
    pub bytes_out: AtomicU64,
    /// Requests of the peer.
    pub asked: AtomicU64,
    /// Those that were refused.
    pub refused: AtomicU64,
}

struct Shared {
    peer: HelloFields,
    /// Pings, pongs, progress: small, and ahead of everything.
    news: mpsc::Sender<Message>,
    demand: mpsc::Sender<Outgoing>,
    bulk: mpsc::Sender<Outgoing>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next_id: AtomicU64,
    places: Semaphore,
    demandroom: Arc<Semaphore>,
    bulkroom: Arc<Semaphore>,
    closed: watch::Sender<Option<String>>,
    /// Nothing more will be sent: the peer has been told why, if it could be.
    silent: watch::Sender<bool>,
    rtt_us: AtomicU64,
    shortest_rtt_us: AtomicU64,
    /// Requests of the peer that are worked on or whose answers wait to be sent.
    in_hand: AtomicU64,
    heard_ms: AtomicU64,
    traffic: Traffic,
    began: Instant,
}

/// A live session; clones share it.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("peer", &self.shared.peer.name).finish_non_exhaustive()
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: &str) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(why.to_owned());
            }
            first
        });
        // Dropping the senders tells every asker.
        self.waiting().clear();
    }

    fn why_ended(&self) -> String {
        self.closed.borrow().clone().unwrap_or_else(|| "it ended".to_owned())
    }

    fn heard(&self, bytes: usize) {
        self.heard_ms.store(ms(self.began.elapsed()), Ordering::Relaxed);
        self.traffic.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Asks whether the peer is there; its answer counts as hearing it.
    fn ping(&self) {
        // A ping's id is the moment it was sent.
        let sent = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.news.try_send(Message::bare(Kind::Ping, sent)).ok();
    }

    fn lane(&self, class: Class) -> &mpsc::Sender<Outgoing> {
        if class == Class::Demand { &self.demand } else { &self.bulk }
    }

    fn room(&self, class: Class) -> Arc<Semaphore> {
        Arc::clone(if class == Class::Demand { &self.demandroom } else { &self.bulkroom })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Session {
    /// Says hello, hears the peer's, and starts.
    ///
    /// # Errors
    /// A sentence: not a wandisk, another version, or no hello in time.
    pub async fn start<S>(
        stream: S,
        mine: &HelloFields,
        handler: Arc<dyn Handler>,
    ) -> Result<Session, io::Error>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Session::start_then(stream, mine, handler, |_| {}).await
    }

    /// As [`Session::start`], and lets `began` see the session before the first request of the peer is handled.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub async fn start_then<S>(
        stream: S,
        mine: &HelloFields,
        handler: Arc<dyn Handler>,
        began: impl FnOnce(&Session),
    ) -> Result<Session, io::Error>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, mut write) = tokio::io::split(stream);
        let mut read = BufReader::with_capacity(256 << 10, read);
        let hello = async {
            // Something that hears nothing and ends may have said why before.
            let sent = frame::send_hello(&mut write, mine).await;
            let peer = frame::read_hello(&mut read).await?;
            sent.map(|()| peer)
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the far side said no hello in time");
        let peer = tokio::time::timeout(HELLO, hello).await.map_err(|_| late())??;
        let (news, news_queue) = mpsc::channel(QUEUE);
        let (demand, demand_queue) = mpsc::channel(QUEUE);
        let (bulk, bulk_queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            peer,
            news,
            demand,
            bulk,
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
            places: Semaphore::new(ASKING_MAX),
            demandroom: Arc::new(Semaphore::new(ANSWERS_MAX / send::ROOM_UNIT)),
            bulkroom: Arc::new(Semaphore::new(ANSWERS_MAX / send::ROOM_UNIT)),
            closed: watch::Sender::new(None),
            silent: watch::Sender::new(false),
            rtt_us: AtomicU64::new(u64::MAX),
            shortest_rtt_us: AtomicU64::new(u64::MAX),
            in_hand: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            traffic: Traffic::default(),
            began: Instant::now(),
        });
        let session = Session { shared: Arc::clone(&shared) };
        began(&session);
        let (packed, packed_queue) = mpsc::channel(pack::AHEAD);
        tokio::spawn(pack::pack_bulk(Arc::clone(&shared), bulk_queue, packed));
        let lanes = send::Lanes::new(news_queue, demand_queue, packed_queue);
        tokio::spawn(send::send_frames(Arc::clone(&shared), write, lanes));
        tokio::spawn(receive::receive_frames(Arc::clone(&shared), read, handler));
        tokio::spawn(keep_alive(shared));
        Ok(session)
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn peer(&self) -> &HelloFields {
        &self.shared.peer
    }

    /// What it has carried so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.shared.traffic
    }

    /// How long ago it began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Has it ended?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.borrow().is_some()
    }

    /// Waits for its end and says why.
    pub async fn closed(&self) -> String {
        let mut closed = self.shared.closed.subscribe();
        closed.wait_for(Option::is_some).await.ok();
        self.shared.why_ended()
    }

    /// Waits until its end has been told to the peer, which takes a bounded time.
    pub async fn told(&self) {
        self.shared.silent.subscribe().wait_for(|silent| *silent).await.ok();
    }

    /// Ends it.
    pub fn close(&self, why: &str) {
        self.shared.end(why);
    }

    /// Asks, and waits for the final reply. Dropping the future cancels the request.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        &self,
        parts: Parts,
        class: Class,
        progress: Option<ProgressSink>,
    ) -> Result<Answered, RequestError> {
        let shared = &self.shared;
        let broken = || RequestError::Broken(shared.why_ended());
        let _place = shared.places.acquire().await.map_err(|_| broken())?;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (tell, hear) = oneshot::channel();
        shared.waiting().insert(id, Waiting { reply: tell, progress });
        let mut cancel = CancelOnDrop { shared, id, class, armed: true };
        if self.is_closed() {
            return Err(broken());
        }
        let message = Message::new(Kind::Request, id, parts);
        if !message.fits() {
            let text = "the request would be longer than the far side takes";
            return Err(RequestError::Refused(Refusal::new(Code::Failed, text)));
        }
        let asked = Outgoing::of(message);
        shared.lane(class).send(asked).await.map_err(|_| broken())?;
        let reply = hear.await;
        cancel.armed = false;
        match reply {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(refusal)) => Err(RequestError::Refused(refusal)),
            Err(_) => Err(broken()),
        }
    }
}

struct CancelOnDrop<'a> {
    shared: &'a Shared,
    id: u64,
    class: Class,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.shared.waiting().remove(&self.id).is_some() && self.armed {
            // Behind its request. If the queue is full the peer answers in vain; that is all.
            let cancel = Outgoing::of(Message::bare(Kind::Cancel, self.id));
            self.shared.lane(self.class).try_send(cancel).ok();
        }
    }
}

async fn keep_alive(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(PING);
    let mut closed = shared.closed.subscribe();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = closed.wait_for(Option::is_some) => return,
        }
        let silent = ms(shared.began.elapsed()).saturating_sub(shared.heard_ms.load(Ordering::Relaxed));
        if silent > ms(SILENCE) {
            shared.end("the far side was silent for too long");
            return;
        }
        shared.ping();
    }
}
