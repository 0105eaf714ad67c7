//! Which chunks requests have gone straight to, for whoever wants to know later what was used and about when.
//!
//! Invariant: the hot path writes here at the first touch of a chunk and never again, takes no lock and allocates nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Chunks of one part; the only part of a small disk is as long as the disk.
const PART_CHUNKS: u64 = 4096;
const WORD_BITS: u64 = 64;

#[derive(Debug)]
struct Part {
    touched: Box<[AtomicU64]>,
    /// Of those, what [`Touched::collect`] has told already. Only it writes here.
    told: Box<[AtomicU64]>,
}

/// A bit a chunk, in parts that are there from [`Touched::watch`] on; chunks of no part are not noted.
#[derive(Debug)]
pub(crate) struct Touched {
    parts: Box<[OnceLock<Part>]>,
    part_words: u64,
    /// Something was touched since the last collection.
    news: AtomicBool,
}

fn place(chunk: u64) -> Option<(usize, usize, u64)> {
    let (part, within) = (chunk / PART_CHUNKS, chunk % PART_CHUNKS);
    Some((usize::try_from(part).ok()?, usize::try_from(within / WORD_BITS).ok()?, 1 << (within % WORD_BITS)))
}

impl Touched {
    pub(crate) fn new(chunks: u64) -> Touched {
        let parts = usize::try_from(chunks.div_ceil(PART_CHUNKS)).unwrap_or(usize::MAX);
        Touched {
            parts: (0..parts).map(|_| OnceLock::new()).collect(),
            part_words: chunks.min(PART_CHUNKS).div_ceil(WORD_BITS),
            news: AtomicBool::new(false),
        }
    }

    /// From now on touches of this chunk and its neighbours are noted. Not for the hot path.
    pub(crate) fn watch(&self, chunk: u64) {
        let words = || (0..self.part_words).map(|_| AtomicU64::new(0)).collect();
        if let Some(part) = place(chunk).and_then(|(part, ..)| self.parts.get(part)) {
            part.get_or_init(|| Part { touched: words(), told: words() });
        }
    }

    /// A request goes to this chunk.
    #[inline]
    pub(crate) fn note(&self, chunk: u64) {
        let Some((part, word, bit)) = place(chunk) else { return };
        let part = self.parts.get(part).and_then(OnceLock::get);
        let Some(word) = part.and_then(|part| part.touched.get(word)) else { return };
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
            self.news.store(true, Ordering::Release);
        }
    }

    /// Chunks that were first touched since the last call, by their number. One caller at a time.
    pub(crate) fn collect(&self) -> Vec<u64> {
        let mut chunks = Vec::new();
        if !self.news.swap(false, Ordering::Acquire) {
            return chunks;
        }
        for (first, part) in (0..).map(|n| n * PART_CHUNKS).zip(&self.parts) {
            let Some(part) = part.get() else { continue };
            for (at, (touched, told)) in (0..).zip(part.touched.iter().zip(&part.told)) {
                let now = touched.load(Ordering::Relaxed);
                let new = now & !told.load(Ordering::Relaxed);
                told.store(now, Ordering::Relaxed);
                chunks.extend(
                    (0..WORD_BITS)
                        .filter(|bit| new & (1 << bit) != 0)
                        .map(|bit| first + at * WORD_BITS + bit),
                );
            }
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_touched_chunk_is_told_once() {
        let touched = Touched::new(10_000);
        [0, 4095, 4096, 9999].into_iter().for_each(|chunk| touched.watch(chunk));
        [9999, 70, 4096, 70].into_iter().for_each(|chunk| touched.note(chunk));
        assert_eq!(touched.collect(), [70, 4096, 9999]);
        [70, 71].into_iter().for_each(|chunk| touched.note(chunk));
        assert_eq!(touched.collect(), [71]);
        assert!(touched.collect().is_empty());
    }

    #[test]
    fn chunks_that_nobody_watches_or_that_are_not_there_are_not_told() {
        let touched = Touched::new(5000);
        touched.watch(3);
        touched.watch(u64::MAX);
        [4999, 5001, u64::MAX].into_iter().for_each(|chunk| touched.note(chunk));
        assert!(touched.collect().is_empty());
    }
}
