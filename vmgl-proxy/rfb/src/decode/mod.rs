//! Rectangles of every encoding into a framebuffer, as their bytes come.
//!
//! Each encoding takes pieces that are bounded: a row, a tile, a subrectangle; the largest is a JPEG of
//! [`crate::limits::TIGHT`]. What zlib streams give is taken row by row or tile by tile, so that a bomb fills
//! nothing but its own rectangle.

pub(crate) mod hextile;
mod inflate;
mod rre;
mod tight;
mod tight_filter;
mod zrle;

use bytes::{Buf, BytesMut};

use crate::encoding::Encoding;
use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::{ColourMap, PixelCodec, PixelFormat};
use crate::wire::Reader;
use inflate::{Inflate, Rows};

/// What outlives a rectangle.
#[derive(Debug)]
struct Streams {
    zlib: Inflate,
    zrle: Inflate,
    tight: [Inflate; 4],
    whole: PixelCodec,
    compact: PixelCodec,
    tight_pixels: PixelCodec,
}

#[derive(Debug)]
enum Body {
    Nothing,
    Raw { y: u16 },
    CopyRect,
    Rre(rre::Rre),
    Hextile(hextile::Hextile),
    Zlib(Option<Rows>),
    Zrle(zrle::Zrle),
    Tight(tight::Tight),
}

/// Decodes the rectangles of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    map: ColourMap,
    streams: Streams,
    rect: Rect,
    body: Body,
}

impl Decoder {
    pub(crate) fn new(format: PixelFormat) -> Self {
        let map = ColourMap::default();
        let codec = |make: fn(PixelFormat, ColourMap) -> PixelCodec| make(format, map.clone());
        let streams = Streams {
            zlib: Inflate::new(),
            zrle: Inflate::new(),
            tight: std::array::from_fn(|_| Inflate::new()),
            whole: codec(PixelCodec::whole),
            compact: codec(PixelCodec::compact),
            tight_pixels: codec(PixelCodec::tight),
        };
        Self { map, streams, rect: Rect::default(), body: Body::Nothing }
    }

    pub(crate) fn set_format(&mut self, format: PixelFormat) {
        self.streams.whole = PixelCodec::whole(format, self.map.clone());
        self.streams.compact = PixelCodec::compact(format, self.map.clone());
        self.streams.tight_pixels = PixelCodec::tight(format, self.map.clone());
    }

    pub(crate) fn set_colour(&mut self, index: usize, colour: u32) {
        self.map.set(index, colour);
        self.streams.whole.set_colour(index, colour);
        self.streams.compact.set_colour(index, colour);
        self.streams.tight_pixels.set_colour(index, colour);
    }

    /// Pixels as they are.
    pub(crate) fn pixels(&self) -> &PixelCodec {
        &self.streams.whole
    }

    /// Begins a rectangle, which is inside the framebuffer.
    pub(crate) fn begin(&mut self, encoding: Encoding, rect: Rect) {
        self.rect = rect;
        self.body = match encoding {
            Encoding::Raw => Body::Raw { y: 0 },
            Encoding::CopyRect => Body::CopyRect,
            Encoding::Rre => Body::Rre(rre::Rre::default()),
            Encoding::Hextile => Body::Hextile(hextile::Hextile::new(rect)),
            Encoding::Zlib => Body::Zlib(None),
            Encoding::Zrle => Body::Zrle(zrle::Zrle::new(rect)),
            Encoding::Tight => Body::Tight(tight::Tight::Control),
        };
    }

    /// Takes what there is; whether the rectangle is complete.
    pub(crate) fn step(&mut self, input: &mut BytesMut, fb: &mut Framebuffer) -> Result<bool, ProtocolError> {
        let (rect, streams) = (self.rect, &mut self.streams);
        match &mut self.body {
            Body::Nothing => Ok(true),
            Body::Raw { y } => Ok(raw(rect, y, &streams.whole, input, fb)),
            Body::CopyRect => copy_rect(rect, input, fb),
            Body::Rre(rre) => rre.step(rect, &streams.whole, input, fb),
            Body::Hextile(hextile) => hextile.step(rect, &streams.whole, input, fb),
            Body::Zlib(rows) => zlib(rect, rows, streams, input, fb),
            Body::Zrle(zrle) => zrle.step(rect, &streams.compact, &mut streams.zrle, input, fb),
            Body::Tight(tight) => tight.step(rect, &streams.tight_pixels, &mut streams.tight, input, fb),
        }
    }
}

fn raw(rect: Rect, y: &mut u16, codec: &PixelCodec, input: &mut BytesMut, fb: &mut Framebuffer) -> bool {
    let len = usize::from(rect.w) * codec.len();
    while *y < rect.h {
        let Some(bytes) = input.get(..len) else { return false };
        codec.read_row(bytes, fb.row_mut(rect.x, rect.y + *y, rect.w));
        input.advance(len);
        *y += 1;
    }
    true
}

fn copy_rect(rect: Rect, input: &mut BytesMut, fb: &mut Framebuffer) -> Result<bool, ProtocolError> {
    let mut from = Reader::new(input);
    let Some((x, y)) = (|| Some((from.u16()?, from.u16()?)))() else { return Ok(false) };
    input.advance(4);
    fb.copy(x, y, rect)?;
    Ok(true)
}

fn zlib(
    rect: Rect,
    rows: &mut Option<Rows>,
    streams: &mut Streams,
    input: &mut BytesMut,
    fb: &mut Framebuffer,
) -> Result<bool, ProtocolError> {
    let codec = &streams.whole;
    let rows = match rows {
        Some(rows) => rows,
        None => {
            let Some(len) = Reader::new(input).u32() else { return Ok(false) };
            let row = usize::from(rect.w) * codec.len();
            let new = Rows::new(rect, usize::try_from(len).unwrap_or(usize::MAX), row)?;
            input.advance(4);
            rows.insert(new)
        }
    };
    rows.step(rect, &mut streams.zlib, input, |y, bytes| {
        codec.read_row(bytes, fb.row_mut(rect.x, rect.y + y, rect.w));
        Ok(())
    })
}
