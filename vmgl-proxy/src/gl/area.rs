//! Exact sets of pixels, as X has them: rectangles that do not overlap, with coordinates that may lie outside the screen.
//!
//! [`crate::region::Region`] covers at least what was added, which is right for what a viewer is owed. Here a pixel too
//! many would be drawn over somebody else's window, so an area that would get too many pieces loses some instead, and
//! says so.
//!
//! Invariant: pieces do not overlap, none is empty, and there are at most [`MOST`].

use vmgl_rfb::Rect;

/// Most pieces of an area. A round window of a screen's height has one a row.
pub const MOST: usize = 2048;

/// A rectangle: from `(left, top)` up to, and without, `(right, bottom)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// The column behind the last.
    pub right: i32,
    /// The row behind the last.
    pub bottom: i32,
}

impl Piece {
    /// From its corner and size.
    #[must_use]
    pub fn new(left: i32, top: i32, width: i32, height: i32) -> Self {
        Self { left, top, right: left.saturating_add(width), bottom: top.saturating_add(height) }
    }

    /// Whether it has no pixel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// What both have in common.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// The same, moved.
    #[must_use]
    pub fn moved(&self, x: i32, y: i32) -> Self {
        Self {
            left: self.left.saturating_add(x),
            top: self.top.saturating_add(y),
            right: self.right.saturating_add(x),
            bottom: self.bottom.saturating_add(y),
        }
    }

    fn pixels(&self) -> i64 {
        (i64::from(self.right) - i64::from(self.left)) * (i64::from(self.bottom) - i64::from(self.top))
    }

    /// What of it lies in a picture; `None` when nothing does.
    #[must_use]
    pub fn rect(&self) -> Option<Rect> {
        let side = |n: i32| u16::try_from(n.clamp(0, i32::from(u16::MAX))).unwrap_or(u16::MAX);
        let (x, y, right, bottom) = (side(self.left), side(self.top), side(self.right), side(self.bottom));
        (x < right && y < bottom).then(|| Rect::new(x, y, right - x, bottom - y))
    }
}

/// A set of pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Area {
    pieces: Vec<Piece>,
    cut: bool,
}

impl From<Piece> for Area {
    fn from(piece: Piece) -> Self {
        Self { pieces: if piece.is_empty() { Vec::new() } else { vec![piece] }, cut: false }
    }
}

impl Area {
    /// Its pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether pixels are missing because it had too many pieces.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Moves it.
    pub fn shift(&mut self, x: i32, y: i32) {
        for piece in &mut self.pieces {
            *piece = piece.moved(x, y);
        }
    }

    /// Takes out a rectangle.
    pub fn subtract(&mut self, hole: &Piece) {
        let mut left = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            let part = piece.intersect(hole);
            if part.is_empty() {
                left.push(*piece);
                continue;
            }
            let around = [
                Piece { bottom: part.top, ..*piece },
                Piece { top: part.bottom, ..*piece },
                Piece { right: part.left, ..part_rows(piece, &part) },
                Piece { left: part.right, ..part_rows(piece, &part) },
            ];
            left.extend(around.into_iter().filter(|rest| !rest.is_empty()));
        }
        self.keep(left);
    }

    /// Keeps only what lies in one of these rectangles, which may overlap.
    pub fn clip(&mut self, within: &[Piece]) {
        if let [one] = within {
            let parts = self.pieces.iter().map(|piece| piece.intersect(one));
            let parts = parts.filter(|part| !part.is_empty()).collect();
            self.keep(parts);
            return;
        }
        // What is outside of all, taken out again.
        let mut outside = self.clone();
        within.iter().for_each(|piece| outside.subtract(piece));
        if outside.cut {
            // What is outside is not known exactly: nothing is known to be inside.
            self.keep(Vec::new());
            self.cut = true;
            return;
        }
        outside.pieces.iter().for_each(|piece| self.subtract(piece));
    }

    /// The largest pieces are kept where there are too many.
    fn keep(&mut self, mut pieces: Vec<Piece>) {
        if pieces.len() > MOST {
            pieces.sort_by_key(|piece| std::cmp::Reverse(piece.pixels()));
            pieces.truncate(MOST);
            self.cut = true;
        }
        self.pieces = pieces;
    }
}

/// The rows of `part`, as wide as `piece`.
fn part_rows(piece: &Piece, part: &Piece) -> Piece {
    Piece { top: part.top, bottom: part.bottom, ..*piece }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece() -> impl Strategy<Value = Piece> {
        (-10i32..40, -10i32..40, 0i32..20, 0i32..20).prop_map(|(x, y, w, h)| Piece::new(x, y, w, h))
    }

    fn within(pieces: &[Piece], x: i32, y: i32) -> usize {
        pieces.iter().filter(|piece| !piece.intersect(&Piece::new(x, y, 1, 1)).is_empty()).count()
    }

    #[test]
    fn what_has_too_many_pieces_gets_smaller_never_larger() {
        let mut area = Area::from(Piece::new(0, 0, 200, 200));
        for n in 0..100 {
            for m in 0..100 {
                area.subtract(&Piece::new(n * 2, m * 2, 1, 1));
            }
        }
        assert!(area.is_cut() && area.pieces().len() <= MOST);
        assert!((0..100).all(|n| within(area.pieces(), n * 2, n * 2) == 0));
    }

    #[test]
    fn of_a_piece_that_hangs_out_of_the_picture_the_rest_is_seen() {
        assert_eq!(Piece::new(-10, -5, 30, 20).rect(), Some(Rect::new(0, 0, 20, 15)));
        assert_eq!(Piece::new(-30, 0, 30, 20).rect(), None);
    }

    proptest! {
        #[test]
        fn a_pixel_is_in_it_once_or_not_at_all_as_it_must_be(
            whole in piece(), holes in prop::collection::vec(piece(), 0..12), clips in prop::collection::vec(piece(), 1..5)
        ) {
            let mut area = Area::from(whole);
            holes.iter().for_each(|hole| area.subtract(hole));
            area.clip(&clips);
            prop_assert!(!area.is_cut());
            for (x, y) in (-10..60).flat_map(|x| (-10..60).map(move |y| (x, y))) {
                let expected = within(&[whole], x, y) > 0 && within(&holes, x, y) == 0 && within(&clips, x, y) > 0;
                prop_assert_eq!(within(area.pieces(), x, y), usize::from(expected), "({}, {})", x, y);
            }
        }
    }
}
