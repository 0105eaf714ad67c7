//! A migration's stream on its way to another site: packed as one zstd stream that is flushed piece by piece, never more of it on
//! its way than the line needs ([`super::window`]), at a pace while somebody looks ([`super::stream`]).
//!
//! There: the packed stream. Back: frames, a byte that says what, then a length and as many of the other QEMU's bytes (`'b'`, two
//! bytes of length), or how much of the packed stream that QEMU has taken so far (`'t'`, eight bytes); little-endian.
//!
//! zstd looks back [`WINDOW_LOG`] bits far and finds long repeats there, so that a page that equals an earlier one is a few bytes
//! (ADR 22). Both sides need as much memory for it as memory was sent, at most that window.
//!
//! Fault model: the link breaks (both QEMUs see their end closed), or gives other bytes (zstd's checksum; QEMU checks its own
//! stream). What another site can make this one hold is bounded: one window, and pieces.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use super::stream::Limit;
use super::window::Window;

/// The quickest that makes anything smaller: a translated machine wants the processor, too.
const LEVEL: i32 = 1;
/// 128 MiB.
pub(super) const WINDOW_LOG: u32 = 27;
/// Read from QEMU at once, at most; flushed together.
const PIECE: usize = 32 << 10;
/// Of so many pieces it is known how well the last ones packed: two megabytes.
const LASTS: f64 = 64.0;
/// Unpacked at once.
const UNPACKED: usize = 128 << 10;
/// Of a frame: QEMU's bytes, or what was taken.
const BYTES: u8 = b'b';
const TAKEN: u8 = b't';
/// A migration's stream never rests for so long: the longest is at its source's switchover.
const SILENT: Duration = Duration::from_secs(120);
/// A dead line is seen by others; this is for an answer that was lost in thought.
const ASKS_AGAIN: Duration = Duration::from_secs(1);
/// A line over which nothing more goes for so long is as good as cut: its program may live where the other site hangs, and the
/// agent may stand meanwhile.
const STALLS: Duration = Duration::from_secs(60);

/// How often it is looked how late this process comes to its turns.
const TURN: Duration = Duration::from_millis(10);
/// So late is a timer without anybody who waits for a processor.
const TIMER: Duration = Duration::from_millis(1);

/// What is known of a stream from here while it goes.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    began: Instant,
    window: Arc<Mutex<Window>>,
    room: Arc<Notify>,
    packing: Arc<Mutex<Packing>>,
    /// Sent, and on their way, when the agent came to a stand.
    stood: Arc<Mutex<Option<(u64, u64)>>>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            began: Instant::now(),
            window: Arc::default(),
            room: Arc::default(),
            packing: Arc::default(),
            stood: Arc::default(),
        }
    }
}

impl Meter {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent stands from now on.
    pub(super) fn stands(&self) {
        let (sent, on_its_way) = {
            let window = self.window();
            (window.sent(), window.on_its_way())
        };
        self.stood.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((sent, on_its_way));
    }

    fn packing(&self) -> MutexGuard<'_, Packing> {
        self.packing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes a second of QEMU's stream that the line carries, as far as that is known: packed they are fewer.
    pub(super) fn rate(&self) -> Option<f64> {
        Some(self.window().rate() * self.packing().times()).filter(|rate| *rate > 0.0)
    }

    /// In words for `migrate --json`.
    pub(super) fn told(&self) -> Value {
        let stood = *self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let window = self.window();
        json!({
            "bytes": window.sent(),
            "bytes_per_s": window.rate().round(),
            "packed_times": self.packing().times(),
            "rtt_ms": window.trip().map(|trip| trip.as_secs_f64() * 1e3),
            "queued_bytes": stood.map(|(_, on_its_way)| on_its_way),
            "last_bytes": stood.map(|(sent, _)| window.sent() - sent),
        })
    }
}

/// Carries a stream from a QEMU here to [`arrives`] at another site, until one of them ends: QEMU closes its side when all has
/// been acknowledged, or nothing will be.
pub(super) async fn leaves<A, B>(near: &mut A, far: &mut B, limit: &Limit, meter: &Meter)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    tokio::select! {
        _ = packs(&mut near_read, &mut far_write, limit, meter) => {}
        _ = answers(&mut far_read, &mut near_write, meter) => {}
        _ = turns(meter) => {}
    }
}

/// Tells the window how late this process comes to its turns.
async fn turns(meter: &Meter) -> Infallible {
    loop {
        let due = tokio::time::Instant::now() + TURN;
        tokio::time::sleep_until(due).await;
        meter.window().was_late(due.elapsed().saturating_sub(TIMER));
    }
}

async fn packs<R, W>(from: &mut R, to: &mut W, limit: &Limit, meter: &Meter) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut packer = Packer::new()?;
    let mut piece = vec![0; PIECE];
    loop {
        room(meter).await?;
        let most = limit.has_room().await.min(PIECE);
        let len = from.read(&mut piece[..most]).await?;
        let packed = packer.pack(&piece[..len], len == 0)?;
        meter.window().went(packed.len(), meter.began.elapsed());
        meter.packing().came(len, packed.len());
        limit.went(packed.len());
        let write = async {
            to.write_all(packed).await?;
            to.flush().await
        };
        tokio::time::timeout(STALLS, write).await??;
        if len == 0 {
            return Ok(());
        }
    }
}

/// Waits until more may be on its way.
async fn room(meter: &Meter) -> io::Result<()> {
    let (mut left, mut since) = (None, tokio::time::Instant::now());
    loop {
        let on_its_way = {
            let mut window = meter.window();
            if window.has_room() {
                return Ok(());
            }
            window.on_its_way()
        };
        if left.replace(on_its_way) != Some(on_its_way) {
            since = tokio::time::Instant::now();
        }
        if since.elapsed() >= STALLS {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tokio::time::timeout(ASKS_AGAIN, meter.room.notified()).await.ok();
    }
}

async fn answers<R, W>(from: &mut R, to: &mut W, meter: &Meter) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    loop {
        match from.read_u8().await? {
            BYTES => {
                bytes.resize(usize::from(from.read_u16_le().await?), 0);
                from.read_exact(&mut bytes).await?;
                to.write_all(&bytes).await?;
            }
            TAKEN => {
                let taken = from.read_u64_le().await?;
                meter.window().taken(taken, meter.began.elapsed()).map_err(io::Error::other)?;
                meter.room.notify_one();
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The other end of [`leaves`]: unpacks what comes for a QEMU here, until one of them ends.
pub(crate) async fn arrives<P, Q>(peer: &mut P, qemu: &mut Q)
where
    P: AsyncRead + AsyncWrite + Unpin,
    Q: AsyncRead + AsyncWrite + Unpin,
{
    let (mut peer_read, peer_write) = tokio::io::split(peer);
    let (mut qemu_read, mut qemu_write) = tokio::io::split(qemu);
    let back = AsyncMutex::new(peer_write);
    tokio::select! {
        _ = unpacks(&mut peer_read, &mut qemu_write, &back) => {}
        _ = replies(&mut qemu_read, &back) => {}
    }
}

async fn unpacks<R, W, B>(from: &mut R, to: &mut W, back: &AsyncMutex<B>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    B: AsyncWrite + Unpin,
{
    let mut unpacker = Unpacker::new()?;
    let mut packed = vec![0; PIECE];
    let mut taken = 0_u64;
    loop {
        // A source may be cut off without a word: QEMU would wait here for ever.
        let len = tokio::time::timeout(SILENT, from.read(&mut packed)).await??;
        if len == 0 {
            return Ok(());
        }
        unpacker.unpack(&packed[..len], to).await?;
        taken += len as u64;
        let mut frame = vec![TAKEN];
        frame.extend(taken.to_le_bytes());
        let mut back = back.lock().await;
        back.write_all(&frame).await?;
        back.flush().await?;
    }
}

async fn replies<R, B>(from: &mut R, back: &AsyncMutex<B>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    B: AsyncWrite + Unpin,
{
    let mut bytes = [0; 4096];
    loop {
        let len = from.read(&mut bytes).await?;
        if len == 0 {
            return Ok(());
        }
        let mut frame = vec![BYTES];
        frame.extend(u16::try_from(len).map_err(io::Error::other)?.to_le_bytes());
        frame.extend(&bytes[..len]);
        let mut back = back.lock().await;
        back.write_all(&frame).await?;
        back.flush().await?;
    }
}

/// How many times as long QEMU's stream is as what is made of it.
#[derive(Debug, Default)]
struct Packing {
    /// Of the whole stream: bytes of QEMU's, and packed.
    all: (f64, f64),
    /// Of the last pieces, each counted less than the next.
    last: (f64, f64),
}

impl Packing {
    fn came(&mut self, bytes: usize, packed: usize) {
        let (bytes, packed) = (bytes as f64, packed as f64);
        self.all = (self.all.0 + bytes, self.all.1 + packed);
        let kept = 1.0 - 1.0 / LASTS;
        self.last = (self.last.0 * kept + bytes, self.last.1 * kept + packed);
    }

    /// The less of both: neither what is written now, which may pack worse than what lay there, nor a run of equal pages tells
    /// how the next ones pack.
    fn times(&self) -> f64 {
        let times = |(bytes, packed): (f64, f64)| if packed > 0.0 { bytes / packed } else { 1.0 };
        times(self.all).min(times(self.last))
    }
}

struct Packer {
    encoder: Encoder<'static>,
    packed: Vec<u8>,
}

impl Packer {
    fn new() -> io::Result<Packer> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        encoder.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Packer { encoder, packed: Vec::new() })
    }

    /// Packs a piece so that all of it can be unpacked at the other end.
    fn pack(&mut self, piece: &[u8], last: bool) -> io::Result<&[u8]> {
        self.packed.resize(zstd::zstd_safe::compress_bound(PIECE) + 64, 0);
        let mut input = InBuffer::around(piece);
        let mut at = 0;
        loop {
            let mut output = OutBuffer::around_pos(&mut self.packed[..], at);
            let left = if input.pos() < piece.len() {
                self.encoder.run(&mut input, &mut output)?;
                1
            } else if last {
                self.encoder.finish(&mut output, true)?
            } else {
                self.encoder.flush(&mut output)?
            };
            at = output.pos();
            if left == 0 {
                return Ok(&self.packed[..at]);
            }
            if at == self.packed.len() {
                self.packed.resize(at * 2, 0);
            }
        }
    }
}

struct Unpacker {
    decoder: Decoder<'static>,
    unpacked: Vec<u8>,
}

impl Unpacker {
    fn new() -> io::Result<Unpacker> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Unpacker { decoder, unpacked: vec![0; UNPACKED] })
    }

    /// Unpacks all that this piece gives, however much that is.
    async fn unpack(&mut self, packed: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut input = InBuffer::around(packed);
        loop {
            let mut output = OutBuffer::around(&mut self.unpacked[..]);
            self.decoder.run(&mut input, &mut output)?;
            let len = output.pos();
            to.write_all(&self.unpacked[..len]).await?;
            // A buffer that is not full is all there is.
            if len < UNPACKED && input.pos() == packed.len() {
                return to.flush().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that takes nothing, and one that takes all and never answers.
    #[tokio::test(start_paused = true)]
    async fn a_line_that_hangs_ends_the_stream() {
        let memory = memory(4096);
        for takes in [false, true] {
            let (mut near, mut qemu) = tokio::io::duplex(1 << 20);
            let (mut far, mut hangs) = tokio::io::duplex(64 << 10);
            let gives = memory.clone();
            tokio::spawn(async move { qemu.write_all(&gives).await });
            let other = tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while takes && hangs.read(&mut bytes).await.is_ok_and(|len| len > 0) {}
                // The line is there all the time.
                tokio::time::sleep(STALLS * 100).await;
                drop(hangs);
            });
            let (limit, meter) = (Limit::default(), Meter::default());
            let stream = leaves(&mut near, &mut far, &limit, &meter);
            let ended = tokio::time::timeout(STALLS * 3, stream).await;
            assert!(ended.is_ok(), "it waits for ever; takes: {takes}");
            other.abort();
        }
    }

    /// Pages as a machine has them: zeros, words, noise, and some that are there twice.
    fn memory(pages: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut memory: Vec<u8> = Vec::new();
        for n in 0..pages {
            let page: Vec<u8> = match n % 4 {
                0 => vec![0; 4096],
                1 => b"the quick brown fox ".iter().copied().cycle().take(4096).collect(),
                2 if n > 400 => memory[(n - 400) * 4096..(n - 399) * 4096].to_vec(),
                _ => std::iter::repeat_with(|| random.u8(..)).take(4096).collect(),
            };
            memory.extend(page);
        }
        memory
    }

    #[tokio::test]
    async fn all_of_a_stream_comes_packed_and_equal_pages_cost_little() {
        let bytes = memory(2000);
        let (mut near, mut qemu) = tokio::io::duplex(1 << 16);
        let (mut far, mut peer) = tokio::io::duplex(1 << 14);
        let (mut taker, mut there) = tokio::io::duplex(1 << 16);
        let (limit, meter) = (Limit::default(), Meter::default());
        let carried = meter.clone();
        tokio::spawn(async move { leaves(&mut near, &mut far, &limit, &carried).await });
        tokio::spawn(async move { arrives(&mut peer, &mut taker).await });
        let sent = bytes.clone();
        let source = tokio::spawn(async move {
            qemu.write_all(&sent).await.unwrap();
            // What the other QEMU says comes back in between.
            let mut word = [0; 5];
            qemu.read_exact(&mut word).await.unwrap();
            word
        });
        let mut come = vec![0; bytes.len()];
        there.read_exact(&mut come).await.unwrap();
        assert!(come == bytes, "bytes were lost, or changed");
        there.write_all(b"taken").await.unwrap();
        assert_eq!(&source.await.unwrap(), b"taken");
        // 600 pages of noise are new, 400 are there already.
        let told = meter.told();
        let packed = told["bytes"].as_u64().unwrap();
        assert!(packed < 620 * 4096, "{told}");
    }

    #[test]
    fn pages_that_are_written_now_and_pack_badly_are_not_hoped_to_pack_as_the_others_did() {
        let mut packing = Packing::default();
        assert_eq!(packing.times(), 1.0);
        (0..8000).for_each(|_| packing.came(PIECE, PIECE / 8));
        assert_eq!(packing.times(), 8.0);
        (0..128).for_each(|_| packing.came(PIECE, PIECE));
        assert!(packing.times() < 1.2, "{packing:?}");
        // A run of equal pages makes no promise either.
        (0..128).for_each(|_| packing.came(PIECE, 10));
        assert!(packing.times() < 9.0, "{packing:?}");
    }

    #[tokio::test]
    async fn a_piece_can_be_unpacked_as_soon_as_it_is_there() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        for piece in [&b"one"[..], &[0; PIECE], b"three"] {
            let mut out = Vec::new();
            unpacker.unpack(packer.pack(piece, false).unwrap(), &mut out).await.unwrap();
            assert!(out == piece);
        }
        let mut out = Vec::new();
        unpacker.unpack(packer.pack(b"", true).unwrap(), &mut out).await.unwrap();
        assert!(out.is_empty());
        // What is no packed stream, or one that wants more memory, is refused.
        assert!(Unpacker::new().unwrap().unpack(b"no such thing", &mut out).await.is_err());
        let mut wide = Encoder::new(1).unwrap();
        wide.set_parameter(CParameter::WindowLog(WINDOW_LOG + 1)).unwrap();
        let mut packed = vec![0; 1 << 16];
        let mut output = OutBuffer::around(&mut packed[..]);
        wide.run(&mut InBuffer::around(&[1; 100]), &mut output).unwrap();
        wide.flush(&mut output).unwrap();
        let len = output.pos();
        assert!(Unpacker::new().unwrap().unpack(&packed[..len], &mut out).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_ends_the_stream() {
        for frame in [&[TAKEN, 1, 0, 0, 0, 0, 0, 0, 0][..], b"x"] {
            let (mut near, _qemu) = tokio::io::duplex(64);
            let (mut far, mut peer) = tokio::io::duplex(64);
            peer.write_all(frame).await.unwrap();
            let (limit, meter) = (Limit::default(), Meter::default());
            leaves(&mut near, &mut far, &limit, &meter).await;
        }
    }
}
