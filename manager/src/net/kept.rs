//! Frames that are kept for a while: a queue bounded in bytes, from which the oldest goes first. Pure.
//!
//! Invariant: what is kept never exceeds its bound, and what went is counted.

use std::collections::VecDeque;
use std::time::Duration;

/// What a frame costs beside its bytes, so that empty ones are bounded, too.
const OVERHEAD_BYTES: usize = 64;

/// Such a queue.
#[derive(Debug)]
pub struct Kept {
    frames: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
    max_bytes: usize,
    dropped: u64,
}

impl Kept {
    /// An empty one.
    #[must_use]
    pub fn new(max_bytes: usize) -> Kept {
        Kept { frames: VecDeque::new(), bytes: 0, max_bytes, dropped: 0 }
    }

    /// Keeps a frame that came at this time.
    pub fn push(&mut self, now: Duration, frame: Vec<u8>) {
        self.bytes += frame.len() + OVERHEAD_BYTES;
        self.frames.push_back((now, frame));
        while self.bytes > self.max_bytes && self.pop().is_some() {
            self.dropped += 1;
        }
    }

    /// The oldest.
    pub fn take_one(&mut self) -> Option<Vec<u8>> {
        self.pop().map(|(_, frame)| frame)
    }

    fn pop(&mut self) -> Option<(Duration, Vec<u8>)> {
        let (at, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len() + OVERHEAD_BYTES;
        Some((at, frame))
    }

    /// Forgets what came before this time; they are counted by nobody, since they were kept for a while only.
    pub fn forget_before(&mut self, time: Duration) {
        while self.frames.front().is_some_and(|(at, _)| *at < time) {
            self.pop();
        }
    }

    /// Drops, and counts, what came before this time.
    pub fn drop_before(&mut self, time: Duration) {
        let before = self.frames.len();
        self.forget_before(time);
        self.dropped += (before - self.frames.len()) as u64;
    }

    /// Gives all of them, in their order.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.frames).into_iter().map(|(_, frame)| frame).collect()
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes = 0;
        self.frames.clear();
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What they cost.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many found no room, or waited too long.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let mut kept = Kept::new(3 * (100 + OVERHEAD_BYTES));
        for n in 0..5u8 {
            kept.push(ms(u64::from(n)), vec![n; 100]);
            assert!(kept.bytes() <= 3 * (100 + OVERHEAD_BYTES));
        }
        assert_eq!(kept.dropped(), 2);
        let left: Vec<u8> = kept.take().iter().map(|frame| frame[0]).collect();
        assert_eq!((left, kept.bytes(), kept.is_empty()), (vec![2, 3, 4], 0, true));
        // One that is larger than all the room is not kept.
        kept.push(ms(9), vec![0; 1000]);
        assert!(kept.is_empty());
        assert_eq!(kept.dropped(), 3);
    }

    #[test]
    fn what_is_too_old_goes() {
        let mut kept = Kept::new(10_000);
        for n in 0..10 {
            kept.push(ms(n * 100), vec![0; 10]);
        }
        kept.forget_before(ms(400));
        assert_eq!((kept.take().len(), kept.dropped()), (6, 0));
        kept.push(ms(1000), vec![]);
        kept.drop_before(ms(1001));
        assert_eq!((kept.is_empty(), kept.dropped()), (true, 1));
    }
}
