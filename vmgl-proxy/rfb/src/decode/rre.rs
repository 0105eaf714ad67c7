//! RRE: a background and rectangles on it.

use bytes::{Buf, BytesMut};

use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel::PixelCodec;
use crate::wire::Reader;

/// Subrectangles still to come, once that is known.
#[derive(Debug, Default)]
pub(super) struct Rre {
    left: Option<u32>,
}

impl Rre {
    pub(super) fn step(
        &mut self,
        rect: Rect,
        codec: &PixelCodec,
        input: &mut BytesMut,
        fb: &mut Framebuffer,
    ) -> Result<bool, ProtocolError> {
        let left = match &mut self.left {
            Some(left) => left,
            None => {
                let mut from = Reader::new(input);
                let head = (|| Some((from.u32()?, from.take(codec.len())?)))();
                let Some((count, colour)) = head else { return Ok(false) };
                let bytes = usize::try_from(count).unwrap_or(usize::MAX);
                if bytes > rect.area() {
                    return Err(ProtocolError::TooLong { what: "a list of subrectangles", bytes, rect });
                }
                fb.fill(rect, codec.read(colour));
                input.advance(4 + codec.len());
                self.left.insert(count)
            }
        };
        while *left > 0 {
            let mut from = Reader::new(input);
            let sub = (|| Some((from.take(codec.len())?, Rect::read(&mut from)?)))();
            let Some((colour, sub)) = sub else { return Ok(false) };
            if sub.right() > rect.w.into() || sub.bottom() > rect.h.into() {
                return Err(ProtocolError::Outside(sub));
            }
            fb.fill(Rect { x: rect.x + sub.x, y: rect.y + sub.y, ..sub }, codec.read(colour));
            input.advance(codec.len() + 8);
            *left -= 1;
        }
        Ok(true)
    }
}
