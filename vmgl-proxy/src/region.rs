//! What of the picture somebody has not got yet: a few rectangles that cover at least what was added.
//!
//! Invariant: it never has more than [`MOST`] rectangles, and never covers less than what was added.

use vmgl_rfb::Rect;

/// Most rectangles of a region; more are made one that covers them.
pub const MOST: usize = 64;

/// A set of pixels, never less than what was added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Region {
    rects: Vec<Rect>,
}

impl Region {
    /// Adds a rectangle.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() || self.rects.iter().any(|have| have.contains(&rect)) {
            return;
        }
        self.rects.retain(|have| !rect.contains(have));
        self.rects.push(rect);
        if self.rects.len() > MOST {
            let all = self.rects.drain(..).reduce(around);
            self.rects.extend(all);
        }
    }

    /// Adds all of another.
    pub fn add_all(&mut self, other: &Region) {
        other.rects.iter().for_each(|rect| self.add(*rect));
    }

    /// Takes out what is inside `within`; what is outside stays.
    pub fn take(&mut self, within: Rect) -> Vec<Rect> {
        let mut inside = Vec::new();
        for rect in std::mem::take(&mut self.rects) {
            let part = rect.intersect(&within);
            if part.is_empty() {
                self.add(rect);
                continue;
            }
            inside.push(part);
            // Rows above and below, then columns left and right of the part.
            let middle = Rect::new(rect.x, part.y, rect.w, part.h);
            for rest in [
                span(rect, rect.y.into(), part.y.into(), false),
                span(rect, part.bottom(), rect.bottom(), false),
                span(middle, rect.x.into(), part.x.into(), true),
                span(middle, part.right(), rect.right(), true),
            ] {
                self.add(rest);
            }
        }
        // Rectangles may overlap: many large ones would be many pictures.
        let area: usize = inside.iter().map(Rect::area).sum();
        match inside.iter().copied().reduce(around) {
            Some(all) if area > all.area() => vec![all],
            _ => inside,
        }
    }

    /// Takes out at most so many pixels, but a row at least.
    pub fn take_some(&mut self, most: usize) -> Vec<Rect> {
        let (mut some, mut left) = (Vec::new(), most);
        while let Some(rect) = self.rects.pop() {
            let rows = u16::try_from(left / usize::from(rect.w)).unwrap_or(u16::MAX);
            let rows = rows.min(rect.h).max(u16::from(some.is_empty()));
            if rows < rect.h {
                self.rects.push(Rect { y: rect.y + rows, h: rect.h - rows, ..rect });
            }
            if rows == 0 {
                break;
            }
            some.push(Rect { h: rows, ..rect });
            left = left.saturating_sub(usize::from(rows) * usize::from(rect.w));
        }
        some
    }

    /// Whether anything of it is inside `rect`.
    #[must_use]
    pub fn touches(&self, rect: Rect) -> bool {
        self.rects.iter().any(|have| !have.intersect(&rect).is_empty())
    }

    /// How many pixels its rectangles have.
    #[must_use]
    pub fn area(&self) -> u64 {
        self.rects.iter().map(|rect| rect.area() as u64).sum()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Its rectangles.
    #[must_use]
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }
}

/// Of `rect` the rows, or columns, from `from` up to `to`.
fn span(rect: Rect, from: u32, to: u32, columns: bool) -> Rect {
    let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let (start, len) = (short(from), short(to.saturating_sub(from)));
    if columns { Rect { x: start, w: len, ..rect } } else { Rect { y: start, h: len, ..rect } }
}

fn around(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.min(b.x), a.y.min(b.y));
    let side = |end: u32, from: u16| u16::try_from(end - u32::from(from)).unwrap_or(u16::MAX);
    Rect { x, y, w: side(a.right().max(b.right()), x), h: side(a.bottom().max(b.bottom()), y) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rect() -> impl Strategy<Value = Rect> {
        (0u16..60, 0u16..60, 0u16..20, 0u16..20).prop_map(|(x, y, w, h)| Rect { x, y, w, h })
    }

    fn has(rects: &[Rect], x: u16, y: u16) -> bool {
        rects.iter().any(|rect| rect.contains(&Rect::new(x, y, 1, 1)))
    }

    #[test]
    fn many_large_rectangles_are_no_more_than_the_one_around_them() {
        let mut region = Region::default();
        (0..64).for_each(|n| region.add(Rect::new(n, 0, 1000 - n, 900 + n)));
        assert_eq!(region.take(Rect::new(0, 0, 1000, 1000)), [Rect::new(0, 0, 1000, 963)]);
    }

    #[test]
    fn of_what_is_much_some_is_taken_until_nothing_is_left() {
        let mut region = Region::default();
        region.add(Rect::new(0, 0, 100, 100));
        region.add(Rect::new(200, 0, 7000, 2));
        let mut pixels = 0;
        while !region.is_empty() {
            let some: usize = region.take_some(1000).iter().map(Rect::area).sum();
            assert!((1..=7000).contains(&some), "{some}");
            pixels += some;
        }
        assert_eq!(pixels, 100 * 100 + 7000 * 2);
    }

    proptest! {
        #[test]
        fn nothing_that_was_added_is_lost_and_what_is_taken_is_inside(
            added in prop::collection::vec(rect(), 0..100), within in rect()
        ) {
            let mut region = Region::default();
            added.iter().for_each(|rect| region.add(*rect));
            let taken = region.take(within);
            prop_assert!(region.rects().len() <= MOST);
            prop_assert!(taken.iter().all(|rect| within.contains(rect)));
            for (x, y) in (0..80).flat_map(|x| (0..80).map(move |y| (x, y))) {
                if has(&added, x, y) {
                    let side = if has(&[within], x, y) { &taken[..] } else { region.rects() };
                    prop_assert!(has(side, x, y), "({x}, {y}) is lost");
                }
            }
        }
    }
}
