//! How another thread wakes a queue that sleeps in `io_uring_enter`.
//!
//! The cold way's futures are finished by the engine's threads. Each tag has a [`Waker`] of its own that sets the
//! tag's bit and writes an eventfd which the queue's ring polls; the queue then polls just the tags whose bit is
//! set. libublk's runtime has no such thing: its executor notices a wake from outside only at the ring's next
//! event, which may be 20 s away.
//!
//! Invariant: a wake that happened before [`Wakeups::take`] began is seen by it or leaves the eventfd readable.
//! Invariant: waking takes no lock and allocates nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// What adds one to an eventfd, as the kernel reads it.
#[allow(clippy::host_endian_bytes, reason = "an eventfd counts in the machine's own order")]
const ONE: [u8; 8] = 1u64.to_ne_bytes();

/// The tags of one queue that were woken, and the eventfd that says so.
#[derive(Debug)]
pub(crate) struct Wakeups {
    eventfd: OwnedFd,
    /// Bit *t* of the whole: tag *t* was woken.
    words: Box<[AtomicU64]>,
    /// The eventfd has been written and not yet read; spares the write for every further wake.
    kicked: AtomicBool,
    /// No request may wait for the engine any more.
    refuse_waits: AtomicBool,
    /// The queue is to end and leave the device to whoever recovers it.
    leave: AtomicBool,
    depth: u16,
}

impl Wakeups {
    /// For a queue of `depth` tags.
    pub(crate) fn new(depth: u16) -> std::io::Result<Arc<Wakeups>> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let words = (0..usize::from(depth).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let [kicked, refuse_waits, leave] = [const { AtomicBool::new(false) }; 3];
        Ok(Arc::new(Wakeups { eventfd, words, kicked, refuse_waits, leave, depth }))
    }

    /// What the queue's ring polls.
    pub(crate) fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }

    /// The waker of one tag.
    pub(crate) fn waker(self: &Arc<Self>, tag: u16) -> Waker {
        Waker::from(Arc::new(TagWaker { tag, wakeups: Arc::clone(self) }))
    }

    /// May requests wait for the engine?
    pub(crate) fn refuses_waits(&self) -> bool {
        self.refuse_waits.load(Ordering::SeqCst)
    }

    /// From now on (`true`) a request that would have to wait fails instead; those that wait are woken to fail.
    pub(crate) fn set_refuse_waits(&self, refuse: bool) {
        self.refuse_waits.store(refuse, Ordering::SeqCst);
        if refuse {
            for tag in 0..self.depth {
                self.mark(tag);
            }
            self.kick();
        }
    }

    /// Is the queue to end?
    pub(crate) fn leaves(&self) -> bool {
        self.leave.load(Ordering::SeqCst)
    }

    /// The queue is to end, without the device being stopped.
    pub(crate) fn set_leave(&self) {
        self.leave.store(true, Ordering::SeqCst);
        self.kick();
    }

    /// Resets the eventfd and hands out the woken tags. Called by the queue's thread alone.
    pub(crate) fn take(&self, mut woken: impl FnMut(u16)) {
        let mut count = [0u8; 8];
        // EAGAIN: nothing written. Nothing else can go wrong with an eventfd of our own.
        rustix::io::read(&self.eventfd, &mut count).ok();
        // Before the bits are taken: whoever sets one later sees `false` here and writes the eventfd again.
        self.kicked.store(false, Ordering::SeqCst);
        for (word, base) in self.words.iter().zip((0u16..).step_by(64)) {
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let bit = u16::try_from(bits.trailing_zeros()).unwrap_or(0);
                bits &= bits - 1;
                woken(base + bit);
            }
        }
    }

    fn mark(&self, tag: u16) {
        self.words[usize::from(tag / 64)].fetch_or(1 << (tag % 64), Ordering::SeqCst);
    }

    fn kick(&self) {
        if !self.kicked.swap(true, Ordering::SeqCst) {
            // Fails only when the counter is full, and then it is readable already.
            rustix::io::write(&self.eventfd, &ONE).ok();
        }
    }
}

struct TagWaker {
    tag: u16,
    wakeups: Arc<Wakeups>,
}

impl Wake for TagWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakeups.mark(self.tag);
        self.wakeups.kick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};

    fn readable(wakeups: &Wakeups) -> bool {
        let mut fds = [PollFd::new(&wakeups.eventfd, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    fn taken(wakeups: &Wakeups) -> Vec<u16> {
        let mut tags = Vec::new();
        wakeups.take(|tag| tags.push(tag));
        tags
    }

    #[test]
    fn the_woken_tags_and_no_others_are_handed_out_once() {
        let wakeups = Wakeups::new(130).unwrap();
        assert!(!readable(&wakeups));
        for tag in [129, 0, 63, 64, 0] {
            wakeups.waker(tag).wake();
        }
        assert!(readable(&wakeups));
        assert_eq!(taken(&wakeups), [0, 63, 64, 129]);
        assert!(!readable(&wakeups));
        assert!(taken(&wakeups).is_empty());
    }

    #[test]
    fn refusing_waits_wakes_everyone() {
        let wakeups = Wakeups::new(70).unwrap();
        wakeups.set_refuse_waits(true);
        assert!(readable(&wakeups));
        assert_eq!(taken(&wakeups).len(), 70);
        wakeups.set_refuse_waits(false);
        assert!(!readable(&wakeups) && !wakeups.refuses_waits());
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        const ROUNDS: u64 = 20_000;
        let wakeups = Wakeups::new(3).unwrap();
        let woken = Arc::new([const { AtomicU64::new(0) }; 3]);
        let threads: Vec<_> = (0..3u16)
            .map(|tag| {
                let (waker, woken) = (wakeups.waker(tag), Arc::clone(&woken));
                std::thread::spawn(move || {
                    for round in 1..=ROUNDS {
                        woken[usize::from(tag)].store(round, Ordering::SeqCst);
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        let mut seen = [0u64; 3];
        while seen != [ROUNDS; 3] {
            // Sleeps like the queue does: a lost wake would leave it here for ever.
            poll(&mut [PollFd::new(&wakeups.eventfd, PollFlags::IN)], None).unwrap();
            wakeups.take(|tag| seen[usize::from(tag)] = woken[usize::from(tag)].load(Ordering::SeqCst));
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}
