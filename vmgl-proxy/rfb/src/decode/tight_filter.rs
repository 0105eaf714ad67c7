//! Tight's filters: rows as they are, as indices into a palette, or as differences from a prediction.

#![allow(clippy::cast_possible_truncation, reason = "differences are taken modulo a colour's maximum")]

use crate::error::ProtocolError;
use crate::framebuffer::Rect;
use crate::pixel::PixelCodec;
use crate::wire::Reader;

/// What is done to a rectangle's rows before they are compressed.
#[derive(Debug)]
pub(super) enum Filter {
    Copy,
    Palette(Vec<u32>),
    /// The row above, red, green, blue for each pixel.
    Gradient(Vec<[u16; 3]>),
}

impl Filter {
    /// Reads a filter's number and what belongs to it; `None` when bytes are missing.
    pub(super) fn read(
        rect: Rect,
        codec: &PixelCodec,
        from: &mut Reader<'_>,
    ) -> Result<Option<Self>, ProtocolError> {
        Ok(match from.u8() {
            None => None,
            Some(0) => Some(Self::Copy),
            Some(1) => {
                let Some(last) = from.u8() else { return Ok(None) };
                if last == 0 {
                    return Err(ProtocolError::Sub { what: "palette of one colour", value: 0, rect });
                }
                let colours = from.take((usize::from(last) + 1) * codec.len());
                let read =
                    |bytes: &[u8]| bytes.chunks_exact(codec.len()).map(|pixel| codec.read(pixel)).collect();
                colours.map(|bytes| Self::Palette(read(bytes)))
            }
            Some(2) if codec.format().bits_per_pixel > 8 => {
                Some(Self::Gradient(vec![[0; 3]; usize::from(rect.w)]))
            }
            Some(other) => return Err(ProtocolError::Sub { what: "filter", value: other.into(), rect }),
        })
    }

    /// Bytes of a row.
    pub(super) fn row_len(&self, width: u16, codec: &PixelCodec) -> usize {
        let width = usize::from(width);
        match self {
            Self::Palette(colours) if colours.len() == 2 => width.div_ceil(8),
            Self::Palette(_) => width,
            Self::Copy | Self::Gradient(_) => width * codec.len(),
        }
    }

    /// Draws a row.
    pub(super) fn row(
        &mut self,
        rect: Rect,
        codec: &PixelCodec,
        bytes: &[u8],
        row: &mut [u32],
    ) -> Result<(), ProtocolError> {
        match self {
            Self::Copy => codec.read_row(bytes, row),
            Self::Palette(colours) => {
                let mono = colours.len() == 2;
                for (x, pixel) in row.iter_mut().enumerate() {
                    let index = if mono { bytes[x / 8] >> (7 - x % 8) & 1 } else { bytes[x] };
                    let bad = || ProtocolError::Sub { what: "palette index", value: index.into(), rect };
                    *pixel = *colours.get(usize::from(index)).ok_or_else(bad)?;
                }
            }
            Self::Gradient(above) => {
                let max = codec.parts_max().map(i32::from);
                let (mut left, mut corner) = ([0; 3], [0; 3]);
                for ((pixel, bytes), above) in row.iter_mut().zip(bytes.chunks_exact(codec.len())).zip(above)
                {
                    let parts = codec.read_parts(bytes);
                    let mut now = [0; 3];
                    for i in 0..3 {
                        let predicted = (i32::from(above[i]) + i32::from(left[i]) - i32::from(corner[i]))
                            .clamp(0, max[i]);
                        // A maximum is 2^n - 1, so this is the sum modulo 2^n.
                        now[i] = ((predicted + i32::from(parts[i])) & max[i]).unsigned_abs() as u16;
                    }
                    (corner, left, *above) = (*above, now, now);
                    *pixel = codec.join(now);
                }
            }
        }
        Ok(())
    }
}
