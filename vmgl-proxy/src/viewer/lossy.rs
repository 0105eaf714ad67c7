//! What a viewer has with loss: once a part of its picture has been quiet it is owed that part as it is.
//!
//! A viewer that allows JPEG gets motion with loss and cheaply; what stands still has to become exact.
//! Times are the caller's: there is no clock here.
//!
//! Invariant: at most two [`Region`]s, whatever is drawn.

use std::time::{Duration, Instant};

use vmgl_rfb::Rect;

use crate::region::Region;

/// What has not been drawn with loss for this long is quiet; it is seen to be so within twice as long.
pub(super) const QUIET: Duration = Duration::from_millis(300);

/// What a viewer has with loss.
#[derive(Debug, Default)]
pub(super) struct Lossy {
    /// Drawn since `turned`.
    young: Region,
    /// Drawn before, and not since.
    old: Region,
    turned: Option<Instant>,
    /// What is quiet.
    due: Region,
}

impl Lossy {
    /// This was drawn, as it is.
    pub(super) fn exact(&mut self, rect: Rect) {
        for region in [&mut self.young, &mut self.old, &mut self.due] {
            drop(region.take(rect));
        }
    }

    /// This was drawn with loss.
    pub(super) fn lossy(&mut self, rect: Rect, now: Instant) {
        self.exact(rect);
        self.young.add(rect);
        self.turned.get_or_insert(now);
    }

    /// When to ask [`Lossy::take`], if ever.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.due.is_empty() { self.turned.map(|turned| turned + QUIET) } else { self.turned }
    }

    /// Of what is quiet at most so many pixels, but a row at least: they are owed as they are.
    pub(super) fn take(&mut self, most: usize, now: Instant) -> Vec<Rect> {
        if self.turned.is_some_and(|turned| now >= turned + QUIET) {
            let young = std::mem::take(&mut self.young);
            let old = std::mem::replace(&mut self.old, young);
            self.due.add_all(&old);
            // A region may cover more than was added to it: what is drawn still is not quiet.
            for rect in self.old.rects() {
                drop(self.due.take(*rect));
            }
            self.turned = Some(now);
        }
        let some = self.due.take_some(most);
        if [&self.young, &self.old, &self.due].iter().all(|region| region.is_empty()) {
            self.turned = None;
        }
        some
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    const STILL: Rect = Rect::new(0, 0, 100, 100);
    const MOVING: Rect = Rect::new(200, 0, 50, 50);

    /// The pixels taken of each until `millis`, with motion each 16 ms.
    fn run(lossy: &mut Lossy, start: Instant, millis: u64) -> (usize, usize) {
        let (mut still, mut moving) = (0, 0);
        for now in (0..millis).step_by(16).map(|at| start + Duration::from_millis(at)) {
            lossy.lossy(MOVING, now);
            for rect in lossy.take(3000, now) {
                still += rect.intersect(&STILL).area();
                moving += rect.intersect(&MOVING).area();
                lossy.exact(rect);
            }
        }
        (still, moving)
    }

    #[test]
    fn what_stands_still_is_owed_once_and_what_moves_is_not() {
        let (mut lossy, start) = (Lossy::default(), Instant::now());
        lossy.lossy(STILL, start);
        assert_eq!(run(&mut lossy, start, 250), (0, 0));
        assert_eq!(run(&mut lossy, start + Duration::from_millis(250), 2000), (STILL.area(), 0));
    }

    #[test]
    fn there_is_a_time_to_ask_until_nothing_is_owed() {
        let (mut lossy, start) = (Lossy::default(), Instant::now());
        assert_eq!(lossy.next(), None);
        lossy.lossy(STILL, start);
        let (mut asked, mut pixels) = (0, 0);
        while let Some(next) = lossy.next() {
            assert!(next <= start + 2 * QUIET);
            pixels += lossy.take(4000, next).iter().map(Rect::area).sum::<usize>();
            asked += 1;
            assert!(asked < 20);
        }
        assert_eq!(pixels, STILL.area());
    }

    #[test]
    fn what_was_drawn_as_it_is_is_not_owed() {
        let (mut lossy, start) = (Lossy::default(), Instant::now());
        lossy.lossy(STILL, start);
        lossy.exact(STILL);
        let taken: Vec<_> = (0..4).flat_map(|n| lossy.take(1 << 20, start + n * QUIET)).collect();
        assert_eq!((taken, lossy.next()), (vec![], None));
    }
}
