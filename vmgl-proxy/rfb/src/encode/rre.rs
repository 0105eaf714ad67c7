//! RRE: a background and runs of a row on it, equal runs below each other as one rectangle.

use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;
use crate::wire::put_len;

/// The rectangle's body, or `None` when that is not shorter than its pixels.
pub(super) fn pack(framebuffer: &Framebuffer, rect: Rect, codec: &PixelCodec) -> Option<Vec<u8>> {
    let background = framebuffer.row(rect.x, rect.y, 1).first().copied().unwrap_or(0);
    let subs = rectangles(framebuffer, rect, background);
    let len = 4 + codec.len() + subs.len() * (codec.len() + 8);
    if len >= rect.area() * codec.len() {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    put_len(&mut out, subs.len());
    codec.write(background, &mut out);
    for (colour, sub) in subs {
        codec.write(colour, &mut out);
        sub.write(&mut out);
    }
    Some(out)
}

/// What differs from the background, as rectangles of one colour, from the corner of `rect`.
pub(super) fn rectangles(framebuffer: &Framebuffer, rect: Rect, background: u32) -> Vec<(u32, Rect)> {
    let mut done: Vec<(u32, Rect)> = Vec::new();
    let mut above: Vec<(u32, Rect)> = Vec::new();
    for y in 0..rect.h {
        let mut here = Vec::new();
        let mut old = above.into_iter().peekable();
        let mut x = 0;
        for run in framebuffer.row(rect.x, rect.y + y, rect.w).chunk_by(|a, b| a == b) {
            let w = u16::try_from(run.len()).unwrap_or(u16::MAX);
            if run[0] != background {
                while let Some(ended) = old.next_if(|(_, sub)| sub.x < x) {
                    done.push(ended);
                }
                match old.next_if(|(colour, sub)| *colour == run[0] && sub.x == x && sub.w == w) {
                    Some((colour, sub)) => here.push((colour, Rect { h: sub.h + 1, ..sub })),
                    None => here.push((run[0], Rect { x, y, w, h: 1 })),
                }
            }
            x += w;
        }
        done.extend(old);
        above = here;
    }
    done.extend(above);
    done
}
