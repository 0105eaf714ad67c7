//! A session: requests and replies both ways over one byte stream. Bytes are described in `docs/format.md`.
//!
//! Hello first, then frames. Both ends may ask; each request has an id of its asker, gets progress events and one
//! final reply, and can be cancelled. Frames of requests that somebody waits for overtake bulk ones.
//!
//! Fault model: the peer is hostile until checked, the stream may end or stall anywhere. Deadlines are armed before
//! the first byte; every length is checked before memory is taken for it; a peer that breaks a rule is named and cut.
//!
//! Memory is bounded without trusting the peer: at most [`ASKED_MAX`] requests are worked on at a time, their replies
//! queue in [`QUEUE`] frames (a peer that does not read stops its own requests), and what is received for our own
//! requests is at most one frame for each of them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::error::Refusal;
use super::frame::{self, Frame, Kind};
use super::message::{HelloFields, Progress};

/// Time for the peer's hello.
const HELLO: Duration = Duration::from_secs(20);
/// A ping is sent this often; the session is dead when nothing came for [`SILENCE`].
const PING: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);
/// Requests of the peer worked on at a time; it may have no more outstanding.
const ASKED_MAX: usize = 256;
/// Our own requests outstanding at a time: below the peer's limit, so that it is never broken.
const ASKING_MAX: usize = 192;
/// How long an ended session tries to send what it has begun, and why it ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Frames waiting to be sent, of each class.
const QUEUE: usize = 32;

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

/// A request's or reply's parts.
pub type Parts = (Vec<u8>, Bytes);

/// Tells the asker how far it is.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Who answers the peer's requests.
pub trait Handler: Send + Sync {
    /// What the reply to a request is sent ahead of.
    fn class_of(&self, _parts: &Parts) -> Class {
        Class::Demand
    }

    /// Answers one request of `peer`.
    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        progress: ProgressSink,
    ) -> BoxFuture<'static, Result<Parts, Refusal>>;
}

struct Waiting {
    reply: oneshot::Sender<Result<Parts, Refusal>>,
    progress: Option<ProgressSink>,
}

struct Shared {
    peer: HelloFields,
    demand: mpsc::Sender<Frame>,
    bulk: mpsc::Sender<Frame>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next_id: AtomicU64,
    places: Semaphore,
    closed: watch::Sender<Option<String>>,
    rtt_us: AtomicU64,
    heard_ms: AtomicU64,
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

    fn heard(&self) {
        self.heard_ms.store(ms(self.began.elapsed()), Ordering::Relaxed);
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
        let (demand, demand_queue) = mpsc::channel(QUEUE);
        let (bulk, bulk_queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            peer,
            demand,
            bulk,
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
            places: Semaphore::new(ASKING_MAX),
            closed: watch::Sender::new(None),
            rtt_us: AtomicU64::new(u64::MAX),
            heard_ms: AtomicU64::new(0),
            began: Instant::now(),
        });
        let session = Session { shared: Arc::clone(&shared) };
        began(&session);
        tokio::spawn(send_frames(Arc::clone(&shared), write, demand_queue, bulk_queue));
        tokio::spawn(receive_frames(Arc::clone(&shared), read, handler));
        tokio::spawn(keep_alive(shared));
        Ok(session)
    }

    /// What the peer said of itself.
    #[must_use]
    pub fn peer(&self) -> &HelloFields {
        &self.shared.peer
    }

    /// Round trip time, once measured.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        let us = self.shared.rtt_us.load(Ordering::Relaxed);
        (us != u64::MAX).then(|| Duration::from_micros(us))
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
    ) -> Result<Parts, RequestError> {
        let shared = &self.shared;
        let broken = || RequestError::Broken(shared.why_ended());
        let _place = shared.places.acquire().await.map_err(|_| broken())?;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (tell, hear) = oneshot::channel();
        shared.waiting().insert(id, Waiting { reply: tell, progress });
        let mut cancel = CancelOnDrop { shared, id, armed: true };
        if self.is_closed() {
            return Err(broken());
        }
        let queue = if class == Class::Demand { &shared.demand } else { &shared.bulk };
        queue.send(Frame::new(Kind::Request, id, parts)).await.map_err(|_| broken())?;
        let reply = hear.await;
        cancel.armed = false;
        match reply {
            Ok(Ok(parts)) => Ok(parts),
            Ok(Err(refusal)) => Err(RequestError::Refused(refusal)),
            Err(_) => Err(broken()),
        }
    }
}

struct CancelOnDrop<'a> {
    shared: &'a Shared,
    id: u64,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.shared.waiting().remove(&self.id).is_some() && self.armed {
            // If the queue is full the peer answers in vain; that is all.
            self.shared.demand.try_send(Frame::bare(Kind::Cancel, self.id)).ok();
        }
    }
}

async fn send_frames<S: AsyncWrite>(
    shared: Arc<Shared>,
    mut write: WriteHalf<S>,
    mut demand: mpsc::Receiver<Frame>,
    mut bulk: mpsc::Receiver<Frame>,
) {
    let mut closed = shared.closed.subscribe();
    let result: io::Result<()> = async {
        loop {
            let frame = tokio::select! {
                biased;
                _ = closed.wait_for(Option::is_some) => break,
                Some(frame) = demand.recv() => frame,
                Some(frame) = bulk.recv() => frame,
            };
            // Whatever waits goes out before the flush; demand is looked at before each bulk frame.
            let sending = async {
                frame::send(&mut write, &frame).await?;
                while let Some(frame) = demand.try_recv().ok().or_else(|| bulk.try_recv().ok()) {
                    frame::send(&mut write, &frame).await?;
                }
                write.flush().await
            };
            // A peer that reads no more must not keep an ended session's stream open.
            let given_up = async {
                closed.wait_for(Option::is_some).await.ok();
                tokio::time::sleep(LAST_WORDS).await;
            };
            tokio::select! {
                sent = sending => sent?,
                () = given_up => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        let why = shared.why_ended();
        let bye = Frame::new(Kind::Bye, 0, (why.into_bytes(), Bytes::new()));
        tokio::time::timeout(LAST_WORDS, async {
            frame::send(&mut write, &bye).await?;
            write.shutdown().await
        })
        .await?
    }
    .await;
    if let Err(e) = result {
        shared.end(&format!("nothing could be sent: {e}"));
    }
}

async fn receive_frames<S: AsyncRead>(
    shared: Arc<Shared>,
    mut read: BufReader<ReadHalf<S>>,
    handler: Arc<dyn Handler>,
) {
    let mut working: HashMap<u64, tokio::task::AbortHandle> = HashMap::new();
    let mut closed = shared.closed.subscribe();
    let why = loop {
        let frame = tokio::select! {
            frame = frame::read(&mut read) => frame,
            _ = closed.wait_for(Option::is_some) => break shared.why_ended(),
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break "the far side ended it".to_owned(),
            Err(e) => break e.to_string(),
        };
        shared.heard();
        if let Err(violation) = take_frame(&shared, frame, &handler, &mut working) {
            break violation;
        }
    };
    shared.end(&why);
    working.values().for_each(tokio::task::AbortHandle::abort);
}

fn take_frame(
    shared: &Arc<Shared>,
    frame: Frame,
    handler: &Arc<dyn Handler>,
    working: &mut HashMap<u64, tokio::task::AbortHandle>,
) -> Result<(), String> {
    match frame.kind {
        Kind::Request => {
            if working.len() >= ASKED_MAX {
                working.retain(|_, task| !task.is_finished());
            }
            if working.len() >= ASKED_MAX {
                return Err(format!("the far side has more than {ASKED_MAX} requests outstanding"));
            }
            let task = tokio::spawn(work(Arc::clone(shared), frame.id, frame.parts, Arc::clone(handler)));
            if working.insert(frame.id, task.abort_handle()).is_some_and(|old| !old.is_finished()) {
                return Err("the far side used a request's id twice".to_owned());
            }
        }
        Kind::Cancel => {
            if let Some(task) = working.remove(&frame.id) {
                task.abort();
            }
        }
        Kind::Reply | Kind::Error => {
            // A reply to nothing is one to a request that was cancelled meanwhile.
            if let Some(waiting) = shared.waiting().remove(&frame.id) {
                let result = if frame.kind == Kind::Reply {
                    Ok(frame.parts)
                } else {
                    Err(serde_json::from_slice(&frame.parts.0)
                        .map_err(|_| "an error that is none".to_owned())?)
                };
                waiting.reply.send(result).ok();
            }
        }
        Kind::Progress => {
            let progress =
                serde_json::from_slice(&frame.parts.0).map_err(|_| "progress that is none".to_owned())?;
            let sink = shared.waiting().get(&frame.id).and_then(|w| w.progress.clone());
            if let Some(sink) = sink {
                sink(progress);
            }
        }
        Kind::Ping => {
            shared.demand.try_send(Frame::bare(Kind::Pong, frame.id)).ok();
        }
        Kind::Pong => {
            let sent = Duration::from_micros(frame.id);
            if let Some(rtt) = shared.began.elapsed().checked_sub(sent) {
                shared
                    .rtt_us
                    .store(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX - 1), Ordering::Relaxed);
            }
        }
        Kind::Bye => return Err(frame::printable(&frame.parts.0)),
    }
    Ok(())
}

async fn work(shared: Arc<Shared>, id: u64, parts: Parts, handler: Arc<dyn Handler>) {
    let progress: ProgressSink = {
        let shared = Arc::clone(&shared);
        Arc::new(move |progress| {
            if let Ok(head) = serde_json::to_vec(&progress) {
                // Progress is news: left out where the queue is full.
                shared.demand.try_send(Frame::new(Kind::Progress, id, (head, Bytes::new()))).ok();
            }
        })
    };
    let class = handler.class_of(&parts);
    let frame = match handler.handle(shared.peer.clone(), parts, progress).await {
        Ok(parts) => Frame::new(Kind::Reply, id, parts),
        Err(refusal) => {
            let head = serde_json::to_vec(&refusal).unwrap_or_default();
            Frame::new(Kind::Error, id, (head, Bytes::new()))
        }
    };
    let queue = if class == Class::Demand { &shared.demand } else { &shared.bulk };
    queue.send(frame).await.ok();
}

async fn keep_alive(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(PING);
    let mut closed = shared.closed.subscribe();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = closed.wait_for(Option::is_some) => return,
        }
        let now = shared.began.elapsed();
        let silent = ms(now).saturating_sub(shared.heard_ms.load(Ordering::Relaxed));
        if silent > ms(SILENCE) {
            shared.end("the far side was silent for too long");
            return;
        }
        // A ping's id is the moment it was sent.
        let sent = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        shared.demand.try_send(Frame::bare(Kind::Ping, sent)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use wandisk_store::SiteId;

    /// Echoes; a head that begins with `b` is bulk, one that is `wait` is never answered.
    struct Echo;

    impl Handler for Echo {
        fn class_of(&self, (head, _): &Parts) -> Class {
            if head.starts_with(b"b") { Class::Bulk } else { Class::Demand }
        }

        fn handle(
            &self,
            _: HelloFields,
            parts: Parts,
            _: ProgressSink,
        ) -> BoxFuture<'static, Result<Parts, Refusal>> {
            async move {
                if parts.0 == b"wait" {
                    std::future::pending::<()>().await;
                }
                Ok(parts)
            }
            .boxed()
        }
    }

    fn hello(name: &str) -> HelloFields {
        HelloFields {
            site: SiteId::random(),
            name: name.to_owned(),
            disk: None,
            program: String::new(),
            free_bytes: None,
        }
    }

    async fn pair(buffer: usize) -> (Session, Session) {
        let (left, right) = tokio::io::duplex(buffer);
        let (a, b) = (hello("a"), hello("b"));
        let both =
            tokio::join!(Session::start(left, &a, Arc::new(Echo)), Session::start(right, &b, Arc::new(Echo)));
        (both.0.unwrap(), both.1.unwrap())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn both_ends_ask_and_are_answered() {
        let (a, b) = pair(1 << 16).await;
        let body = Bytes::from(vec![7; 1 << 20]);
        let there = a.request((b"x".to_vec(), body.clone()), Class::Bulk, None).await.unwrap();
        let back = b.request((b"y".to_vec(), Bytes::new()), Class::Demand, None).await.unwrap();
        assert_eq!((there.1, back.0.as_slice()), (body, b"y".as_slice()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_end_is_told_to_whoever_waits() {
        let (a, b) = pair(1 << 16).await;
        let asker = a.clone();
        let waiting = tokio::spawn(async move {
            asker.request((b"wait".to_vec(), Bytes::new()), Class::Demand, None).await
        });
        b.close("it was enough");
        assert!(matches!(waiting.await.unwrap(), Err(RequestError::Broken(_))));
        assert_eq!(a.closed().await, "it was enough");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_ended_session_lets_go_of_a_stream_that_nobody_reads() {
        let (left, mut right) = tokio::io::duplex(4096);
        let mine = hello("a");
        let mut said = Vec::new();
        super::super::frame::send_hello(&mut said, &mine).await.unwrap();
        let hello_len = said.len();
        let start = Session::start(left, &mine, Arc::new(Echo));
        let greet = async { super::super::frame::send_hello(&mut right, &hello("b")).await.unwrap() };
        let (session, ()) = tokio::join!(start, greet);
        let session = session.unwrap();
        let asker = session.clone();
        tokio::spawn(async move {
            asker.request((b"x".to_vec(), Bytes::from(vec![0; 1 << 20])), Class::Bulk, None).await
        });
        // The first ping and the first KiB of the request, so that the rest of it is stuck half-way.
        tokio::io::AsyncReadExt::read_exact(&mut right, &mut vec![0; hello_len + 1024]).await.unwrap();
        session.close("nobody reads");
        // Nothing is ever read here; that the stream is let go of shows when writing to it fails.
        let let_go = async {
            while right.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), let_go).await.unwrap();
    }
}
