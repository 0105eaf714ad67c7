//! A wide-area path for tests and benchmarks: bytes come out later than they went in, at a limited rate.
//!
//! Each direction has its own queue: a piece leaves when the rate allows and arrives after the delay and a
//! random jitter, never before an earlier piece (bytes keep their order as on TCP). What waits is bounded:
//! a path that is full takes no more, as a real one with a full buffer.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use crate::address::{Address, Listener, Stream};

/// Most bytes read at once.
const PIECE: usize = 16 << 10;

/// What the path is like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path {
    /// One way; the round trip is twice that.
    pub delay: Duration,
    /// At most that much is added to the delay.
    pub jitter: Duration,
    /// Bytes per second each way; `None` for no bound.
    pub rate: Option<u64>,
    /// Of the jitter: the same seed gives the same delays for the same pieces.
    pub seed: u64,
}

impl Path {
    /// Bytes that arrive at once: a packet's, or what comes within the timer's step.
    fn packet(&self) -> usize {
        self.rate.map_or(PIECE, |rate| usize::try_from(rate / 1000).unwrap_or(PIECE).clamp(1448, PIECE))
    }

    /// Most bytes that wait: 200 ms of the rate beyond what is on its way.
    fn room(&self) -> usize {
        let rate = self.rate.unwrap_or(1 << 30);
        let wait = self.delay + self.jitter + Duration::from_millis(200);
        let bytes = u128::from(rate) * wait.as_millis() / 1000;
        usize::try_from(bytes).unwrap_or(usize::MAX).clamp(64 << 10, 64 << 20)
    }
}

/// Passes connections on from `listener` to `to` over the path, until dropped or accepting fails.
///
/// # Errors
/// What accepting gives.
pub async fn serve(listener: Listener, to: Address, path: Path) -> io::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut seed = path.seed;
    loop {
        let (near, _) = listener.accept().await?;
        let to = to.clone();
        seed = seed.wrapping_add(2);
        let path = Path { seed, ..path };
        tasks.spawn(async move {
            let far = to.connect().await?;
            join(near, far, path).await
        });
        while tasks.try_join_next().is_some() {}
    }
}

/// Joins two streams by the path until one ends.
///
/// # Errors
/// What reading or writing gives.
pub async fn join(near: Box<dyn Stream>, far: Box<dyn Stream>, path: Path) -> io::Result<()> {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::select! {
        ended = carry(near_read, far_write, path) => ended,
        ended = carry(far_read, near_write, Path { seed: path.seed.wrapping_add(1), ..path }) => ended,
    }
}

/// One direction, until its source ends and everything has arrived.
///
/// # Errors
/// What reading or writing gives.
pub async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    path: Path,
) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(path.seed);
    let (mut queue, mut waiting) = (VecDeque::<(Instant, Vec<u8>)>::new(), 0);
    let (mut free, mut arrived, mut ended) = (Instant::now(), Instant::now(), false);
    let room = path.room();
    let mut piece = vec![0; PIECE];
    while !ended || !queue.is_empty() {
        let first = queue.front().map(|(at, _)| *at);
        tokio::select! {
            read = from.read(&mut piece), if !ended && waiting < room => {
                let bytes = piece.get(..read?).unwrap_or_default();
                ended = bytes.is_empty();
                waiting += bytes.len();
                free = free.max(Instant::now());
                let late = path.delay + path.jitter.mul_f64(random.f64());
                for packet in bytes.chunks(path.packet()) {
                    free += path.rate.map_or(Duration::ZERO, |rate| {
                        Duration::from_secs_f64(packet.len() as f64 / rate.max(1) as f64)
                    });
                    arrived = arrived.max(free + late);
                    queue.push_back((arrived, packet.to_vec()));
                }
            }
            () = sleep_until(first.unwrap_or_else(Instant::now)), if first.is_some() => {
                if let Some((_, bytes)) = queue.pop_front() {
                    waiting -= bytes.len();
                    to.write_all(&bytes).await?;
                }
            }
        }
    }
    to.shutdown().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    async fn time(bytes: usize, path: Path) -> (Duration, bool) {
        let sent: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (mut near, far) = tokio::io::duplex(64 << 10);
        let (out, mut end) = tokio::io::duplex(64 << 10);
        let began = Instant::now();
        let mut got = Vec::new();
        let send = async {
            near.write_all(&sent).await.unwrap();
            drop(near);
        };
        let (_, carried, read) = tokio::join!(send, carry(far, out, path), end.read_to_end(&mut got));
        carried.unwrap();
        read.unwrap();
        (began.elapsed(), got == sent)
    }

    #[tokio::test]
    async fn bytes_come_in_order_after_the_delay_and_at_the_rate() {
        let delay = Duration::from_millis(30);
        let jitter = Duration::from_millis(10);
        let (took, same) = time(10, Path { delay, jitter, seed: 7, ..Path::default() }).await;
        assert!(same && took >= delay, "{took:?}");
        let path = Path { delay, rate: Some(1_000_000), jitter, seed: 7 };
        let (took, same) = time(200_000, path).await;
        assert!(same && took >= delay + Duration::from_millis(200), "{took:?}");
    }

    #[tokio::test]
    async fn a_round_trip_takes_both_ways_and_connections_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Address::Unix(dir.path().join(name));
        let echo = at("far").listen().await.unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = echo.accept().await.unwrap();
                let (mut read, mut write) = tokio::io::split(stream);
                tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
            }
        });
        let delay = Duration::from_millis(20);
        let path = Path { delay, jitter: Duration::from_millis(5), seed: 3, rate: None };
        tokio::spawn(serve(at("near").listen().await.unwrap(), at("far"), path));
        let mut both = [at("near").connect().await.unwrap(), at("near").connect().await.unwrap()];
        for (n, stream) in (0u8..).zip(&mut both) {
            let began = Instant::now();
            stream.write_all(&[n; 9]).await.unwrap();
            let mut back = [99; 9];
            stream.read_exact(&mut back).await.unwrap();
            assert!(back == [n; 9] && began.elapsed() >= delay * 2, "{:?}", began.elapsed());
        }
    }

    #[tokio::test]
    async fn a_path_whose_end_takes_nothing_takes_no_more_than_it_holds() {
        let buffer = 64 << 10;
        let (mut near, far) = tokio::io::duplex(buffer);
        let (out, _end) = tokio::io::duplex(buffer);
        let path = Path { rate: Some(1_000_000), ..Path::default() };
        tokio::spawn(carry(far, out, path));
        let mut taken = 0;
        let write = async {
            loop {
                taken += near.write(&[0; 4096]).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(1), write).await.unwrap_err();
        // What waits, what both ends hold, and the pieces between.
        assert!(taken <= path.room() + 2 * buffer + (32 << 10), "{taken}");
        assert!(taken >= path.room(), "{taken}");
    }
}
