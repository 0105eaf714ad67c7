//! Read-ahead: a reader that goes through the disk in order finds the next chunks already on their way.
//!
//! A chunk brought ahead stays cold for the hot path until it is first read: that first read passes here, so that
//! streams are recognised without a hook on the hot path, and `prefetch_used` counts what was really of use. Who does not go in
//! order finds what is near ([`near`](super::near)). (`trace` brings what earlier runs wanted, within the same bound; while it
//! does, [`replay`](super::replay) says how much else may be guessed.)
//!
//! Invariant: what lies here or is on its way ahead of demand, and that nobody has wanted yet, is bounded. What was wanted
//! counts no more: whoever reads on is served on, and only what is of no use is ever in vain.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use wandisk_io::ChunkState;
use wandisk_store::Store;

use super::near::Near;
use super::replay::{Guess, Replay};
use super::{Access, Engine};

/// Readers recognised at a time.
const STREAMS: usize = 8;
/// Chunks ahead of a reader: at first, and at most.
const WINDOW_FIRST: u64 = 2;
const WINDOW_MAX: u64 = 32;
/// Bytes on their way beside which neighbours may come: 1 Gbit/s over an eighth of a second.
const NEAR_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, Debug)]
struct Stream {
    last: u64,
    upto: u64,
    window: u64,
    used: u64,
}

/// Where readers are, and how much may still be fetched ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    streams: Mutex<(Vec<Stream>, u64)>,
    near: Mutex<Near>,
    /// What earlier runs wanted, and which replay of it this is.
    replay: Mutex<(u64, Replay)>,
    /// Chunks on their way ahead of demand: asked for and paid for once.
    coming: Mutex<HashSet<u64>>,
    /// Neighbours come while fewer than so many are on their way.
    near_max: u64,
    unused_max_bytes: AtomicU64,
    /// Chunks of [`Ahead::coming`], and those of earlier runs that are on their way.
    on_their_way: AtomicU64,
    /// Something that was brought ahead was wanted, or did not come.
    less: Notify,
}

/// Room for one chunk that is brought ahead; given back when it is dropped, since what has come counts by itself.
pub(super) struct Room(Arc<Ahead>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::Relaxed);
        self.0.less.notify_waiters();
    }
}

impl Ahead {
    /// For a disk of so many chunks of so many bytes; nothing may be fetched ahead yet.
    pub(super) fn new(chunks: u64, chunk_size: u32) -> Ahead {
        Ahead {
            streams: Mutex::default(),
            near: Mutex::new(Near::new(chunks, chunk_size)),
            replay: Mutex::default(),
            coming: Mutex::default(),
            near_max: (NEAR_MAX / u64::from(chunk_size.max(1))).max(1),
            unused_max_bytes: AtomicU64::new(0),
            on_their_way: AtomicU64::new(0),
            less: Notify::new(),
        }
    }

    fn coming(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replay(&self) -> MutexGuard<'_, (u64, Replay)> {
        self.replay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these chunks are replayed, in place of others: the replay's number.
    pub(super) fn begin_replay(&self, chunks: Vec<u64>) -> u64 {
        let replay = Replay::of(chunks);
        let mut now = self.replay();
        *now = (now.0 + 1, replay);
        now.0
    }

    /// The chunk that a replay is to bring next; none for one that is over.
    pub(super) fn next_of_replay(&self, number: u64) -> Option<u64> {
        let mut now = self.replay();
        if now.0 == number { now.1.next() } else { None }
    }

    /// A replay has ended: all of it has come, or no more of it will.
    pub(super) fn end_replay(&self, number: u64, whole: bool) {
        let mut now = self.replay();
        match now.0 == number {
            true if whole => now.1.came(),
            true => now.1 = Replay::default(),
            false => {}
        }
    }

    /// The neighbours to bring, now that `chunk` is wanted and is missing or here; they are told later where none may come yet.
    fn neighbours(&self, chunk: u64, missing: bool, may_come: bool) -> Vec<u64> {
        let room = self.near_max.saturating_sub(self.coming().len() as u64);
        let room = if may_come { room } else { 0 };
        self.near.lock().unwrap_or_else(PoisonError::into_inner).wanted(chunk, missing, room)
    }

    /// The chunks to bring, now that `chunk` is wanted; none if its reader is only to be followed.
    fn wanted(&self, chunk: u64, chunks: u64, only_follow: bool) -> std::ops::Range<u64> {
        let mut guard = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let (streams, clock) = &mut *guard;
        *clock += 1;
        let in_order = streams.iter_mut().find(|s| chunk > s.last && chunk <= s.upto + 1);
        let Some(stream) = in_order else {
            let fresh = Stream { last: chunk, upto: chunk, window: WINDOW_FIRST, used: *clock };
            match streams.iter().position(|s| s.last == chunk) {
                Some(_) => {}
                None if streams.len() < STREAMS => streams.push(fresh),
                None => {
                    if let Some(oldest) = streams.iter_mut().min_by_key(|s| s.used) {
                        *oldest = fresh;
                    }
                }
            }
            return 0..0;
        };
        stream.used = *clock;
        stream.last = chunk;
        if only_follow {
            stream.upto = stream.upto.max(chunk);
            return 0..0;
        }
        stream.window = (stream.window * 2).min(WINDOW_MAX);
        let from = stream.upto.max(chunk) + 1;
        let to = (chunk + stream.window + 1).min(chunks);
        stream.upto = stream.upto.max(to.saturating_sub(1));
        from..to.max(from)
    }

    /// Room for one more chunk of so many bytes beside those that lie here unused.
    fn take_room(self: &Arc<Self>, unused: u64, chunk_bytes: u64) -> Option<Room> {
        let most = self.unused_max_bytes.load(Ordering::Relaxed) / chunk_bytes.max(1);
        let fits = |coming: u64| Some(coming + 1).filter(|coming| unused + coming <= most);
        let taken = self.on_their_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.is_ok().then(|| Room(Arc::clone(self)))
    }

    /// A chunk that was brought ahead is wanted now.
    pub(super) fn was_wanted(&self) {
        self.less.notify_waiters();
    }
}

impl<S: Store> Engine<S> {
    /// Bytes brought ahead of demand that may lie here or be on their way unused; 0 is the pure on-demand mode.
    pub fn set_prefetch_budget(&self, bytes: u64) {
        self.ahead.unused_max_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Room for one chunk to be brought ahead; none while too much lies here unused.
    fn room_ahead(&self) -> Option<Room> {
        let unused = self.state().ahead_of_demand.len() as u64;
        self.ahead.take_room(unused, u64::from(self.hot.chunk_size()))
    }

    /// Waits for room; none if the disk is no longer this site's, or nothing may be brought.
    pub(super) async fn wait_for_room_ahead(&self) -> Option<Room> {
        let mut access = self.access.subscribe();
        loop {
            // From before the look: what changes after it is not missed.
            let less = self.ahead.less.notified();
            if *access.borrow() == Access::Closed || self.ahead.unused_max_bytes.load(Ordering::Relaxed) == 0
            {
                return None;
            }
            if let Some(room) = self.room_ahead() {
                return Some(room);
            }
            tokio::select! {
                () = less => {}
                closed = access.wait_for(|now| *now == Access::Closed) => { closed.ok()?; }
            }
        }
    }

    /// A request wants a cold chunk: brings those that its reader will want next.
    pub(super) fn read_ahead(self: &Arc<Self>, chunk: u64) {
        if self.ahead.unused_max_bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        let missing = !self.has(chunk);
        let guess = self.ahead.replay().1.wanted(chunk, missing);
        // Asked first: of the chunks that a reader in order will want next, none is left to its neighbourhood.
        let in_order = self.ahead.wanted(chunk, self.hot.chunks(), guess == Guess::Nothing);
        if guess == Guess::Nothing {
            return;
        }
        let neighbours = self.ahead.neighbours(chunk, missing, guess == Guess::All);
        for next in in_order.chain(neighbours) {
            if !self.start_ahead(next) {
                return;
            }
        }
    }

    /// Begins to bring a chunk ahead, where that is of use; `false` when there is no room.
    fn start_ahead(self: &Arc<Self>, chunk: u64) -> bool {
        if self.hot.state(chunk) != ChunkState::COLD || self.has(chunk) || !self.ahead.coming().insert(chunk)
        {
            return true;
        }
        let coming = Coming { ahead: Arc::clone(&self.ahead), chunk };
        let Some(room) = self.room_ahead() else { return false };
        let engine = Arc::clone(self);
        self.runtime.spawn(async move {
            let (_coming, _room) = (coming, room);
            if let Err(e) = engine.bring_ahead(chunk).await {
                tracing::debug!(chunk, error = %e, "a chunk could not be brought ahead");
            }
        });
        true
    }
}

/// A chunk on its way ahead of demand, until this goes: also if its task panics, or the runtime ends.
struct Coming {
    ahead: Arc<Ahead>,
    chunk: u64,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.ahead.coming().remove(&self.chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_order_gets_a_growing_window() {
        let ahead = Ahead::new(1000, 128 << 10);
        assert!(ahead.wanted(10, 1000, false).is_empty());
        assert_eq!(ahead.wanted(11, 1000, false), 12..16);
        assert_eq!(ahead.wanted(12, 1000, false), 16..21);
        assert_eq!(ahead.wanted(13, 1000, false), 21..30);
    }

    #[test]
    fn a_reader_that_was_followed_gets_its_window_where_it_leaves_what_is_known() {
        let ahead = Ahead::new(1000, 128 << 10);
        for chunk in 10..20 {
            assert!(ahead.wanted(chunk, 1000, true).is_empty());
        }
        assert_eq!(ahead.wanted(20, 1000, false), 21..25);
    }

    #[test]
    fn the_end_of_a_replay_is_not_that_of_the_next_one() {
        let ahead = Ahead::new(1000, 128 << 10);
        let first = ahead.begin_replay(vec![1, 2]);
        assert_eq!(ahead.next_of_replay(first), Some(1));
        let second = ahead.begin_replay(vec![3]);
        ahead.end_replay(first, false);
        assert_eq!((ahead.next_of_replay(first), ahead.next_of_replay(second)), (None, Some(3)));
        assert_eq!(ahead.replay().1.wanted(3, true), Guess::Nothing);
        ahead.end_replay(second, false);
        assert_eq!(ahead.replay().1.wanted(3, true), Guess::All);
    }

    #[test]
    fn what_lies_here_unused_and_what_is_on_its_way_is_bounded_together() {
        let ahead = Arc::new(Ahead::new(1000, 128 << 10));
        assert!(ahead.take_room(0, 128 << 10).is_none(), "nothing may come until it is allowed");
        ahead.unused_max_bytes.store(3 * (128 << 10), Ordering::Relaxed);
        let first = ahead.take_room(1, 128 << 10);
        let second = ahead.take_room(1, 128 << 10);
        assert!(first.is_some() && second.is_some() && ahead.take_room(1, 128 << 10).is_none());
        assert!(ahead.take_room(0, 128 << 10).is_some(), "one was wanted");
        drop(first);
        assert!(ahead.take_room(1, 128 << 10).is_some(), "one did not come");
    }

    #[test]
    fn readers_out_of_order_get_nothing_and_none_reads_past_the_end() {
        let ahead = Ahead::new(1000, 128 << 10);
        for chunk in [5, 900, 37, 400] {
            assert!(ahead.wanted(chunk, 1000, false).is_empty());
        }
        ahead.wanted(998, 1000, false);
        assert!(ahead.wanted(999, 1000, false).is_empty());
    }
}
