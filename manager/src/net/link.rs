//! One end of a tunnel: messages both ways over a stream until it breaks, is silent, or is closed.
//!
//! The other end says what it has taken, and no more is on its way than keeps the line busy ([`Window`], as a migration's stream):
//! a display or a migration beside it waits behind 15 ms of the agent's frames and not behind the megabytes that ssh and TCP
//! would hold. What has no room waits in the tunnel's queue, where the oldest is dropped, so that the agent's own connections
//! learn how much goes.
//!
//! Invariant: that a line lives and what was taken is said whatever waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::packet::{Decoder, Packet};
use super::ports::Queue;
use crate::supervisor::window::Window;

/// Something is said so often at least.
const ALIVE: Duration = Duration::from_secs(5);
/// A line on which nothing was heard for so long is dead.
const DEAD: Duration = Duration::from_secs(20);
/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// Messages are written together up to this size.
const WRITE_BYTES: usize = 16 << 10;

/// Carries until the end. What is heard goes to `heard`, in order.
pub(super) async fn run<S, T>(stream: S, queue: Arc<Queue>, heard: Sender<T>, wrap: impl Fn(Packet) -> T)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    paced(stream, queue, heard, wrap, (ALIVE, DEAD)).await;
}

/// What both directions of a tunnel tell each other.
struct Between {
    began: Instant,
    window: Mutex<Window>,
    /// Of the other end's bytes.
    taken: AtomicU64,
    /// Something may be written that could not be before.
    news: Notify,
}

impl Between {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn paced<S, T>(
    stream: S,
    queue: Arc<Queue>,
    heard: Sender<T>,
    wrap: impl Fn(Packet) -> T,
    (alive, dead): (Duration, Duration),
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let between = Between {
        began: Instant::now(),
        window: Mutex::default(),
        taken: AtomicU64::new(0),
        news: Notify::new(),
    };
    let reads = async {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let Ok(Ok(len @ 1..)) = timeout(dead, reader.read(&mut buffer)).await else { return };
            decoder.feed(&buffer[..len]);
            loop {
                match decoder.packet() {
                    Ok(Some(Packet::Taken(taken))) => {
                        if between.window().taken(taken, between.began.elapsed()).is_err() {
                            return;
                        }
                        if let Some(way) = between.window().trip() {
                            queue.set_way(way);
                        }
                        between.news.notify_one();
                    }
                    Ok(Some(packet)) => {
                        if heard.send(wrap(packet)).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
            if between.taken.swap(decoder.taken(), Ordering::Relaxed) != decoder.taken() {
                between.news.notify_one();
            }
        }
    };
    tokio::select! {
        () = reads => {}
        () = writes(writer, &queue, &between, alive) => {}
    }
}

async fn writes<W>(mut to: W, queue: &Queue, between: &Between, alive: Duration)
where
    W: AsyncWrite + Unpin,
{
    let mut told = 0;
    loop {
        let taken = between.taken.load(Ordering::Relaxed);
        let bytes = if taken != told {
            told = taken;
            Packet::Taken(taken).encode()
        } else if between.window().has_room() {
            tokio::select! {
                next = queue.next() => match next {
                    Some(next) => with_more(next, queue, between),
                    None => return,
                },
                () = between.news.notified() => continue,
                () = tokio::time::sleep(alive) => Packet::Alive.encode(),
            }
        } else {
            tokio::select! {
                () = queue.closed() => return,
                () = between.news.notified() => continue,
                () = tokio::time::sleep(alive) => Packet::Alive.encode(),
            }
        };
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

/// A message, and more that wait, as one piece on its way.
fn with_more(mut bytes: Vec<u8>, queue: &Queue, between: &Between) -> Vec<u8> {
    while bytes.len() < WRITE_BYTES
        && let Some(more) = queue.next_now()
    {
        bytes.extend(more);
    }
    between.window().went(bytes.len(), between.began.elapsed());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::channel;

    #[tokio::test]
    async fn what_is_queued_at_one_end_is_heard_at_the_other_until_it_says_nonsense() {
        let (near, mut far) = tokio::io::duplex(1000);
        let queue = Arc::new(Queue::new());
        let (sender, mut heard) = channel(4);
        let end = tokio::spawn(run(near, Arc::clone(&queue), sender, |packet| packet));
        let frame = Packet::ToAgent { hops: 1, frame: vec![5; 600] };
        far.write_all(&frame.encode()).await.unwrap();
        assert_eq!(heard.recv().await.unwrap(), frame);
        for _ in 0..5 {
            queue.push(frame.encode());
        }
        let packets = comes(&mut far, 6).await;
        let taken = Packet::Taken(frame.encode().len() as u64);
        assert_eq!(packets.iter().filter(|packet| **packet == frame).count(), 5);
        assert_eq!(packets.iter().filter(|packet| **packet == taken).count(), 1);
        far.write_all(&[0, 0, 0, 1, 77]).await.unwrap();
        end.await.unwrap();
    }

    /// So many packets.
    async fn comes(from: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<Packet> {
        let (mut decoder, mut packets, mut piece) = (Decoder::default(), Vec::new(), [0; 1000]);
        while packets.len() < count {
            let len = from.read(&mut piece).await.unwrap();
            assert!(len > 0, "it ended after {packets:?}");
            decoder.feed(&piece[..len]);
            while let Some(packet) = decoder.packet().unwrap() {
                packets.push(packet);
            }
        }
        packets
    }

    /// Once megabytes of frames lay in the buffers of ssh, before whatever else used the line.
    #[tokio::test(start_paused = true)]
    async fn no_more_is_on_its_way_than_a_window_until_it_is_said_to_be_taken() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let queue = Arc::new(Queue::new());
        let (sender, _heard) = channel(4);
        let pace = (Duration::from_millis(20), Duration::from_secs(60));
        let end = tokio::spawn(paced(near, Arc::clone(&queue), sender, |packet| packet, pace));
        let frame = Packet::ToAgent { hops: 1, frame: vec![5; 1400] };
        (0..600).for_each(|_| queue.push(frame.encode()));
        // That it lives is said when all is on its way that may be.
        let (mut frames, mut decoder, mut piece) = (0, Decoder::default(), [0; 4096]);
        loop {
            match decoder.packet().unwrap() {
                Some(Packet::Alive) => break,
                Some(packet) => frames += usize::from(packet == frame),
                None => {
                    let len = far.read(&mut piece).await.unwrap();
                    decoder.feed(&piece[..len]);
                }
            }
        }
        let bytes = frames * frame.encode().len();
        assert!((100_000..200_000).contains(&bytes), "{bytes} bytes were on their way");
        queue.close();
        end.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_taken_makes_room() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let queue = Arc::new(Queue::new());
        let (sender, _heard) = channel(4);
        let end = tokio::spawn(run(near, Arc::clone(&queue), sender, |packet| packet));
        let frame = Packet::ToAgent { hops: 1, frame: vec![5; 1400] };
        (0..600).for_each(|_| queue.push(frame.encode()));
        for n in 1..=600 {
            assert_eq!(comes_one(&mut far).await, frame);
            far.write_all(&Packet::Taken(n * frame.encode().len() as u64).encode()).await.unwrap();
        }
        // What was not sent cannot have been taken.
        far.write_all(&Packet::Taken(u64::MAX).encode()).await.unwrap();
        end.await.unwrap();
    }

    async fn comes_one(from: &mut (impl AsyncRead + Unpin)) -> Packet {
        let len = from.read_u32().await.unwrap();
        let mut message = vec![0; usize::try_from(len).unwrap()];
        from.read_exact(&mut message).await.unwrap();
        let mut decoder = Decoder::default();
        decoder.feed(&[&len.to_be_bytes()[..], &message].concat());
        decoder.packet().unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_line_says_that_it_lives_until_it_is_ended() {
        let (near, mut far) = tokio::io::duplex(1000);
        let (sender, mut heard) = channel(4);
        let pace = (Duration::from_millis(1), Duration::from_millis(200));
        let end = tokio::spawn(paced(near, Arc::new(Queue::new()), sender, |packet| packet, pace));
        far.write_all(&Packet::Alive.encode()).await.unwrap();
        assert_eq!(heard.recv().await, Some(Packet::Alive));
        end.await.unwrap();
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        let one = Packet::Alive.encode();
        assert!(!said.is_empty() && said.chunks(one.len()).all(|part| part == one), "{said:?}");
    }
}
