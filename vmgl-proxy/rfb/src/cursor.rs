//! A cursor's picture, as viewers draw it.

use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;

/// A cursor: its pixels, which of them are seen, and the point that points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Width in pixels; 0 when nothing is to be seen.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// The column that points.
    pub hot_x: u16,
    /// The row that points.
    pub hot_y: u16,
    /// `width * height` pixels, `0x00RRGGBB`.
    pub pixels: Vec<u32>,
    /// Which of them are seen.
    pub visible: Vec<bool>,
}

/// Bytes of a mask of one bit a pixel, rows padded to bytes.
pub(crate) fn mask_len(w: u16, h: u16) -> usize {
    usize::from(w).div_ceil(8) * usize::from(h)
}

/// Reads a cursor from its pixels and mask.
pub(crate) fn parse(rect: Rect, codec: &PixelCodec, bytes: &[u8]) -> Cursor {
    let (pixel_bytes, mask) = bytes.split_at(bytes.len().min(rect.area() * codec.len()));
    let mut pixels = vec![0; rect.area()];
    codec.read_row(pixel_bytes, &mut pixels);
    let stride = usize::from(rect.w).div_ceil(8);
    let bit =
        |x: usize, y: usize| mask.get(y * stride + x / 8).is_some_and(|byte| byte & (0x80 >> (x % 8)) != 0);
    let visible = (0..usize::from(rect.h)).flat_map(|y| (0..usize::from(rect.w)).map(move |x| (x, y)));
    let visible = visible.map(|(x, y)| bit(x, y)).collect();
    // A hot spot outside is for no viewer to deal with: the nearest pixel points.
    let (hot_x, hot_y) = (rect.x.min(rect.w.saturating_sub(1)), rect.y.min(rect.h.saturating_sub(1)));
    Cursor { width: rect.w, height: rect.h, hot_x, hot_y, pixels, visible }
}

impl Cursor {
    /// Where it is when it points at `(x, y)`, as far as that is within `bounds`.
    #[must_use]
    pub fn place(&self, (x, y): (u16, u16), bounds: Rect) -> Rect {
        let (left, top) = (x.saturating_sub(self.hot_x), y.saturating_sub(self.hot_y));
        let right = (x + self.width.min(u16::MAX - x)).saturating_sub(self.hot_x);
        let bottom = (y + self.height.min(u16::MAX - y)).saturating_sub(self.hot_y);
        Rect::new(left, top, right.saturating_sub(left), bottom.saturating_sub(top)).intersect(&bounds)
    }

    /// Draws it into `part`, the piece of a picture that begins at `(part_x, part_y)`, pointing at `(x, y)`
    /// of that picture.
    pub fn draw(&self, (x, y): (u16, u16), part: &mut Framebuffer, (part_x, part_y): (u16, u16)) {
        let place = self.place((x, y), Rect::new(part_x, part_y, part.width(), part.height()));
        for row in place.y..place.y + place.h {
            // Both are at least 0: the place begins no earlier than the cursor.
            let from = |at: u16, point: u16, hot: u16| usize::from((at + hot).saturating_sub(point));
            let start = from(row, y, self.hot_y) * usize::from(self.width) + from(place.x, x, self.hot_x);
            let to = part.row_mut(place.x - part_x, row - part_y, place.w);
            let seen = self.visible.iter().zip(&self.pixels).skip(start);
            for (pixel, (visible, colour)) in to.iter_mut().zip(seen) {
                if *visible {
                    *pixel = *colour;
                }
            }
        }
    }

    /// Appends pixels and mask.
    pub(crate) fn write(&self, codec: &PixelCodec, out: &mut Vec<u8>) {
        let area = usize::from(self.width) * usize::from(self.height);
        for at in 0..area {
            codec.write(self.pixels.get(at).copied().unwrap_or(0), out);
        }
        let (width, stride) = (usize::from(self.width), usize::from(self.width).div_ceil(8));
        for y in 0..usize::from(self.height) {
            for byte in 0..stride {
                let bits = (byte * 8..(byte * 8 + 8).min(width))
                    .filter(|x| self.visible.get(y * width + x) == Some(&true));
                out.push(bits.fold(0, |mask, x| mask | 0x80 >> (x % 8)));
            }
        }
    }
}
