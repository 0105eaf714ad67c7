//! The picture: pixels of a known size, and rectangles in it.

use crate::error::ProtocolError;
use crate::limits;
use crate::wire::{Reader, put_u16};

/// A rectangle of pixels; `x` and `y` from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: u16,
    /// Upper edge.
    pub y: u16,
    /// Width.
    pub w: u16,
    /// Height.
    pub h: u16,
}

impl Rect {
    /// A rectangle from its corner and size.
    #[must_use]
    pub const fn new(x: u16, y: u16, w: u16, h: u16) -> Self {
        Self { x, y, w, h }
    }

    /// The first column right of it.
    #[must_use]
    pub fn right(&self) -> u32 {
        u32::from(self.x) + u32::from(self.w)
    }

    /// The first row below it.
    #[must_use]
    pub fn bottom(&self) -> u32 {
        u32::from(self.y) + u32::from(self.h)
    }

    /// How many pixels it has.
    #[must_use]
    pub fn area(&self) -> usize {
        usize::from(self.w) * usize::from(self.h)
    }

    /// Whether it has no pixel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.w == 0 || self.h == 0
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub fn contains(&self, other: &Rect) -> bool {
        other.x >= self.x
            && other.y >= self.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }

    /// What both have in common; empty when nothing.
    #[must_use]
    pub fn intersect(&self, other: &Rect) -> Rect {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let side =
            |end: u32, from: u16| u16::try_from(end.saturating_sub(u32::from(from))).unwrap_or(u16::MAX);
        let w = side(self.right().min(other.right()), x);
        let h = side(self.bottom().min(other.bottom()), y);
        if w == 0 || h == 0 { Rect::default() } else { Rect { x, y, w, h } }
    }

    /// The pieces of at most `w` x `h` pixels it consists of, row by row.
    pub fn tiles(self, w: u16, h: u16) -> impl Iterator<Item = Rect> {
        let rows = (0..self.h).step_by(usize::from(h.max(1)));
        rows.flat_map(move |y| {
            (0..self.w).step_by(usize::from(w.max(1))).map(move |x| Rect {
                x: self.x + x,
                y: self.y + y,
                w: w.min(self.w - x),
                h: h.min(self.h - y),
            })
        })
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { x: from.u16()?, y: from.u16()?, w: from.u16()?, h: from.u16()? })
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        for field in [self.x, self.y, self.w, self.h] {
            put_u16(out, field);
        }
    }
}

/// A picture of `width` x `height` pixels, each `0x00RRGGBB`, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framebuffer {
    width: u16,
    height: u16,
    pixels: Vec<u32>,
}

impl Framebuffer {
    /// A black picture.
    ///
    /// # Errors
    /// When the size is beyond [`limits::SIDE`] or [`limits::PIXELS`].
    pub fn new(width: u16, height: u16) -> Result<Self, ProtocolError> {
        check_size(width, height)?;
        Ok(Self { width, height, pixels: vec![0; usize::from(width) * usize::from(height)] })
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The whole picture as a rectangle.
    #[must_use]
    pub fn bounds(&self) -> Rect {
        Rect::new(0, 0, self.width, self.height)
    }

    /// All pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// All pixels, row by row, to be changed; their number stays.
    pub fn pixels_mut(&mut self) -> &mut [u32] {
        &mut self.pixels
    }

    /// Changes the size; what both sizes have in common keeps its pixels, the rest is black.
    ///
    /// # Errors
    /// When the size is beyond the bounds; the picture is as before then.
    pub fn resize(&mut self, width: u16, height: u16) -> Result<(), ProtocolError> {
        if (width, height) == (self.width, self.height) {
            return Ok(());
        }
        let mut new = Self::new(width, height)?;
        for y in 0..height.min(self.height) {
            let common = width.min(self.width);
            new.row_mut(0, y, common).copy_from_slice(self.row(0, y, common));
        }
        *self = new;
        Ok(())
    }

    /// `w` pixels of row `y` from column `x`; empty when they are not all inside.
    #[must_use]
    pub fn row(&self, x: u16, y: u16, w: u16) -> &[u32] {
        self.span(x, y, w).and_then(|span| self.pixels.get(span)).unwrap_or_default()
    }

    /// As [`Framebuffer::row`], to be changed.
    pub fn row_mut(&mut self, x: u16, y: u16, w: u16) -> &mut [u32] {
        match self.span(x, y, w) {
            Some(span) => self.pixels.get_mut(span).unwrap_or_default(),
            None => &mut [],
        }
    }

    /// Fills what of `rect` is inside.
    pub fn fill(&mut self, rect: Rect, colour: u32) {
        let rect = rect.intersect(&self.bounds());
        for y in rect.y..rect.y + rect.h {
            self.row_mut(rect.x, y, rect.w).fill(colour);
        }
    }

    /// A picture of what is at `rect`; what of it is outside is black.
    #[must_use]
    pub fn crop(&self, rect: Rect) -> Self {
        let inside = rect.intersect(&self.bounds());
        let mut pixels = Vec::with_capacity(rect.area());
        for y in inside.y..inside.y + inside.h {
            pixels.extend_from_slice(self.row(inside.x, y, inside.w));
            pixels.resize(pixels.len() + usize::from(rect.w - inside.w), 0);
        }
        pixels.resize(rect.area(), 0);
        Self { width: rect.w, height: rect.h, pixels }
    }

    /// Copies the pixels at `(from_x, from_y)` to `to`, as if by way of a second picture.
    ///
    /// # Errors
    /// When one of the two is not inside; nothing is copied then.
    pub fn copy(&mut self, from_x: u16, from_y: u16, to: Rect) -> Result<(), ProtocolError> {
        let from = Rect { x: from_x, y: from_y, ..to };
        for rect in [from, to] {
            if !self.bounds().contains(&rect) {
                return Err(ProtocolError::Outside(rect));
            }
        }
        let width = usize::from(self.width);
        let copy_row = |pixels: &mut Vec<u32>, row: u16| {
            let start = (usize::from(from.y) + usize::from(row)) * width + usize::from(from.x);
            let target = (usize::from(to.y) + usize::from(row)) * width + usize::from(to.x);
            pixels.copy_within(start..start + usize::from(to.w), target);
        };
        if from.y < to.y {
            (0..to.h).rev().for_each(|row| copy_row(&mut self.pixels, row));
        } else {
            (0..to.h).for_each(|row| copy_row(&mut self.pixels, row));
        }
        Ok(())
    }

    fn span(&self, x: u16, y: u16, w: u16) -> Option<std::ops::Range<usize>> {
        if y >= self.height || u32::from(x) + u32::from(w) > u32::from(self.width) {
            return None;
        }
        let start = usize::from(y) * usize::from(self.width) + usize::from(x);
        Some(start..start + usize::from(w))
    }
}

/// Whether a framebuffer may have this size (zero sizes are pictures without a pixel).
pub(crate) fn check_size(width: u16, height: u16) -> Result<(), ProtocolError> {
    let pixels = usize::from(width) * usize::from(height);
    if width > limits::SIDE || height > limits::SIDE || pixels > limits::PIXELS {
        return Err(ProtocolError::Size { width, height });
    }
    Ok(())
}
