//! Tight: fills, JPEGs, and rows through one of three filters and one of four zlib streams.

use bytes::{Buf, BytesMut};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::inflate::{Inflate, Rows};
use super::tight_filter::Filter;
use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;
use crate::wire::Reader;

/// Data shorter than this, in bytes, is not compressed.
pub(crate) const SMALLEST: usize = 12;

/// How far a rectangle has come.
#[derive(Debug)]
pub(super) enum Tight {
    Control,
    Jpeg(usize),
    Plain { filter: Filter, y: u16 },
    Zlib { filter: Filter, stream: usize, rows: Rows },
}

impl Tight {
    pub(super) fn step(
        &mut self,
        rect: Rect,
        codec: &PixelCodec,
        streams: &mut [Inflate; 4],
        input: &mut BytesMut,
        fb: &mut Framebuffer,
    ) -> Result<bool, ProtocolError> {
        if let Self::Control = self {
            let mut from = Reader::new(input);
            let Some((resets, next)) = control(rect, codec, &mut from, fb)? else { return Ok(false) };
            let at = from.at();
            input.advance(at);
            for (bit, stream) in streams.iter_mut().enumerate() {
                if resets >> bit & 1 != 0 {
                    stream.reset();
                }
            }
            match next {
                Some(next) => *self = next,
                None => return Ok(true),
            }
        }
        match self {
            Self::Control => Ok(false),
            Self::Jpeg(len) => {
                let Some(bytes) = input.get(..*len) else { return Ok(false) };
                jpeg(rect, bytes, fb)?;
                input.advance(*len);
                Ok(true)
            }
            Self::Plain { filter, y } => {
                let len = filter.row_len(rect.w, codec);
                while *y < rect.h && len > 0 {
                    let Some(bytes) = input.get(..len) else { return Ok(false) };
                    filter.row(rect, codec, bytes, fb.row_mut(rect.x, rect.y + *y, rect.w))?;
                    input.advance(len);
                    *y += 1;
                }
                Ok(true)
            }
            Self::Zlib { filter, stream, rows } => {
                rows.step(rect, &mut streams[*stream], input, |y, bytes| {
                    filter.row(rect, codec, bytes, fb.row_mut(rect.x, rect.y + y, rect.w))
                })
            }
        }
    }
}

type Begun = (u8, Option<Tight>);

/// All that precedes the data: which streams begin anew, and what follows; a fill is drawn.
fn control(
    rect: Rect,
    codec: &PixelCodec,
    from: &mut Reader<'_>,
    fb: &mut Framebuffer,
) -> Result<Option<Begun>, ProtocolError> {
    let Some(control) = from.u8() else { return Ok(None) };
    let resets = control & 15;
    match control >> 4 {
        8 => {
            let Some(bytes) = from.take(codec.len()) else { return Ok(None) };
            fb.fill(rect, codec.read(bytes));
            Ok(Some((resets, None)))
        }
        9 => Ok(compact_len(from).map(|len| (resets, Some(Tight::Jpeg(len))))),
        kind @ 0..8 => {
            let filter = if kind & 4 == 0 { Some(Filter::Copy) } else { Filter::read(rect, codec, from)? };
            let Some(filter) = filter else { return Ok(None) };
            let row = filter.row_len(rect.w, codec);
            if row * usize::from(rect.h) < SMALLEST {
                return Ok(Some((resets, Some(Tight::Plain { filter, y: 0 }))));
            }
            let Some(len) = compact_len(from) else { return Ok(None) };
            let rows = Rows::new(rect, len, row)?;
            Ok(Some((resets, Some(Tight::Zlib { filter, stream: usize::from(kind & 3), rows }))))
        }
        other => Err(ProtocolError::Sub { what: "Tight kind", value: other.into(), rect }),
    }
}

/// A length of one to three bytes, seven bits each, the last eight.
fn compact_len(from: &mut Reader<'_>) -> Option<usize> {
    let mut len = 0;
    for shift in [0, 7, 14] {
        let byte = usize::from(from.u8()?);
        if shift == 14 {
            return Some(len | byte << 14);
        }
        len |= (byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    Some(len)
}

fn jpeg(rect: Rect, bytes: &[u8], fb: &mut Framebuffer) -> Result<(), ProtocolError> {
    let bad = |why: String| ProtocolError::Jpeg { rect, why };
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(rect.w.into())
        .set_max_height(rect.h.into());
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| bad(error.to_string()))?;
    let size = decoder.dimensions();
    if size != Some((rect.w.into(), rect.h.into())) {
        return Err(bad(format!("its size is {size:?}")));
    }
    let pixels = decoder.decode().map_err(|error| bad(error.to_string()))?;
    if pixels.len() != rect.area() * 3 {
        return Err(bad(format!("{} bytes came out", pixels.len())));
    }
    for (y, row) in (rect.y..).zip(pixels.chunks_exact(usize::from(rect.w) * 3)) {
        for (pixel, [r, g, b]) in fb.row_mut(rect.x, y, rect.w).iter_mut().zip(row.as_chunks::<3>().0) {
            *pixel = u32::from_be_bytes([0, *r, *g, *b]);
        }
    }
    Ok(())
}
