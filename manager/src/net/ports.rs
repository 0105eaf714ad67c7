//! Ends of cards and gateways: datagrams on unix sockets, and what waits to be sent by a port or a tunnel.
//!
//! Datagrams, because neither end must be there when the other begins, and either may begin anew: nobody notices but by what
//! was lost. Fault model: the other end may be away (what is sent then is dropped), or slow (it waits, bounded).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::kept::Kept;

/// Of a card, a gateway or a tunnel. At 100 Mbit/s this is a tenth of a second.
const QUEUE_MAX_BYTES: usize = 1 << 20;

/// What waits to be sent; the oldest goes first when there is no room.
#[derive(Debug)]
pub(super) struct Queue {
    kept: Mutex<Waiting>,
    more: Notify,
    /// Of a tunnel, there and back; 0 as long as it is not known.
    way_us: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    kept: Kept,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Queue {
        let kept = Mutex::new(Waiting { kept: Kept::new(QUEUE_MAX_BYTES), closed: false });
        Queue { kept, more: Notify::new(), way_us: AtomicU64::new(0) }
    }

    /// So long is the way of what is taken from it, there and back.
    pub(super) fn set_way(&self, way: Duration) {
        self.way_us.store(u64::try_from(way.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// That, once it is known.
    pub(super) fn way(&self) -> Option<Duration> {
        Some(self.way_us.load(Ordering::Relaxed)).filter(|way| *way > 0).map(Duration::from_micros)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, bytes: Vec<u8>) {
        self.waiting().kept.push(Duration::ZERO, bytes);
        self.more.notify_one();
    }

    /// Whoever takes from it hears that nothing more comes.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.more.notify_one();
    }

    /// The next; `None` once it is closed. For one taker.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        loop {
            let more = self.more.notified();
            {
                let mut waiting = self.waiting();
                if waiting.closed {
                    return None;
                }
                if let Some(bytes) = waiting.kept.take_one() {
                    return Some(bytes);
                }
            }
            more.await;
        }
    }

    /// Waits until it is closed; what waits in it is not taken. By the one taker.
    pub(super) async fn closed(&self) {
        loop {
            let more = self.more.notified();
            if self.waiting().closed {
                return;
            }
            more.await;
        }
    }

    /// The next, if it is there.
    pub(super) fn next_now(&self) -> Option<Vec<u8>> {
        self.waiting().kept.take_one()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.waiting().kept.dropped()
    }
}

/// One end. What is sent waits in its queue until the other end takes it.
#[derive(Debug)]
pub(super) struct Port {
    socket: Arc<UnixDatagram>,
    pub(super) queue: Arc<Queue>,
    sends: JoinHandle<()>,
}

impl Port {
    /// Binds `own`; the other end is, or will be, at `other`. Both in the current folder.
    pub(super) fn open(own: &str, other: &'static str) -> io::Result<Port> {
        match std::fs::remove_file(own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Arc::new(UnixDatagram::bind(own)?);
        let queue = Arc::new(Queue::new());
        let (from, to) = (Arc::clone(&queue), Arc::clone(&socket));
        let sends = tokio::spawn(async move {
            while let Some(frame) = from.next().await {
                // Nobody is there: the frame is lost, as on a wire that is not plugged in.
                to.send_to(&frame, other).await.ok();
            }
        });
        Ok(Port { socket, queue, sends })
    }

    /// Waits for a datagram; one that is longer than `buffer` is cut.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer).await
    }

    /// A datagram that is there already.
    pub(super) fn receive_now(&self, buffer: &mut [u8]) -> Option<usize> {
        self.socket.try_recv(buffer).ok()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.sends.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_gives_what_it_has_in_order_and_ends_when_closed() {
        let queue = Arc::new(Queue::new());
        let taker = Arc::clone(&queue);
        let taken = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(bytes) = taker.next().await {
                all.push(bytes[0]);
                if all.len() == 3 {
                    taker.close();
                }
            }
            all
        });
        for n in 0..3 {
            queue.push(vec![n]);
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.await.unwrap(), [0, 1, 2]);
        // Without a taker it is bounded.
        let queue = Queue::new();
        (0..2000).for_each(|_| queue.push(vec![0; 1000]));
        assert!(queue.dropped() > 900, "{}", queue.dropped());
    }
}
