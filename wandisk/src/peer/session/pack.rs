//! Between the queue of bulk messages and the sender: those that give way are packed into the connection's stream.
//!
//! A task of its own, so that what somebody waits for is sent meanwhile, and the line is busy while the next message is
//! packed. It is one or two messages ahead of the line; how long it waits for it says how hard it may pack.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use super::super::frame::Message;
use super::super::limits::{PACKER_IDLE, PACKERS_MAX};
use super::super::packing::effort::Effort;
use super::super::packing::{Packer, can_be_packed};
use super::{Outgoing, Pack, Shared};

/// Packed messages that wait for the line.
pub(super) const AHEAD: usize = 2;
/// Shorter messages are packed at once: handing them to another thread would take longer.
const BRIEF: usize = 16 << 10;
/// Shorter messages are packed untried: their heads are much alike.
const SMALL: usize = 2 << 10;

/// All sessions' streams: memory is bounded by their number.
static STREAMS: Semaphore = Semaphore::const_new(PACKERS_MAX);

/// A session's stream.
#[derive(Default)]
struct Stream {
    packer: Option<(Packer, SemaphorePermit<'static>)>,
    /// Ends what was packed before; goes ahead of the next message.
    tail: Vec<u8>,
    effort: Effort,
}

impl Stream {
    /// Gives its memory back until something is to be packed again.
    fn rest(&mut self) -> io::Result<()> {
        if let Some((mut packer, _)) = self.packer.take() {
            let level = packer.level();
            self.tail.extend(packer.end(level)?);
        }
        self.effort = Effort::default();
        Ok(())
    }

    /// The message packed; as it is where there are too many streams.
    async fn pack(&mut self, message: Message) -> io::Result<(Message, Option<i32>)> {
        let (mut packer, permit) = match self.packer.take() {
            Some(packer) => packer,
            None => match STREAMS.try_acquire() {
                Ok(permit) => (Packer::new(self.effort.level())?, permit),
                Err(_) => return Ok((message, None)),
            },
        };
        if packer.level() != self.effort.level() {
            self.tail.extend(packer.end(self.effort.level())?);
        }
        let began = Instant::now();
        let bytes = message.parts.0.len() + message.parts.1.len();
        let (packer, message, packed) = if bytes < BRIEF {
            let packed = packer.pack(&message.parts.0, &message.parts.1);
            (packer, message, packed)
        } else {
            let work = move || {
                let packed = packer.pack(&message.parts.0, &message.parts.1);
                (packer, message, packed)
            };
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
        };
        self.effort.packed(bytes, began.elapsed());
        let mut body = std::mem::take(&mut self.tail);
        body.extend(packed?);
        let level = packer.level();
        self.packer = Some((packer, permit));
        Ok((Message { packed: true, parts: (Vec::new(), Bytes::from(body)), ..message }, Some(level)))
    }
}

/// Is this message to be packed?
fn worth_it(outgoing: &Outgoing) -> bool {
    let (head, body) = &outgoing.message.parts;
    let small = head.len() + body.len() <= SMALL;
    (outgoing.pack == Pack::Yes || small) && can_be_packed(&outgoing.message)
}

/// Packs until the session ends.
pub(super) async fn pack_bulk(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Outgoing>,
    line: mpsc::Sender<Outgoing>,
) {
    let mut closed = shared.closed.subscribe();
    tokio::select! {
        _ = closed.wait_for(Option::is_some) => {}
        ended = pack_all(&mut queue, &line) => if let Err(e) = ended {
            shared.end(&format!("nothing could be packed: {e}"));
        }
    }
}

async fn pack_all(queue: &mut mpsc::Receiver<Outgoing>, line: &mpsc::Sender<Outgoing>) -> io::Result<()> {
    let mut stream = Stream::default();
    let mut idle_since = Instant::now();
    loop {
        let mut outgoing = match tokio::time::timeout(rest_at(&stream), queue.recv()).await {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => return Ok(()),
            Err(_) => {
                stream.rest()?;
                continue;
            }
        };
        stream.effort.was_idle(idle_since.elapsed());
        if worth_it(&outgoing) {
            (outgoing.message, outgoing.level) = stream.pack(outgoing.message).await?;
        }
        let packed = Instant::now();
        if line.send(outgoing).await.is_err() {
            return Ok(());
        }
        idle_since = Instant::now();
        stream.effort.handed_on(idle_since - packed);
    }
}

/// How long a stream that is not used keeps its memory.
fn rest_at(stream: &Stream) -> Duration {
    if stream.packer.is_some() { PACKER_IDLE } else { Duration::MAX }
}
