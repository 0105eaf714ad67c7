//! Zlib streams that outlive rectangles, taken in bounded pieces.

use bytes::{Buf, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use crate::error::ProtocolError;
use crate::framebuffer::Rect;

/// How much is decompressed ahead of what is drawn, in bytes; more than a ZRLE tile can have.
const AHEAD: usize = 32 << 10;

/// A zlib stream and what came out of it and is not drawn yet.
#[derive(Debug)]
pub(super) struct Inflate {
    stream: Decompress,
    out: Vec<u8>,
    at: usize,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self { stream: Decompress::new(true), out: Vec::new(), at: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.stream.reset(true);
        self.out.clear();
        self.at = 0;
    }

    /// What came out and is not taken yet.
    pub(super) fn ready(&self) -> &[u8] {
        self.out.get(self.at..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, n: usize) {
        self.at += n;
    }

    /// Decompresses until at least `want` and [`AHEAD`] bytes are ready, the input is at its end, or
    /// the piece is: `left` counts its compressed bytes. Whether anything went on.
    pub(super) fn feed(
        &mut self,
        rect: Rect,
        input: &mut BytesMut,
        left: &mut usize,
        want: usize,
    ) -> Result<bool, ProtocolError> {
        let want = want.max(AHEAD);
        self.out.drain(..self.at);
        self.at = 0;
        let mut went_on = false;
        while self.out.len() < want {
            self.out.reserve_exact(want - self.out.len());
            let piece = &input[..input.len().min(*left)];
            let (before_in, before_out) = (self.stream.total_in(), self.out.len());
            let status = self.stream.decompress_vec(piece, &mut self.out, FlushDecompress::Sync);
            let status = status.map_err(|_| ProtocolError::Zlib(rect))?;
            let used = usize::try_from(self.stream.total_in() - before_in).unwrap_or(0);
            input.advance(used);
            *left -= used;
            if status == Status::StreamEnd {
                return Err(ProtocolError::Zlib(rect));
            }
            if used == 0 && self.out.len() == before_out {
                break;
            }
            went_on = true;
        }
        Ok(went_on)
    }
}

/// A rectangle that comes as rows of a fixed length through a zlib stream.
#[derive(Debug)]
pub(super) struct Rows {
    left: usize,
    row: usize,
    y: u16,
}

impl Rows {
    /// `left` compressed bytes, which give rows of `row` bytes.
    pub(super) fn new(rect: Rect, left: usize, row: usize) -> Result<Self, ProtocolError> {
        check_len(rect, left, row * usize::from(rect.h))?;
        Ok(Self { left, row, y: if row == 0 { rect.h } else { 0 } })
    }

    /// Draws the rows there are; whether the rectangle is complete.
    pub(super) fn step(
        &mut self,
        rect: Rect,
        stream: &mut Inflate,
        input: &mut BytesMut,
        mut draw: impl FnMut(u16, &[u8]) -> Result<(), ProtocolError>,
    ) -> Result<bool, ProtocolError> {
        loop {
            let went_on = stream.feed(rect, input, &mut self.left, self.row)?;
            while self.y < rect.h && stream.ready().len() >= self.row {
                draw(self.y, &stream.ready()[..self.row])?;
                stream.take(self.row);
                self.y += 1;
            }
            let full = self.y == rect.h;
            if full && !stream.ready().is_empty() {
                return Err(ProtocolError::Fill(rect));
            }
            if self.left == 0 && !went_on {
                return if full { Ok(true) } else { Err(ProtocolError::Fill(rect)) };
            }
            if !went_on {
                return Ok(false);
            }
        }
    }
}

/// Whether `compressed` bytes may be what `plain` bytes became: zlib adds a few bytes a block, and a
/// flush a few more.
pub(super) fn check_len(rect: Rect, compressed: usize, plain: usize) -> Result<(), ProtocolError> {
    if compressed > plain * 2 + 4096 {
        return Err(ProtocolError::TooLong { what: "compressed data", bytes: compressed, rect });
    }
    Ok(())
}
