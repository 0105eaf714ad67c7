//! Pixels on the wire, in whatever form a viewer or a server wants, to and from `0x00RRGGBB`.

#![allow(
    clippy::cast_possible_truncation,
    reason = "pixel values are cut to the number of bytes their format says"
)]

use crate::error::ProtocolError;
use crate::wire::{Reader, put_u16};

/// How a pixel is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// 8, 16 or 32.
    pub bits_per_pixel: u8,
    /// How many of the bits mean something.
    pub depth: u8,
    /// Byte order of a pixel of more than one byte.
    pub big_endian: bool,
    /// Red, green and blue stand in the pixel; else it is an index into a colour map.
    pub true_colour: bool,
    /// The largest values of red, green, blue; each 2^n - 1.
    pub max: [u16; 3],
    /// How far red, green, blue are shifted to the left.
    pub shift: [u8; 3],
}

impl PixelFormat {
    /// 32 bits, little-endian, `0x00RRGGBB`: what a [`crate::Framebuffer`] keeps.
    pub const XRGB: Self = Self {
        bits_per_pixel: 32,
        depth: 24,
        big_endian: false,
        true_colour: true,
        max: [255; 3],
        shift: [16, 8, 0],
    };

    /// Bytes of a pixel.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::from(self.bits_per_pixel / 8)
    }

    /// Whether it is consistent.
    ///
    /// # Errors
    /// What contradicts itself.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let bad = |why| Err(ProtocolError::PixelFormat(why));
        if ![8, 16, 32].contains(&self.bits_per_pixel) {
            return bad("bits per pixel are not 8, 16 or 32");
        }
        if self.depth == 0 || self.depth > self.bits_per_pixel {
            return bad("the depth is zero or more than the bits per pixel");
        }
        if !self.true_colour {
            return if self.bits_per_pixel == 8 { Ok(()) } else { bad("a colour map with more than 8 bits") };
        }
        let mut used = 0u64;
        for (max, shift) in self.max.into_iter().zip(self.shift) {
            if max == 0 || !(u32::from(max) + 1).is_power_of_two() {
                return bad("a colour's maximum is not 2^n - 1");
            }
            if shift >= self.bits_per_pixel {
                return bad("a colour is shifted out of the pixel");
            }
            let mask = u64::from(max) << shift;
            if mask >> self.bits_per_pixel != 0 || used & mask != 0 {
                return bad("colours overlap or stand outside the pixel");
            }
            used |= mask;
        }
        Ok(())
    }

    /// The 16 bytes of the protocol.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.bits_per_pixel, self.depth, self.big_endian.into(), self.true_colour.into()]);
        self.max.into_iter().for_each(|max| put_u16(out, max));
        out.extend(self.shift);
        out.extend([0; 3]);
    }

    /// Reads the 16 bytes of the protocol; to be [`PixelFormat::check`]ed.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let format = Self {
            bits_per_pixel: from.u8()?,
            depth: from.u8()?,
            big_endian: from.u8()? != 0,
            true_colour: from.u8()? != 0,
            max: [from.u16()?, from.u16()?, from.u16()?],
            shift: [from.u8()?, from.u8()?, from.u8()?],
        };
        from.take(3)?;
        Some(format)
    }

    fn mask(&self) -> u32 {
        self.max.into_iter().zip(self.shift).fold(0, |mask, (max, shift)| mask | (u32::from(max) << shift))
    }
}

/// 256 colours, each `0x00RRGGBB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColourMap(Box<[u32; 256]>);

impl Default for ColourMap {
    /// Three bits of red, three of green, two of blue: what [`crate::Encoder`] uses for viewers with a map.
    fn default() -> Self {
        let mut map = Box::new([0; 256]);
        for (index, colour) in (0u32..).zip(map.iter_mut()) {
            let part = |value: u32, max: u32| (value * 255 + max / 2) / max;
            *colour = part(index >> 5, 7) << 16 | part(index >> 2 & 7, 7) << 8 | part(index & 3, 3);
        }
        Self(map)
    }
}

impl ColourMap {
    /// The colour of an index.
    #[must_use]
    pub fn get(&self, index: u8) -> u32 {
        self.0[usize::from(index)]
    }

    /// Sets the colour of an index; one beyond the map is left out.
    pub fn set(&mut self, index: usize, colour: u32) {
        if let Some(entry) = self.0.get_mut(index) {
            *entry = colour;
        }
    }
}

/// How many bytes of a pixel go over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// All of them.
    Whole,
    /// Three; the fourth, at this place, is left out (ZRLE's CPIXEL).
    Without(usize),
    /// Red, green, blue, a byte each (Tight's TPIXEL).
    Rgb,
}

/// Reads and writes pixels of one format in one of its wire forms.
#[derive(Debug, Clone)]
pub(crate) struct PixelCodec {
    format: PixelFormat,
    form: Form,
    len: usize,
    plain: bool,
    map: ColourMap,
}

impl PixelCodec {
    /// Pixels as they are.
    pub(crate) fn whole(format: PixelFormat, map: ColourMap) -> Self {
        Self::new(format, Form::Whole, map)
    }

    /// ZRLE's compressed pixels.
    pub(crate) fn compact(format: PixelFormat, map: ColourMap) -> Self {
        let mask = format.mask();
        let form = if format.bits_per_pixel != 32 || !format.true_colour || format.depth > 24 {
            Form::Whole
        } else if mask >> 24 == 0 {
            Form::Without(if format.big_endian { 0 } else { 3 })
        } else if mask & 0xff == 0 {
            Form::Without(if format.big_endian { 3 } else { 0 })
        } else {
            Form::Whole
        };
        Self::new(format, form, map)
    }

    /// Tight's pixels.
    pub(crate) fn tight(format: PixelFormat, map: ColourMap) -> Self {
        let rgb =
            format.bits_per_pixel == 32 && format.depth == 24 && format.true_colour && format.max == [255; 3];
        Self::new(format, if rgb { Form::Rgb } else { Form::Whole }, map)
    }

    fn new(format: PixelFormat, form: Form, map: ColourMap) -> Self {
        let len = if form == Form::Whole { format.bytes() } else { 3 };
        let plain = PixelFormat { depth: 24, ..format } == PixelFormat::XRGB;
        Self { format, form, len, plain, map }
    }

    /// Bytes of a pixel on the wire.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn format(&self) -> &PixelFormat {
        &self.format
    }

    pub(crate) fn set_colour(&mut self, index: usize, colour: u32) {
        self.map.set(index, colour);
    }

    /// The largest value of each colour as it goes over the wire.
    pub(crate) fn parts_max(&self) -> [u16; 3] {
        self.format.max
    }

    /// The pixel at the front of `bytes`, `0x00RRGGBB`; black when they are too few.
    pub(crate) fn read(&self, bytes: &[u8]) -> u32 {
        let value = self.value(bytes);
        if self.plain || self.form == Form::Rgb {
            return value & 0xff_ffff;
        }
        if !self.format.true_colour {
            return self.map.get(value as u8);
        }
        self.join(self.split(value))
    }

    /// Red, green, blue as the wire has them, each up to its own maximum.
    pub(crate) fn read_parts(&self, bytes: &[u8]) -> [u16; 3] {
        let value = self.value(bytes);
        if self.form == Form::Rgb {
            return [(value >> 16 & 255) as u16, (value >> 8 & 255) as u16, (value & 255) as u16];
        }
        self.split(value)
    }

    /// `0x00RRGGBB` of parts up to their own maxima.
    pub(crate) fn join(&self, parts: [u16; 3]) -> u32 {
        parts.into_iter().zip(self.format.max).fold(0, |colour, (part, max)| {
            let max = u32::from(max.max(1));
            colour << 8 | ((u32::from(part) * 255 + max / 2) / max).min(255)
        })
    }

    /// Appends a pixel.
    pub(crate) fn write(&self, colour: u32, out: &mut Vec<u8>) {
        let [_, r, g, b] = colour.to_be_bytes();
        if self.form == Form::Rgb {
            return out.extend([r, g, b]);
        }
        let value = if self.plain { colour & 0xff_ffff } else { self.pack([r, g, b]) };
        let bytes = if self.format.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        match self.form {
            Form::Without(0) => out.extend_from_slice(&bytes[1..]),
            Form::Without(_) => out.extend_from_slice(&bytes[..3]),
            _ if self.format.big_endian => out.extend_from_slice(&bytes[4 - self.len..]),
            _ => out.extend_from_slice(&bytes[..self.len]),
        }
    }

    /// The colour a viewer of this format sees for `colour`.
    pub(crate) fn seen(&self, colour: u32) -> u32 {
        if self.plain || self.form == Form::Rgb {
            return colour & 0xff_ffff;
        }
        let [_, r, g, b] = colour.to_be_bytes();
        let value = self.pack([r, g, b]);
        if self.format.true_colour { self.join(self.split(value)) } else { self.map.get(value as u8) }
    }

    /// Reads as many pixels as `row` has.
    pub(crate) fn read_row(&self, bytes: &[u8], row: &mut [u32]) {
        if self.plain && self.form == Form::Whole {
            for (pixel, four) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *pixel = u32::from_le_bytes(*four) & 0xff_ffff;
            }
            return;
        }
        // Three bytes of a pixel that needs no arithmetic: most of what comes and goes.
        if self.plain || self.form == Form::Rgb {
            let rgb = self.form == Form::Rgb;
            for (pixel, [a, b, c]) in row.iter_mut().zip(bytes.as_chunks::<3>().0) {
                *pixel = u32::from_be_bytes(if rgb { [0, *a, *b, *c] } else { [0, *c, *b, *a] });
            }
            return;
        }
        for (pixel, bytes) in row.iter_mut().zip(bytes.chunks_exact(self.len)) {
            *pixel = self.read(bytes);
        }
    }

    /// Appends a row of pixels.
    pub(crate) fn write_row(&self, row: &[u32], out: &mut Vec<u8>) {
        let start = out.len();
        if self.plain && self.form == Form::Whole {
            out.resize(start + row.len() * 4, 0);
            for (four, pixel) in out[start..].as_chunks_mut::<4>().0.iter_mut().zip(row) {
                *four = (pixel & 0xff_ffff).to_le_bytes();
            }
            return;
        }
        if self.plain || self.form == Form::Rgb {
            let rgb = self.form == Form::Rgb;
            out.resize(start + row.len() * 3, 0);
            for (three, pixel) in out[start..].as_chunks_mut::<3>().0.iter_mut().zip(row) {
                let [_, r, g, b] = pixel.to_be_bytes();
                *three = if rgb { [r, g, b] } else { [b, g, r] };
            }
            return;
        }
        out.reserve(row.len() * self.len);
        for &pixel in row {
            self.write(pixel, out);
        }
    }

    fn value(&self, bytes: &[u8]) -> u32 {
        let Some(bytes) = bytes.get(..self.len) else { return 0 };
        let mut four = [0; 4];
        match self.form {
            Form::Rgb => {
                four[1..].copy_from_slice(bytes);
                return u32::from_be_bytes(four);
            }
            Form::Without(0) => four[1..].copy_from_slice(bytes),
            Form::Without(_) => four[..3].copy_from_slice(bytes),
            Form::Whole if self.format.big_endian => four[4 - self.len..].copy_from_slice(bytes),
            Form::Whole => four[..self.len].copy_from_slice(bytes),
        }
        if self.format.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    }

    fn split(&self, value: u32) -> [u16; 3] {
        let part = |i: usize| (value.checked_shr(self.format.shift[i].into()).unwrap_or(0)) as u16;
        [0, 1, 2].map(|i| part(i) & self.format.max[i])
    }

    fn pack(&self, rgb: [u8; 3]) -> u32 {
        if !self.format.true_colour {
            let [r, g, b] = rgb.map(u32::from);
            let part = |value: u32, max: u32| (value * max + 127) / 255;
            return part(r, 7) << 5 | part(g, 7) << 2 | part(b, 3);
        }
        let mut value = 0;
        for ((part, max), shift) in rgb.into_iter().zip(self.format.max).zip(self.format.shift) {
            value |= ((u32::from(part) * u32::from(max) + 127) / 255).checked_shl(shift.into()).unwrap_or(0);
        }
        value
    }
}
