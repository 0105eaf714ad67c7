//! What the encoder writes, the decoder reads: every encoding, many pixel formats, in pieces of any size.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bytes::BytesMut;
use proptest::prelude::*;
use vmgl_rfb::{Encoder, Encoding, Framebuffer, FromServer, PixelFormat, Rect, ServerEvent, Update};

const FORMATS: [PixelFormat; 9] = [
    PixelFormat::XRGB,
    PixelFormat { big_endian: true, ..PixelFormat::XRGB },
    PixelFormat { shift: [24, 16, 8], ..PixelFormat::XRGB },
    PixelFormat { shift: [8, 16, 24], big_endian: true, ..PixelFormat::XRGB },
    PixelFormat { depth: 30, max: [1023; 3], shift: [20, 10, 0], ..PixelFormat::XRGB },
    PixelFormat { bits_per_pixel: 16, depth: 16, max: [31, 63, 31], shift: [11, 5, 0], ..PixelFormat::XRGB },
    PixelFormat {
        bits_per_pixel: 16,
        depth: 15,
        big_endian: true,
        max: [31; 3],
        shift: [10, 5, 0],
        true_colour: true,
    },
    PixelFormat { bits_per_pixel: 8, depth: 8, max: [7, 7, 3], shift: [0, 3, 6], ..PixelFormat::XRGB },
    PixelFormat {
        bits_per_pixel: 8,
        depth: 8,
        big_endian: false,
        true_colour: false,
        max: [0; 3],
        shift: [0; 3],
    },
];

/// Feeds `bytes` in pieces of `piece` bytes; how many rectangles and updates were seen.
fn decode(bytes: &[u8], format: PixelFormat, piece: usize, fb: &mut Framebuffer) -> (usize, usize) {
    let (mut reader, mut input) = (FromServer::new(format), BytesMut::new());
    let (mut rects, mut updates) = (0, 0);
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        while let Some(event) = reader.step(&mut input, fb).unwrap() {
            rects += usize::from(matches!(event, ServerEvent::Damage(_)));
            updates += usize::from(event == ServerEvent::UpdateEnd);
        }
    }
    assert!(input.is_empty(), "{} bytes were left", input.len());
    (rects, updates)
}

/// A picture of few colours in blocks, of many colours, or of both.
fn picture(w: u16, h: u16, colours: u32, block: u16, seed: u32) -> Framebuffer {
    let mut fb = Framebuffer::new(w, h).unwrap();
    for y in 0..h {
        for (x, pixel) in (0..w).zip(fb.row_mut(0, y, w)) {
            let cell =
                u32::from(x / block).wrapping_mul(31).wrapping_add(u32::from(y / block).wrapping_mul(977));
            let noise = (cell ^ seed).wrapping_mul(0x9e37_79b1);
            *pixel = ((noise >> 15) % colours).wrapping_mul(0x0001_f3b7) & 0xff_ffff;
        }
    }
    fb
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_encoding_brings_the_picture_across(
        (w, h) in (1u16..150, 1u16..150), colours in prop_oneof![1u32..20, Just(1 << 24)], block in 1u16..20,
        seed: u32, format in 0..FORMATS.len(), piece in prop_oneof![Just(1usize), 2usize..5000],
    ) {
        let (format, source) = (FORMATS[format], picture(w, h, colours, block, seed));
        for encoding in Encoding::ALL {
            let mut encoder = Encoder::new(format, Some(1));
            let mut out = Vec::new();
            // Twice, so that the second goes through streams that have begun.
            for half in [Rect::new(0, 0, w, h / 2), Rect::new(0, h / 2, w, h - h / 2)] {
                let mut update = Update::begin(&mut out);
                update.pixels(&mut encoder, encoding, &source, half);
                update.end();
            }
            let mut target = Framebuffer::new(w, h).unwrap();
            decode(&out, format, piece, &mut target);
            for (at, (is, was)) in target.pixels().iter().zip(source.pixels()).enumerate() {
                prop_assert_eq!(*is, encoder.seen(*was), "{:?} {:?} pixel {}", encoding, format, at);
            }
        }
    }
}

#[test]
fn a_jpeg_is_near_the_picture() {
    let (w, h) = (200, 120);
    let mut source = Framebuffer::new(w, h).unwrap();
    for y in 0..h {
        for (x, pixel) in (0..w).zip(source.row_mut(0, y, w)) {
            *pixel = u32::from(x) << 16 | u32::from(y) << 8 | u32::from((x + y) / 2);
        }
    }
    let mut encoder = Encoder::new(PixelFormat::XRGB, None);
    encoder.set_quality(Some(9));
    let mut out = Vec::new();
    let mut update = Update::begin(&mut out);
    update.pixels(&mut encoder, Encoding::Tight, &source, source.bounds());
    update.end();
    assert_eq!(out[16], 0x90, "no JPEG");
    let mut target = Framebuffer::new(w, h).unwrap();
    assert_eq!(decode(&out, PixelFormat::XRGB, 7, &mut target), (1, 1));
    let far =
        |a: u32, b: u32| a.to_be_bytes().into_iter().zip(b.to_be_bytes()).map(|(a, b)| a.abs_diff(b)).max();
    assert!(target.pixels().iter().zip(source.pixels()).all(|(a, b)| far(*a, *b) < Some(12)));
}
