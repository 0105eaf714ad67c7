//! Hextile: tiles of 16 x 16, each raw or a background with rectangles on it.

use bytes::{Buf, BytesMut};

use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;
use crate::wire::Reader;

pub(crate) const RAW: u8 = 1;
pub(crate) const BACKGROUND: u8 = 2;
pub(crate) const FOREGROUND: u8 = 4;
pub(crate) const SUBRECTS: u8 = 8;
pub(crate) const COLOURED: u8 = 16;
pub(crate) const TILE: u16 = 16;

/// Where the next tile is, and the colours that tiles inherit.
#[derive(Debug)]
pub(super) struct Hextile {
    tile: u32,
    background: u32,
    foreground: u32,
    tiles_wide: u32,
    tiles: u32,
}

impl Hextile {
    pub(super) fn new(rect: Rect) -> Self {
        let tiles_wide = u32::from(rect.w.div_ceil(TILE));
        let tiles = tiles_wide * u32::from(rect.h.div_ceil(TILE));
        Self { tile: 0, background: 0, foreground: 0, tiles_wide, tiles }
    }

    pub(super) fn step(
        &mut self,
        rect: Rect,
        codec: &PixelCodec,
        input: &mut BytesMut,
        fb: &mut Framebuffer,
    ) -> Result<bool, ProtocolError> {
        while self.tile < self.tiles {
            let place = |n: u32| u16::try_from(n).unwrap_or(u16::MAX).saturating_mul(TILE);
            let (x, y) = (place(self.tile % self.tiles_wide), place(self.tile / self.tiles_wide));
            let w = TILE.min(rect.w - x);
            let h = TILE.min(rect.h - y);
            let tile = Rect { x: rect.x + x, y: rect.y + y, w, h };
            let mut from = Reader::new(input);
            if self.tile(tile, codec, &mut from, fb)?.is_none() {
                return Ok(false);
            }
            let at = from.at();
            input.advance(at);
            self.tile += 1;
        }
        Ok(true)
    }

    /// Draws a tile when it is there as a whole; half a tile is drawn again by the next step.
    fn tile(
        &mut self,
        tile: Rect,
        codec: &PixelCodec,
        from: &mut Reader<'_>,
        fb: &mut Framebuffer,
    ) -> Result<Option<()>, ProtocolError> {
        let Some(flags) = from.u8() else { return Ok(None) };
        if flags & RAW != 0 {
            let Some(bytes) = from.take(tile.area() * codec.len()) else { return Ok(None) };
            for (y, row) in (tile.y..).zip(bytes.chunks_exact(usize::from(tile.w) * codec.len())) {
                codec.read_row(row, fb.row_mut(tile.x, y, tile.w));
            }
            return Ok(Some(()));
        }
        for (flag, colour) in [(BACKGROUND, &mut self.background), (FOREGROUND, &mut self.foreground)] {
            if flags & flag != 0 {
                let Some(bytes) = from.take(codec.len()) else { return Ok(None) };
                *colour = codec.read(bytes);
            }
        }
        fb.fill(tile, self.background);
        if flags & SUBRECTS == 0 {
            return Ok(Some(()));
        }
        let Some(count) = from.u8() else { return Ok(None) };
        for _ in 0..count {
            let mut colour = self.foreground;
            if flags & COLOURED != 0 {
                let Some(bytes) = from.take(codec.len()) else { return Ok(None) };
                colour = codec.read(bytes);
            }
            let Some((xy, wh)) = from.u8().and_then(|xy| Some((xy, from.u8()?))) else { return Ok(None) };
            let [x, y, w, h] = [xy >> 4, xy & 15, (wh >> 4) + 1, (wh & 15) + 1].map(u16::from);
            if x + w > tile.w || y + h > tile.h {
                return Err(ProtocolError::Outside(Rect { x, y, w, h }));
            }
            fb.fill(Rect { x: tile.x + x, y: tile.y + y, w, h }, colour);
        }
        Ok(Some(()))
    }
}
