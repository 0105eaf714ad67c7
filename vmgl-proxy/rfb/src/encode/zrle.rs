//! ZRLE: of each tile the shortest of solid, packed palette, runs and raw.

use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;

const TILE: u16 = 64;

/// What goes through the zlib stream for a rectangle.
pub(super) fn plain(framebuffer: &Framebuffer, rect: Rect, codec: &PixelCodec) -> Vec<u8> {
    let mut out = Vec::new();
    let mut pixels = Vec::new();
    for tile in rect.tiles(TILE, TILE) {
        pixels.clear();
        (tile.y..tile.y + tile.h).for_each(|y| pixels.extend_from_slice(framebuffer.row(tile.x, y, tile.w)));
        write_tile(tile, &pixels, codec, &mut out);
    }
    out
}

fn write_tile(tile: Rect, pixels: &[u32], codec: &PixelCodec, out: &mut Vec<u8>) {
    let runs: usize = pixels.chunk_by(|a, b| a == b).map(|run| codec.len() + (run.len() - 1) / 255 + 1).sum();
    let raw = pixels.len() * codec.len();
    let palette = palette(pixels, 16);
    match palette {
        Some(palette) if palette.len() == 1 => {
            out.push(1);
            codec.write(palette[0], out);
        }
        Some(palette) if palette.len() * codec.len() + packed_len(tile, palette.len()) < raw.min(runs) => {
            packed(tile, pixels, &palette, codec, out);
        }
        _ if runs < raw => {
            out.push(128);
            for run in pixels.chunk_by(|a, b| a == b) {
                codec.write(run[0], out);
                let more = run.len() - 1;
                out.extend(std::iter::repeat_n(255, more / 255));
                out.push(u8::try_from(more % 255).unwrap_or(0));
            }
        }
        _ => {
            out.push(0);
            codec.write_row(pixels, out);
        }
    }
}

/// The colours there are, in the order they come, when they are not more than `most`.
pub(super) fn palette(pixels: &[u32], most: usize) -> Option<Vec<u32>> {
    let mut palette = Vec::new();
    for run in pixels.chunk_by(|a, b| a == b) {
        if !palette.contains(&run[0]) {
            if palette.len() == most {
                return None;
            }
            palette.push(run[0]);
        }
    }
    Some(palette)
}

fn bits(colours: usize) -> usize {
    match colours {
        ..=2 => 1,
        3..=4 => 2,
        _ => 4,
    }
}

fn packed_len(tile: Rect, colours: usize) -> usize {
    (usize::from(tile.w) * bits(colours)).div_ceil(8) * usize::from(tile.h)
}

fn packed(tile: Rect, pixels: &[u32], palette: &[u32], codec: &PixelCodec, out: &mut Vec<u8>) {
    out.push(u8::try_from(palette.len()).unwrap_or(0));
    codec.write_row(palette, out);
    let bits = bits(palette.len());
    for row in pixels.chunks(usize::from(tile.w)) {
        for byte in row.chunks(8 / bits) {
            let index = |pixel: &u32| palette.iter().position(|colour| colour == pixel).unwrap_or(0);
            let packed = byte.iter().enumerate().map(|(at, pixel)| index(pixel) << (8 - bits * (at + 1)));
            out.push(u8::try_from(packed.fold(0, |byte, part| byte | part)).unwrap_or(0));
        }
    }
}
