//! ZRLE: tiles of 64 x 64 with palettes and runs, through a zlib stream.

use bytes::{Buf, BytesMut};

use super::inflate::{Inflate, check_len};
use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;
use crate::wire::Reader;

pub(crate) const TILE: u16 = 64;

/// Where the next tile is.
#[derive(Debug)]
pub(super) struct Zrle {
    left: Option<usize>,
    tile: u32,
    tiles: u32,
    tiles_wide: u32,
    pixels: Vec<u32>,
}

impl Zrle {
    pub(super) fn new(rect: Rect) -> Self {
        let tiles_wide = u32::from(rect.w.div_ceil(TILE));
        let tiles = tiles_wide * u32::from(rect.h.div_ceil(TILE));
        Self { left: None, tile: 0, tiles, tiles_wide, pixels: Vec::new() }
    }

    pub(super) fn step(
        &mut self,
        rect: Rect,
        codec: &PixelCodec,
        stream: &mut Inflate,
        input: &mut BytesMut,
        fb: &mut Framebuffer,
    ) -> Result<bool, ProtocolError> {
        let mut left = match self.left {
            Some(left) => left,
            None => {
                let Some(len) = Reader::new(input).u32() else { return Ok(false) };
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                // A run of one pixel has a byte more than the pixel.
                check_len(rect, len, rect.area() * (codec.len() + 1))?;
                input.advance(4);
                len
            }
        };
        loop {
            let went_on = stream.feed(rect, input, &mut left, 0)?;
            self.left = Some(left);
            while self.tile < self.tiles {
                let place = |n: u32| u16::try_from(n).unwrap_or(u16::MAX).saturating_mul(TILE);
                let (x, y) = (place(self.tile % self.tiles_wide), place(self.tile / self.tiles_wide));
                let (w, h) = (TILE.min(rect.w - x), TILE.min(rect.h - y));
                let tile = Rect { x: rect.x + x, y: rect.y + y, w, h };
                self.pixels.resize(tile.area(), 0);
                let mut from = Reader::new(stream.ready());
                if read_tile(tile, codec, &mut from, &mut self.pixels)?.is_none() {
                    break;
                }
                let at = from.at();
                stream.take(at);
                for (y, row) in (tile.y..).zip(self.pixels.chunks_exact(usize::from(tile.w))) {
                    fb.row_mut(tile.x, y, tile.w).copy_from_slice(row);
                }
                self.tile += 1;
            }
            let full = self.tile == self.tiles;
            if full && !stream.ready().is_empty() {
                return Err(ProtocolError::Fill(rect));
            }
            if left == 0 && !went_on {
                return if full { Ok(true) } else { Err(ProtocolError::Fill(rect)) };
            }
            if !went_on {
                return Ok(false);
            }
        }
    }
}

/// Reads a tile into `pixels`, which has as many as the tile; `None` when bytes are missing.
fn read_tile(
    tile: Rect,
    codec: &PixelCodec,
    from: &mut Reader<'_>,
    pixels: &mut [u32],
) -> Result<Option<()>, ProtocolError> {
    let Some(kind) = from.u8() else { return Ok(None) };
    match kind {
        0 => {
            let Some(bytes) = from.take(pixels.len() * codec.len()) else { return Ok(None) };
            codec.read_row(bytes, pixels);
            Ok(Some(()))
        }
        1 => {
            let Some(bytes) = from.take(codec.len()) else { return Ok(None) };
            pixels.fill(codec.read(bytes));
            Ok(Some(()))
        }
        2..=16 => {
            let Some(palette) = palette(kind, codec, from) else { return Ok(None) };
            packed(tile, &palette, from, pixels)
        }
        128 => runs(tile, None, codec, from, pixels),
        130..=255 => {
            let Some(palette) = palette(kind - 128, codec, from) else { return Ok(None) };
            runs(tile, Some(&palette), codec, from, pixels)
        }
        other => Err(ProtocolError::Sub { what: "tile kind", value: other.into(), rect: tile }),
    }
}

fn palette(count: u8, codec: &PixelCodec, from: &mut Reader<'_>) -> Option<Vec<u32>> {
    let bytes = from.take(usize::from(count) * codec.len())?;
    Some(bytes.chunks_exact(codec.len()).map(|pixel| codec.read(pixel)).collect())
}

fn colour(palette: &[u32], index: u8, rect: Rect) -> Result<u32, ProtocolError> {
    let bad = || ProtocolError::Sub { what: "palette index", value: index.into(), rect };
    palette.get(usize::from(index)).copied().ok_or_else(bad)
}

fn packed(
    tile: Rect,
    palette: &[u32],
    from: &mut Reader<'_>,
    pixels: &mut [u32],
) -> Result<Option<()>, ProtocolError> {
    let bits = match palette.len() {
        ..=2 => 1,
        3..=4 => 2,
        _ => 4,
    };
    let width = usize::from(tile.w);
    let stride = (width * bits).div_ceil(8);
    let Some(bytes) = from.take(stride * usize::from(tile.h)) else { return Ok(None) };
    for (row, bytes) in pixels.chunks_exact_mut(width).zip(bytes.chunks_exact(stride)) {
        for (x, pixel) in row.iter_mut().enumerate() {
            let shift = 8 - bits - (x * bits) % 8;
            *pixel = colour(palette, bytes[x * bits / 8] >> shift & ((1 << bits) - 1), tile)?;
        }
    }
    Ok(Some(()))
}

fn runs(
    tile: Rect,
    palette: Option<&[u32]>,
    codec: &PixelCodec,
    from: &mut Reader<'_>,
    pixels: &mut [u32],
) -> Result<Option<()>, ProtocolError> {
    let mut at = 0;
    while at < pixels.len() {
        let (colour, long) = match palette {
            Some(palette) => {
                let Some(index) = from.u8() else { return Ok(None) };
                (colour(palette, index & 127, tile)?, index & 128 != 0)
            }
            None => {
                let Some(bytes) = from.take(codec.len()) else { return Ok(None) };
                (codec.read(bytes), true)
            }
        };
        let mut run = 1;
        if long {
            loop {
                let Some(more) = from.u8() else { return Ok(None) };
                run += usize::from(more);
                if run > pixels.len() - at {
                    return Err(ProtocolError::TooLong { what: "a run", bytes: run, rect: tile });
                }
                if more != 255 {
                    break;
                }
            }
        }
        pixels[at..at + run].fill(colour);
        at += run;
    }
    Ok(Some(()))
}
