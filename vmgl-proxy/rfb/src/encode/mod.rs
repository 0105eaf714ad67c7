//! Updates for a viewer: rectangles of a framebuffer in the encodings and the pixel format it wants.
//!
//! Invariant: zlib streams live as long as the connection, so one [`Encoder`] serves one viewer and what it
//! appends is sent in that order.

mod deflate;
mod hextile;
mod rre;
mod tight;
mod zrle;

use crate::cursor::Cursor;
use crate::encoding::{Encoding, pseudo};
use crate::framebuffer::{Framebuffer, Rect};
use crate::message::Screen;
use crate::pixel::{ColourMap, PixelCodec, PixelFormat};
use crate::wire::{put_len, put_u16};
use deflate::Deflate;

/// What a viewer said it understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// Encodings, the best first; raw pixels are always understood.
    pub encodings: Vec<Encoding>,
    /// JPEG quality, 0 to 9, when pictures may lose detail.
    pub quality: Option<u8>,
    /// Compression level, 0 to 9.
    pub compress: Option<u8>,
    /// Every other number, as it came.
    pub others: Vec<i32>,
}

impl Preferences {
    /// Sorts out a list of encodings; of several levels the first counts.
    #[must_use]
    pub fn new(numbers: &[i32]) -> Self {
        let level = |first: i32| {
            let mut levels =
                numbers.iter().filter_map(|number| u8::try_from(number.checked_sub(first)?).ok());
            levels.find(|level| *level <= 9)
        };
        let is_level = |number: i32| {
            [pseudo::JPEG_QUALITY, pseudo::COMPRESS_LEVEL]
                .iter()
                .any(|first| (*first..first + 10).contains(&number))
        };
        let others = numbers.iter().copied();
        Self {
            encodings: numbers.iter().copied().filter_map(Encoding::from_number).collect(),
            quality: level(pseudo::JPEG_QUALITY),
            compress: level(pseudo::COMPRESS_LEVEL),
            others: others.filter(|n| Encoding::from_number(*n).is_none() && !is_level(*n)).collect(),
        }
    }

    /// Whether the viewer named this number of [`pseudo`].
    #[must_use]
    pub fn has(&self, number: i32) -> bool {
        self.others.contains(&number)
    }

    /// The encoding it likes best for pixels.
    #[must_use]
    pub fn best(&self) -> Encoding {
        self.encodings
            .iter()
            .copied()
            .find(|encoding| *encoding != Encoding::CopyRect)
            .unwrap_or(Encoding::Raw)
    }
}

/// Writes rectangles for one viewer.
#[derive(Debug)]
pub struct Encoder {
    whole: PixelCodec,
    compact: PixelCodec,
    tight: PixelCodec,
    quality: Option<u8>,
    zlib: Deflate,
    zrle: Deflate,
    tight_streams: [Deflate; 3],
    lossy: Vec<Rect>,
}

impl Encoder {
    /// An encoder for a viewer that wants pixels in `format`; a viewer with a colour map has to be sent
    /// [`ColourMap::default`] first. `compress` is the level of the zlib streams, 0 to 9.
    #[must_use]
    pub fn new(format: PixelFormat, compress: Option<u8>) -> Self {
        let level = u32::from(compress.unwrap_or(2).min(9));
        let stream = || Deflate::new(level);
        Self {
            whole: PixelCodec::whole(format, ColourMap::default()),
            compact: PixelCodec::compact(format, ColourMap::default()),
            tight: PixelCodec::tight(format, ColourMap::default()),
            quality: None,
            zlib: stream(),
            zrle: stream(),
            tight_streams: [stream(), stream(), stream()],
            lossy: Vec::new(),
        }
    }

    /// Pixels are in `format` from here on; the streams go on.
    pub fn set_format(&mut self, format: PixelFormat) {
        self.whole = PixelCodec::whole(format, ColourMap::default());
        self.compact = PixelCodec::compact(format, ColourMap::default());
        self.tight = PixelCodec::tight(format, ColourMap::default());
    }

    /// JPEG quality, 0 to 9, for Tight; `None` for pictures without loss.
    pub fn set_quality(&mut self, quality: Option<u8>) {
        self.quality = quality.map(|quality| quality.min(9));
    }

    /// The rectangles that were written with loss since this was asked last.
    pub fn take_lossy(&mut self) -> Vec<Rect> {
        std::mem::take(&mut self.lossy)
    }

    /// The colour the viewer sees for `colour` when nothing is lost but what its format cannot say.
    #[must_use]
    pub fn seen(&self, colour: u32) -> u32 {
        self.whole.seen(colour)
    }
}

/// Most rectangles of one update: 65535 says that their number is not known.
const RECTS: u16 = u16::MAX - 1;

/// An update that is being written: its number of rectangles is filled in at its end. What is more than
/// one can say goes on in another behind it.
#[derive(Debug)]
pub struct Update<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    rects: u16,
}

impl<'a> Update<'a> {
    /// Begins an update at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend([0; 4]);
        Self { out, start, rects: 0 }
    }

    /// How many rectangles it has.
    #[must_use]
    pub fn rects(&self) -> u16 {
        self.rects
    }

    /// Ends it; one without a rectangle leaves nothing behind.
    pub fn end(mut self) {
        self.close();
    }

    fn close(&mut self) {
        if self.rects == 0 {
            self.out.truncate(self.start);
        } else if let Some(count) = self.out.get_mut(self.start + 2..self.start + 4) {
            count.copy_from_slice(&self.rects.to_be_bytes());
        }
    }

    /// Appends what of `rect` is inside the framebuffer; Tight may make several rectangles of it.
    pub fn pixels(
        &mut self,
        encoder: &mut Encoder,
        encoding: Encoding,
        framebuffer: &Framebuffer,
        rect: Rect,
    ) {
        let rect = rect.intersect(&framebuffer.bounds());
        self.part(encoder, encoding, framebuffer, rect, rect);
    }

    /// Appends all of `patch`, to stand at `(x, y)` in the viewer's picture.
    pub fn patch(
        &mut self,
        encoder: &mut Encoder,
        encoding: Encoding,
        patch: &Framebuffer,
        (x, y): (u16, u16),
    ) {
        let from = patch.bounds();
        self.part(encoder, encoding, patch, from, Rect { x, y, ..from });
    }

    /// Appends `from` of the framebuffer, to stand at `to`, which has the same size.
    fn part(
        &mut self,
        encoder: &mut Encoder,
        encoding: Encoding,
        framebuffer: &Framebuffer,
        from: Rect,
        to: Rect,
    ) {
        if from.is_empty() {
            return;
        }
        match encoding {
            Encoding::Raw | Encoding::CopyRect => self.raw(encoder, framebuffer, from, to),
            Encoding::Rre => match rre::pack(framebuffer, from, &encoder.whole) {
                Some(packed) => {
                    self.head(to, encoding.number());
                    self.out.extend(packed);
                }
                None => self.raw(encoder, framebuffer, from, to),
            },
            Encoding::Hextile => {
                self.head(to, encoding.number());
                hextile::write(framebuffer, from, &encoder.whole, self.out);
            }
            Encoding::Zlib => {
                self.head(to, encoding.number());
                let mut plain = Vec::new();
                (from.y..from.y + from.h)
                    .for_each(|y| encoder.whole.write_row(framebuffer.row(from.x, y, from.w), &mut plain));
                let packed = encoder.zlib.pack(&plain);
                put_len(self.out, packed.len());
                self.out.extend(packed);
            }
            Encoding::Zrle => {
                self.head(to, encoding.number());
                let plain = zrle::plain(framebuffer, from, &encoder.compact);
                let packed = encoder.zrle.pack(&plain);
                put_len(self.out, packed.len());
                self.out.extend(packed);
            }
            Encoding::Tight => {
                let parts = from.tiles(tight::WIDEST, tight::HIGHEST);
                for (from, to) in parts.zip(to.tiles(tight::WIDEST, tight::HIGHEST)) {
                    self.head(to, encoding.number());
                    if tight::write(encoder, framebuffer, from, self.out) {
                        encoder.lossy.push(to);
                    }
                }
            }
        }
    }

    fn raw(&mut self, encoder: &Encoder, framebuffer: &Framebuffer, from: Rect, to: Rect) {
        self.head(to, Encoding::Raw.number());
        (from.y..from.y + from.h)
            .for_each(|y| encoder.whole.write_row(framebuffer.row(from.x, y, from.w), self.out));
    }

    /// Appends a copy of what the viewer has at `(from_x, from_y)`.
    pub fn copy(&mut self, from_x: u16, from_y: u16, to: Rect) {
        self.head(to, Encoding::CopyRect.number());
        put_u16(self.out, from_x);
        put_u16(self.out, from_y);
    }

    /// Appends the cursor.
    pub fn cursor(&mut self, encoder: &Encoder, cursor: &Cursor) {
        self.head(Rect::new(cursor.hot_x, cursor.hot_y, cursor.width, cursor.height), pseudo::CURSOR);
        cursor.write(&encoder.whole, self.out);
    }

    /// Appends a new size; it has to be the last rectangle of its update.
    pub fn desktop_size(&mut self, width: u16, height: u16) {
        self.head(Rect::new(0, 0, width, height), pseudo::DESKTOP_SIZE);
    }

    /// Appends a size with its reason, status and screens, for viewers who know that; see
    /// [`crate::ServerEvent::ExtendedDesktopSize`].
    pub fn extended_desktop_size(&mut self, reason: u16, status: u16, size: (u16, u16), screens: &[Screen]) {
        let screens = &screens[..screens.len().min(usize::from(u8::MAX))];
        self.head(Rect::new(reason, status, size.0, size.1), pseudo::EXTENDED_DESKTOP_SIZE);
        self.out.extend([u8::try_from(screens.len()).unwrap_or(u8::MAX), 0, 0, 0]);
        screens.iter().for_each(|screen| screen.write(self.out));
    }

    /// Appends a pseudo-rectangle that has nothing but its head, such as [`pseudo::QEMU_EXTENDED_KEY`]
    /// or [`pseudo::POINTER_POS`].
    pub fn mark(&mut self, rect: Rect, number: i32) {
        self.head(rect, number);
    }

    fn head(&mut self, rect: Rect, number: i32) {
        if self.rects == RECTS {
            self.close();
            self.start = self.out.len();
            self.out.extend([0; 4]);
            self.rects = 0;
        }
        rect.write(self.out);
        self.out.extend(number.to_be_bytes());
        self.rects += 1;
    }
}
