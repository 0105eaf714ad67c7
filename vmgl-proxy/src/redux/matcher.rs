//! Whether a part of the screen looks as it did: pure.
//!
//! A pixel mismatches when |dR| + |dG| + |dB| is more than the distance threshold; pictures differ when more
//! pixels mismatch than the pixel threshold allows (Snowbird paper, section 3.2). The paper gives neither
//! figure; how ours were found is in docs/session.md.

use serde::Serialize;
use vmgl_rfb::{Framebuffer, Rect};

/// Greatest distance of two pixels.
pub const FARTHEST: u16 = 3 * 255;

/// When pictures differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Thresholds {
    /// Two pixels match up to this distance, of 0 to [`FARTHEST`].
    pub distance: u16,
    /// Pictures match up to so many pixels that do not.
    pub pixels: u32,
}

impl Thresholds {
    /// Equality of every pixel.
    pub const STRICT: Self = Self { distance: 0, pixels: 0 };
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { distance: 96, pixels: 400 }
    }
}

/// A part of the screen, as `0x00RRGGBB` row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub rect: Rect,
    /// Its pixels.
    pub pixels: Vec<u32>,
}

impl Part {
    /// The square of this side around a place; at an edge of the screen it is moved inside, so that it has
    /// as many pixels everywhere, unless the screen is smaller.
    #[must_use]
    pub fn around(screen: &Framebuffer, (x, y): (u16, u16), side: u16) -> Self {
        let (w, h) = (side.min(screen.width()), side.min(screen.height()));
        let begin = |at: u16, len: u16, all: u16| at.saturating_sub(len / 2).min(all - len);
        let rect = Rect::new(begin(x, w, screen.width()), begin(y, h, screen.height()), w, h);
        let rows = rect.y..rect.y + rect.h;
        let pixels = rows.flat_map(|row| screen.row(rect.x, row, rect.w)).map(|pixel| pixel & 0xff_ffff);
        Self { rect, pixels: pixels.collect() }
    }

    /// How many pixels of the screen mismatch; all of them when the part is not inside the screen.
    #[must_use]
    pub fn mismatches(&self, screen: &Framebuffer, distance: u16) -> u32 {
        let all = u32::try_from(self.pixels.len()).unwrap_or(u32::MAX);
        if !screen.bounds().contains(&self.rect) || self.rect.is_empty() {
            return all;
        }
        let rows = self.pixels.chunks_exact(usize::from(self.rect.w));
        let matching = (self.rect.y..).zip(rows).flat_map(|(y, row)| {
            let shown = screen.row(self.rect.x, y, self.rect.w);
            row.iter().zip(shown).filter(|(was, is)| apart(**was, **is) <= distance)
        });
        all.saturating_sub(u32::try_from(matching.count()).unwrap_or(u32::MAX))
    }
}

/// |dR| + |dG| + |dB|.
fn apart(a: u32, b: u32) -> u16 {
    let ([_, r, g, b1], [_, s, h, b2]) = (a.to_be_bytes(), b.to_be_bytes());
    [(r, s), (g, h), (b1, b2)].iter().map(|(a, b)| u16::from(a.abs_diff(*b))).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    fn screen() -> Framebuffer {
        let mut screen = Framebuffer::new(100, 50).unwrap();
        for y in 0..50u16 {
            (0..)
                .zip(screen.row_mut(0, y, 100))
                .for_each(|(x, pixel): (u32, _)| *pixel = x << 8 | u32::from(y));
        }
        screen
    }

    #[test]
    fn a_part_is_around_its_place_and_whole_at_every_edge() {
        for (at, rect) in [
            ((50, 25), Rect::new(40, 15, 20, 20)),
            ((0, 0), Rect::new(0, 0, 20, 20)),
            ((99, 49), Rect::new(80, 30, 20, 20)),
            ((u16::MAX, u16::MAX), Rect::new(80, 30, 20, 20)),
        ] {
            let part = Part::around(&screen(), at, 20);
            assert_eq!((part.rect, part.pixels.len()), (rect, 400));
            assert_eq!(part.mismatches(&screen(), 0), 0);
        }
        assert_eq!(Part::around(&screen(), (3, 3), 64).rect, Rect::new(18 - 18, 0, 64, 50));
    }

    #[test]
    fn pixels_mismatch_beyond_the_distance_and_not_at_it() {
        let part = Part::around(&screen(), (50, 25), 20);
        let mut other = screen();
        other.row_mut(45, 20, 3).iter_mut().for_each(|pixel| *pixel += 0x1_0101 * 10);
        assert_eq!(part.mismatches(&other, 30), 0);
        assert_eq!(part.mismatches(&other, 29), 3);
        assert_eq!(apart(0, 0xff_ffff), FARTHEST);
    }

    #[test]
    fn a_part_outside_the_screen_mismatches_wholly() {
        let part = Part::around(&screen(), (99, 49), 20);
        assert_eq!(part.mismatches(&Framebuffer::new(99, 50).unwrap(), FARTHEST), 400);
    }
}
