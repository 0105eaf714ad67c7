//! Tight: a fill, a palette, a JPEG when detail may be lost, or pixels as they are.

use jpeg_encoder::{ColorType, SamplingFactor};

use super::Encoder;
use super::deflate::Deflate;
use super::zrle::palette;
use crate::framebuffer::{Framebuffer, Rect};

/// Viewers refuse wider rectangles.
pub(super) const WIDEST: u16 = 2048;
/// Keeps every compressed length below what its field can say.
pub(super) const HIGHEST: u16 = 256;
/// Data shorter than this, in bytes, is not compressed.
const SMALLEST: usize = 12;
/// A JPEG of fewer pixels is longer than what it replaces.
const SMALLEST_JPEG: usize = 1024;
/// Most colours of a palette; looking for more costs more than they save.
const COLOURS: usize = 64;
/// JPEG's own quality for the ten levels.
const QUALITY: [u8; 10] = [15, 29, 41, 42, 62, 77, 79, 86, 92, 100];

/// Appends the rectangle; whether with loss.
pub(super) fn write(encoder: &mut Encoder, framebuffer: &Framebuffer, rect: Rect, out: &mut Vec<u8>) -> bool {
    let mut pixels = Vec::with_capacity(rect.area());
    (rect.y..rect.y + rect.h).for_each(|y| pixels.extend_from_slice(framebuffer.row(rect.x, y, rect.w)));
    let colours = palette(&pixels, COLOURS);
    match colours.as_deref() {
        Some([colour]) => {
            out.push(0x80);
            encoder.tight.write(*colour, out);
        }
        Some(colours) => indexed(encoder, rect, &pixels, colours, out),
        None => {
            let deep = encoder.tight.format().bits_per_pixel > 8;
            let quality = encoder.quality.filter(|_| deep && rect.area() >= SMALLEST_JPEG);
            if quality.is_some_and(|quality| jpeg(quality, rect, &pixels, out)) {
                return true;
            }
            out.push(0);
            let mut plain = Vec::new();
            encoder.tight.write_row(&pixels, &mut plain);
            data(&mut encoder.tight_streams[0], &plain, out);
        }
    }
    false
}

fn indexed(encoder: &mut Encoder, rect: Rect, pixels: &[u32], colours: &[u32], out: &mut Vec<u8>) {
    let mono = colours.len() == 2;
    let stream = if mono { 1 } else { 2 };
    out.extend([0x40 | stream << 4, 1, u8::try_from(colours.len() - 1).unwrap_or(0)]);
    encoder.tight.write_row(colours, out);
    let index = |pixel: &u32| u8::try_from(colours.iter().position(|c| c == pixel).unwrap_or(0)).unwrap_or(0);
    let plain: Vec<u8> = if mono {
        let byte =
            |eight: &[u32]| (0..).zip(eight).fold(0, |byte, (at, pixel)| byte | index(pixel) << (7 - at));
        pixels.chunks(usize::from(rect.w)).flat_map(|row| row.chunks(8).map(byte)).collect()
    } else {
        pixels.iter().map(index).collect()
    };
    data(&mut encoder.tight_streams[usize::from(stream)], &plain, out);
}

fn data(stream: &mut Deflate, plain: &[u8], out: &mut Vec<u8>) {
    if plain.len() < SMALLEST {
        return out.extend_from_slice(plain);
    }
    let packed = stream.pack(plain);
    compact_len(packed.len(), out);
    out.extend(packed);
}

/// Whether a JPEG was appended.
fn jpeg(quality: u8, rect: Rect, pixels: &[u32], out: &mut Vec<u8>) -> bool {
    let quality = QUALITY.get(usize::from(quality)).copied().unwrap_or(100);
    let rgb: Vec<u8> = pixels
        .iter()
        .flat_map(|pixel| {
            let [_, r, g, b] = pixel.to_be_bytes();
            [r, g, b]
        })
        .collect();
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, quality);
    let sampling = if quality >= 90 { SamplingFactor::F_1_1 } else { SamplingFactor::F_2_2 };
    encoder.set_sampling_factor(sampling);
    if encoder.encode(&rgb, rect.w, rect.h, ColorType::Rgb).is_err() {
        return false;
    }
    out.push(0x90);
    compact_len(jpeg.len(), out);
    out.extend(jpeg);
    true
}

fn compact_len(len: usize, out: &mut Vec<u8>) {
    let part = |shift: usize, mask: usize| u8::try_from(len >> shift & mask).unwrap_or(0);
    match len {
        ..0x80 => out.push(part(0, 127)),
        0x80..0x4000 => out.extend([part(0, 127) | 128, part(7, 127)]),
        _ => out.extend([part(0, 127) | 128, part(7, 127) | 128, part(14, 255)]),
    }
}
