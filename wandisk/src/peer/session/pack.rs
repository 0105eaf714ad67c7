//! Between the queue of bulk messages and the sender: those that give way are packed into the connection's stream.
//!
//! A task of its own, so that what somebody waits for is sent meanwhile, and the line is busy while the next messages are
//! packed. It is a few messages ahead of the line; how long it waits for it says how hard it may pack. Those that wait are
//! packed in one go: another thread is woken for them, and on a busy machine each such turn waits for a processor.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::Instant;

use super::super::limits::{PACKER_IDLE, PACKERS_MAX};
use super::super::packing::effort::Effort;
use super::super::packing::{Packer, can_be_packed};
use super::{Outgoing, Pack, Shared};

/// Packed messages that wait for the line.
pub(super) const AHEAD: usize = 2;
/// Fewer bytes are packed at once: handing them to another thread would take longer.
const BRIEF: usize = 16 << 10;
/// Messages that are packed in one go, and bytes after which no further one is taken.
const AT_ONCE: usize = 16;
const AT_ONCE_BYTES: usize = 1 << 20;
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

    /// The messages with those packed that are worth it; as they are where there are too many streams.
    async fn pack(&mut self, mut messages: Vec<Outgoing>) -> io::Result<Vec<Outgoing>> {
        let bytes = messages.iter().filter(|outgoing| worth_it(outgoing)).map(size).sum::<usize>();
        if bytes == 0 {
            return Ok(messages);
        }
        let (mut packer, permit) = match self.packer.take() {
            Some(packer) => packer,
            None => match STREAMS.try_acquire() {
                Ok(permit) => (Packer::new(self.effort.level())?, permit),
                Err(_) => return Ok(messages),
            },
        };
        if packer.level() != self.effort.level() {
            tracing::debug!(
                from = packer.level(),
                to = self.effort.level(),
                "bulk is packed at another level"
            );
            self.tail.extend(packer.end(self.effort.level())?);
        }
        let began = Instant::now();
        let mut tail = std::mem::take(&mut self.tail);
        let work = move || {
            let packed = pack_each(&mut packer, &mut messages, &mut tail);
            (packer, messages, packed)
        };
        let (packer, messages, packed) = if bytes < BRIEF {
            work()
        } else {
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
        };
        packed?;
        self.effort.packed(bytes, began.elapsed());
        self.packer = Some((packer, permit));
        Ok(messages)
    }
}

/// Packs those that are worth it, in their order; the first one takes the tail along.
fn pack_each(packer: &mut Packer, messages: &mut [Outgoing], tail: &mut Vec<u8>) -> io::Result<()> {
    for outgoing in messages.iter_mut().filter(|outgoing| worth_it(outgoing)) {
        let (head, body) = &outgoing.message.parts;
        let mut packed = std::mem::take(tail);
        packed.extend(packer.pack(head, body)?);
        outgoing.message.parts = (Vec::new(), Bytes::from(packed));
        outgoing.message.packed = true;
        outgoing.level = Some(packer.level());
    }
    Ok(())
}

fn size(outgoing: &Outgoing) -> usize {
    outgoing.message.parts.0.len() + outgoing.message.parts.1.len()
}

/// Is this message to be packed?
fn worth_it(outgoing: &Outgoing) -> bool {
    let small = size(outgoing) <= SMALL;
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
        let first = match tokio::time::timeout(rest_at(&stream), queue.recv()).await {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => return Ok(()),
            Err(_) => {
                stream.rest()?;
                continue;
            }
        };
        stream.effort.was_idle(idle_since.elapsed());
        let messages = stream.pack(with_those_that_wait(first, queue)).await?;
        let packed = Instant::now();
        for outgoing in messages {
            if line.send(outgoing).await.is_err() {
                return Ok(());
            }
        }
        idle_since = Instant::now();
        stream.effort.handed_on(idle_since - packed);
    }
}

/// The first message and those that wait behind it, up to the bounds.
fn with_those_that_wait(first: Outgoing, queue: &mut mpsc::Receiver<Outgoing>) -> Vec<Outgoing> {
    let mut bytes = size(&first);
    let mut messages = vec![first];
    while messages.len() < AT_ONCE && bytes < AT_ONCE_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += size(&next);
        messages.push(next);
    }
    messages
}

/// How long a stream that is not used keeps its memory.
fn rest_at(stream: &Stream) -> Duration {
    if stream.packer.is_some() { PACKER_IDLE } else { Duration::MAX }
}
