//! Hextile: of each tile the shorter of raw and rectangles on a background.

use super::rre::rectangles;
use crate::decode::hextile::{BACKGROUND, COLOURED, RAW, SUBRECTS, TILE};
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;

pub(super) fn write(framebuffer: &Framebuffer, rect: Rect, codec: &PixelCodec, out: &mut Vec<u8>) {
    for tile in rect.tiles(TILE, TILE) {
        let background = framebuffer.row(tile.x, tile.y, 1).first().copied().unwrap_or(0);
        let subs = rectangles(framebuffer, tile, background);
        let raw = tile.area() * codec.len();
        let count =
            u8::try_from(subs.len()).ok().filter(|_| subs.len() * (codec.len() + 2) + codec.len() < raw);
        match count {
            None => {
                out.push(RAW);
                (tile.y..tile.y + tile.h)
                    .for_each(|y| codec.write_row(framebuffer.row(tile.x, y, tile.w), out));
            }
            Some(0) => {
                out.push(BACKGROUND);
                codec.write(background, out);
            }
            Some(count) => {
                out.push(BACKGROUND | SUBRECTS | COLOURED);
                codec.write(background, out);
                out.push(count);
                for (colour, sub) in subs {
                    codec.write(colour, out);
                    let nibbles = |a: u16, b: u16| u8::try_from(a << 4 | b).unwrap_or(0);
                    out.extend([nibbles(sub.x, sub.y), nibbles(sub.w - 1, sub.h - 1)]);
                }
            }
        }
    }
}
