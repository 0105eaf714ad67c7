//! One end of a tunnel: messages both ways over a stream until it breaks, is silent, or is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::packet::{Decoder, Packet};
use super::ports::Queue;

/// Something is said so often at least.
const ALIVE: Duration = Duration::from_secs(5);
/// A line on which nothing was heard for so long is dead.
const DEAD: Duration = Duration::from_secs(20);
/// Messages are written together up to this size.
const WRITE_BYTES: usize = 64 << 10;

/// Carries until the end. What is heard goes to `heard`, in order.
pub(super) async fn run<S, T>(stream: S, queue: Arc<Queue>, heard: Sender<T>, wrap: impl Fn(Packet) -> T)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    paced(stream, queue, heard, wrap, (ALIVE, DEAD)).await;
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
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reads = async {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; WRITE_BYTES];
        loop {
            let Ok(Ok(len @ 1..)) = timeout(dead, reader.read(&mut buffer)).await else { return };
            decoder.feed(&buffer[..len]);
            loop {
                match decoder.packet() {
                    Ok(Some(packet)) => {
                        if heard.send(wrap(packet)).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    };
    let writes = async {
        loop {
            let mut bytes = match timeout(alive, queue.next()).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return,
                Err(_) => Packet::Alive.encode(),
            };
            while bytes.len() < WRITE_BYTES
                && let Some(more) = queue.next_now()
            {
                bytes.extend(more);
            }
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reads => {}
        () = writes => {}
    }
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
        let mut bytes = vec![0; frame.encode().len() * 5];
        far.read_exact(&mut bytes).await.unwrap();
        assert!(bytes.chunks(bytes.len() / 5).all(|part| part == frame.encode()));
        far.write_all(&[0, 0, 0, 1, 77]).await.unwrap();
        end.await.unwrap();
    }

    #[tokio::test]
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
