//! The receiving half of a session: frames in, requests handed on, replies given to whoever waits.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::io::{AsyncRead, BufReader, ReadBuf, ReadHalf};

use super::super::error::{Code, Refusal};
use super::super::frame::{self, Kind, Message, Parts};
use super::super::limits::{ASKED_BYTES_MAX, ASKED_MAX, FRAME};
use super::super::message::Progress;
use super::super::packing::Unpacker;
use super::super::pieces::Joiner;
use super::{Answered, Handler, Pack, ProgressSink, Shared, send};

/// Notes every byte that comes: a peer is judged by them, not by whole frames.
struct Heard<R> {
    inner: R,
    shared: Arc<Shared>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            self.shared.heard(came);
        }
        result
    }
}

/// The peer's requests that are being worked on.
#[derive(Default)]
struct Working {
    tasks: HashMap<u64, tokio::task::AbortHandle>,
    bytes: Arc<AtomicUsize>,
}

/// Bytes of a request in hand; counted until it is answered or given up.
struct InHand {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request in hand; counted until its answer is queued or it is given up.
struct Counted(Arc<Shared>);

impl Counted {
    fn of(shared: &Arc<Shared>) -> Counted {
        shared.in_hand.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Working {
    /// Room for one more request, if the peer may have it.
    fn admit(&mut self, message: &Message) -> Result<InHand, String> {
        if self.tasks.len() >= ASKED_MAX {
            self.tasks.retain(|_, task| !task.is_finished());
        }
        if self.tasks.len() >= ASKED_MAX {
            return Err(format!("the far side has more than {ASKED_MAX} requests outstanding"));
        }
        let bytes = message.parts.0.len() + message.parts.1.len();
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > ASKED_BYTES_MAX {
            return Err(format!("the far side's requests are of more than {ASKED_BYTES_MAX} bytes"));
        }
        Ok(InHand { all: Arc::clone(&self.bytes), bytes })
    }
}

/// Receives until the session ends or the peer breaks a rule.
pub(super) async fn receive_frames<S: AsyncRead>(
    shared: Arc<Shared>,
    read: BufReader<ReadHalf<S>>,
    handler: Arc<dyn Handler>,
) {
    let mut working = Working::default();
    let why = receive(&shared, read, &handler, &mut working).await;
    shared.end(&why);
    working.tasks.values().for_each(tokio::task::AbortHandle::abort);
}

async fn receive<S: AsyncRead>(
    shared: &Arc<Shared>,
    read: BufReader<ReadHalf<S>>,
    handler: &Arc<dyn Handler>,
    working: &mut Working,
) -> String {
    let mut read = Heard { inner: read, shared: Arc::clone(shared) };
    let (mut joiner, mut unpacker) = (Joiner::default(), Unpacker::default());
    let mut closed = shared.closed.subscribe();
    loop {
        let read = tokio::select! {
            read = tokio::time::timeout(FRAME, frame::read(&mut read)) => read,
            // What it gives is a lock on what is asked next, and somebody may be waiting to write there (`end`): dropped first.
            () = closed.wait_for(Option::is_some).map(drop) => return shared.why_ended(),
        };
        let frame = match read {
            Ok(Ok(frame)) => frame,
            Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return "the far side ended it".to_owned();
            }
            Ok(Err(e)) => return e.to_string(),
            Err(_) => return format!("the far side took more than {} s for a frame", FRAME.as_secs()),
        };
        let taken = match joiner.take(frame) {
            Ok(None) => Ok(()),
            Ok(Some(message)) => {
                let on_the_wire = message.parts.1.len();
                let unpacked = if message.packed {
                    unpacker.unpack(message).map_err(|e| e.to_string())
                } else {
                    Ok(message)
                };
                unpacked.and_then(|message| take_message(shared, (message, on_the_wire), handler, working))
            }
            Err(e) => Err(e.to_string()),
        };
        if let Err(violation) = taken {
            return violation;
        }
    }
}

fn take_message(
    shared: &Arc<Shared>,
    (message, on_the_wire): (Message, usize),
    handler: &Arc<dyn Handler>,
    working: &mut Working,
) -> Result<(), String> {
    // Ids of ours are given in order: what was never asked cannot be answered.
    let never_asked = || message.id == 0 || message.id >= shared.next_id.load(Ordering::Relaxed);
    match message.kind {
        Kind::Request => {
            let in_hand = working.admit(&message)?;
            shared.traffic.asked.fetch_add(1, Ordering::Relaxed);
            let task = work(Arc::clone(shared), message.id, message.parts, Arc::clone(handler), in_hand);
            let task = tokio::spawn(task).abort_handle();
            if working.tasks.insert(message.id, task).is_some_and(|old| !old.is_finished()) {
                return Err("the far side used a request's id twice".to_owned());
            }
        }
        Kind::Cancel => {
            if let Some(task) = working.tasks.remove(&message.id) {
                task.abort();
            }
        }
        Kind::Reply | Kind::Error | Kind::Progress if never_asked() => {
            return Err("the far side answered what was not asked".to_owned());
        }
        Kind::Reply | Kind::Error => {
            // A reply to nothing is one to a request that was cancelled meanwhile.
            if let Some(waiting) = shared.waiting().remove(&message.id) {
                let result = if message.kind == Kind::Reply {
                    // Of an answer that is all head there is no payload.
                    let on_the_wire = if message.parts.1.is_empty() { 0 } else { on_the_wire };
                    Ok(Answered { parts: message.parts, on_the_wire })
                } else {
                    let refusal = serde_json::from_slice::<Refusal>(&message.parts.0);
                    Err(refusal.map_err(|_| "an error that is none".to_owned())?.tamed())
                };
                waiting.reply.send(result).ok();
            }
        }
        Kind::Progress => {
            let progress = serde_json::from_slice::<Progress>(&message.parts.0);
            let progress = progress.map_err(|_| "progress that is none".to_owned())?.tamed();
            let sink = shared.waiting().get(&message.id).and_then(|w| w.progress.clone());
            if let Some(sink) = sink {
                sink(progress);
            }
        }
        Kind::Ping => {
            shared.news.try_send(Message::bare(Kind::Pong, message.id)).ok();
        }
        Kind::Pong => {
            let sent = Duration::from_micros(message.id);
            let rtt = shared.began.elapsed().checked_sub(sent);
            let rtt = rtt.ok_or_else(|| "the far side answered a ping that was not sent".to_owned())?;
            let us = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX - 1);
            shared.rtt_us.store(us, Ordering::Relaxed);
            shared.shortest_rtt_us.fetch_min(us, Ordering::Relaxed);
        }
        Kind::Bye => return Err(frame::printable(&message.parts.0)),
    }
    Ok(())
}

async fn work(shared: Arc<Shared>, id: u64, parts: Parts, handler: Arc<dyn Handler>, in_hand: InHand) {
    let progress: ProgressSink = {
        let shared = Arc::clone(&shared);
        Arc::new(move |progress: Progress| {
            if let Ok(head) = serde_json::to_vec(&progress.tamed()) {
                // Progress is news: left out where the queue is full.
                shared.news.try_send(Message::new(Kind::Progress, id, (head, Bytes::new()))).ok();
            }
        })
    };
    let _counted = Counted::of(&shared);
    let class = handler.class_of(&parts);
    let units = send::room_units(handler.room_for(&parts));
    let room = shared.room(class).acquire_many_owned(units).await.ok();
    let (reply, how) = match handler.handle(shared.peer.clone(), parts, progress).await {
        Ok(reply) => (Message::new(Kind::Reply, id, reply.parts), (reply.pack, reply.on_left)),
        Err(refusal) => (refused(id, refusal, &shared), (Pack::No, None)),
    };
    let too_long = || Refusal::new(Code::Failed, "the answer would be too long to be sent");
    let (reply, how) =
        if reply.fits() { (reply, how) } else { (refused(id, too_long(), &shared), (Pack::No, None)) };
    drop(in_hand);
    send::reply(&shared, class, reply, how, room).await;
}

fn refused(id: u64, refusal: Refusal, shared: &Shared) -> Message {
    shared.traffic.refused.fetch_add(1, Ordering::Relaxed);
    let head = serde_json::to_vec(&refusal.tamed()).unwrap_or_default();
    Message::new(Kind::Error, id, (head, Bytes::new()))
}
