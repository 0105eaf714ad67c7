//! The sending half of a session: three lanes, cut into frames, the more urgent one always first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::super::frame::{self, Frame, Kind, Message};
use super::super::limits::{ANSWERS_MAX, BYE_MAX, FRAME_TAKEN, LAST_WORDS};
use super::super::pieces::Cutter;
use super::{Class, Left, OnLeft, Outgoing, Pack, Shared};

/// Bytes that one permit of a lane's room stands for.
pub(super) const ROOM_UNIT: usize = 1024;

/// Permits for an answer of so many bytes; never more than there are.
pub(super) fn room_units(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, ANSWERS_MAX).div_ceil(ROOM_UNIT)).unwrap_or(u32::MAX)
}

/// A message whose pieces are being sent.
struct Sending {
    cutter: Cutter,
    /// Given back when all of it has left.
    _room: Option<OwnedSemaphorePermit>,
    left: Left,
    on_left: Option<OnLeft>,
}

/// Messages of one class, and the one whose pieces are being sent.
struct Lane {
    queue: mpsc::Receiver<Outgoing>,
    sending: Option<Sending>,
}

impl Lane {
    fn take(&mut self, outgoing: Outgoing) {
        let Outgoing { message, has_body, level, room, on_left, .. } = outgoing;
        let on_the_wire = if has_body { message.parts.1.len() } else { 0 };
        let left = Left { on_the_wire, level };
        self.sending = Some(Sending { cutter: Cutter::new(message), _room: room, left, on_left });
    }

    /// The next frame, if there is one now.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(sending) = &mut self.sending {
                if let Some(frame) = sending.cutter.next_frame() {
                    return Some(frame);
                }
                // All of it has left.
                let (left, on_left) = (sending.left, sending.on_left.take());
                self.sending = None;
                if let Some(on_left) = on_left {
                    on_left(left);
                }
            }
            let outgoing = self.queue.try_recv().ok()?;
            self.take(outgoing);
        }
    }
}

/// What waits to be sent. A frame of a later lane goes only when the earlier ones have none.
pub(super) struct Lanes {
    news: mpsc::Receiver<Message>,
    demand: Lane,
    bulk: Lane,
}

impl Lanes {
    pub(super) fn new(
        news: mpsc::Receiver<Message>,
        demand: mpsc::Receiver<Outgoing>,
        bulk: mpsc::Receiver<Outgoing>,
    ) -> Lanes {
        let lane = |queue| Lane { queue, sending: None };
        Lanes { news, demand: lane(demand), bulk: lane(bulk) }
    }

    /// The next frame, if there is one now.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let news = self.news.try_recv().ok().and_then(|message| Cutter::new(message).next_frame());
        news.or_else(|| self.demand.next()).or_else(|| self.bulk.next())
    }

    /// Waits for one; none if the session has ended.
    async fn wait(&mut self, closed: &mut watch::Receiver<Option<String>>) -> Option<Frame> {
        loop {
            if let Some(frame) = self.next() {
                return Some(frame);
            }
            tokio::select! {
                biased;
                _ = closed.wait_for(Option::is_some) => return None,
                Some(message) = self.news.recv() => return Cutter::new(message).next_frame(),
                Some(outgoing) = self.demand.queue.recv() => self.demand.take(outgoing),
                Some(outgoing) = self.bulk.queue.recv() => self.bulk.take(outgoing),
            }
        }
    }
}

/// Sends until the session ends, then why.
pub(super) async fn send_frames<S: AsyncWrite>(shared: Arc<Shared>, write: WriteHalf<S>, lanes: Lanes) {
    if let Err(e) = send_all(&shared, write, lanes).await {
        // A peer that has ended said why before: its bye may be on the way still.
        let mut closed = shared.closed.subscribe();
        tokio::time::timeout(LAST_WORDS, closed.wait_for(Option::is_some)).await.ok();
        shared.end(&format!("nothing could be sent: {e}"));
    }
    shared.silent.send_replace(true);
}

async fn send_all<S: AsyncWrite>(
    shared: &Shared,
    mut write: WriteHalf<S>,
    mut lanes: Lanes,
) -> io::Result<()> {
    let mut closed = shared.closed.subscribe();
    while let Some(first) = lanes.wait(&mut closed).await {
        if closed.borrow().is_some() {
            break;
        }
        // Whatever waits goes out before the flush.
        let sending = async {
            let mut next = Some(first);
            while let Some(frame) = next {
                let sent = tokio::time::timeout(FRAME_TAKEN, frame::send(&mut write, &frame));
                let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the far side takes nothing");
                let bytes = sent.await.map_err(late)??;
                shared.traffic.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
                next = lanes.next();
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
    let mut why = shared.why_ended().into_bytes();
    why.truncate(BYE_MAX);
    let bye = Frame { kind: Kind::Bye, id: 0, more: false, packed: false, head: why, piece: Bytes::new() };
    tokio::time::timeout(LAST_WORDS, async {
        frame::send(&mut write, &bye).await?;
        write.shutdown().await
    })
    .await?
}

/// Queues a reply.
pub(super) async fn reply(
    shared: &Shared,
    class: Class,
    message: Message,
    (pack, on_left): (Pack, Option<OnLeft>),
    room: Option<OwnedSemaphorePermit>,
) {
    shared.lane(class).send(Outgoing { pack, room, on_left, ..Outgoing::of(message) }).await.ok();
}
