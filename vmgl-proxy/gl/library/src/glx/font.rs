//! `glXUseXFont`: letters of an X font as display lists of bitmaps.
//!
//! The server is asked for the font's measures; the letters are drawn side by side in a pixmap of one bit, which is read
//! back once. The font is the program's: its connection is waited for first, so that the font is there.

use vmgl_gl_stream::{Command, Data};
use x11rb::connection::Connection;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{
    ChangeGCAux, Charinfo, ConnectionExt, CreateGCAux, ImageFormat, ImageOrder, QueryFontReply, Rectangle,
};
use x11rb::rust_connection::RustConnection;

use crate::core::Cx;

/// Letters in a row of the pixmap, and in one pixmap.
const ROW: u16 = 16;
const PIECE: u32 = 256;
/// Largest side of a letter, in pixels, and most letters of one call.
const SIDE: u16 = 1024;
const MOST: u32 = 1 << 16;

/// A letter: its bitmap with rows from below, where its origin lies in it, and how far the next one is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glyph {
    pub(crate) size: (u16, u16),
    pub(crate) origin: (i16, i16),
    pub(crate) advance: i16,
    pub(crate) bits: Vec<u8>,
}

/// What the server says of a letter; none if the font has not got it.
fn measures(font: &QueryFontReply, letter: u32) -> Option<Charinfo> {
    let [_, _, row, column] = letter.to_be_bytes();
    let (first, last) = (u32::from(font.min_char_or_byte2), u32::from(font.max_char_or_byte2));
    let place = if font.max_byte1 == 0 {
        (first..=last).contains(&letter).then(|| letter - first)?
    } else {
        let column = u32::from(column);
        let inside = (font.min_byte1..=font.max_byte1).contains(&row) && (first..=last).contains(&column);
        inside.then(|| u32::from(row - font.min_byte1) * (last - first + 1) + column - first)?
    };
    // Where all letters have the same measures the server gives them once.
    let infos = &font.char_infos;
    if infos.is_empty() { Some(font.max_bounds) } else { infos.get(usize::try_from(place).ok()?).copied() }
}

/// A picture of one bit a pixel, as the server gives it.
struct Bits {
    data: Vec<u8>,
    stride: usize,
    least_first: bool,
}

impl Bits {
    fn get(&self, x: usize, y: usize) -> bool {
        let byte = self.data.get(y * self.stride + x / 8).copied().unwrap_or(0);
        let bit = if self.least_first { x % 8 } else { 7 - x % 8 };
        byte >> bit & 1 != 0
    }
}

fn unsigned(length: i16) -> usize {
    usize::try_from(length).unwrap_or(0)
}

/// Cuts a letter out of the picture in which its origin lies at this place.
fn cut(bits: &Bits, (x, y): (usize, usize), info: &Charinfo) -> Glyph {
    let width = unsigned(info.right_side_bearing.saturating_sub(info.left_side_bearing));
    let height = unsigned(info.ascent.saturating_add(info.descent));
    let mut rows = vec![0; width.div_ceil(8) * height];
    let left = x.saturating_add_signed(info.left_side_bearing.into());
    let bottom = y.saturating_add_signed(info.descent.into());
    for row in 0..height {
        for column in 0..width {
            if bits.get(left + column, bottom.saturating_sub(1 + row)) {
                rows[row * width.div_ceil(8) + column / 8] |= 0x80 >> (column % 8);
            }
        }
    }
    let side = |length: usize| u16::try_from(length).unwrap_or(0);
    Glyph {
        size: (side(width), side(height)),
        // As GLX says it: letters stand one row above their place.
        origin: (info.left_side_bearing.saturating_neg(), info.descent.saturating_sub(1)),
        advance: info.character_width,
        bits: rows,
    }
}

/// Letters of a font; none in place of one that it has not got.
pub(super) fn glyphs(
    connection: &RustConnection,
    font: u32,
    first: u32,
    count: u32,
) -> Result<Vec<Option<Glyph>>, ReplyOrIdError> {
    let known = connection.query_font(font)?.reply()?;
    let mut all = Vec::new();
    let last = first.saturating_add(count.min(MOST));
    let mut at = first;
    while at < last {
        let end = last.min(at + PIECE);
        all.extend(piece(connection, font, &known, at..end)?);
        at = end;
    }
    Ok(all)
}

fn piece(
    connection: &RustConnection,
    font: u32,
    known: &QueryFontReply,
    letters: std::ops::Range<u32>,
) -> Result<Vec<Option<Glyph>>, ReplyOrIdError> {
    let (least, most) = (&known.min_bounds, &known.max_bounds);
    let side = |length: i16| u16::try_from(length).unwrap_or(0).clamp(1, SIDE);
    let cell = (
        side(most.right_side_bearing.saturating_sub(least.left_side_bearing).saturating_add(1)),
        side(most.ascent.saturating_add(most.descent).saturating_add(1)),
    );
    let rows = u16::try_from(letters.len().div_ceil(ROW.into())).unwrap_or(ROW).max(1);
    let (width, height) = (cell.0 * ROW, cell.1 * rows);
    let root = connection.setup().roots.first().map_or(0, |root| root.root);
    let (pixmap, gc) = (connection.generate_id()?, connection.generate_id()?);
    connection.create_pixmap(1, pixmap, root, width, height)?;
    connection.create_gc(gc, pixmap, &CreateGCAux::new().foreground(0).font(font))?;
    connection.poly_fill_rectangle(pixmap, gc, &[Rectangle { x: 0, y: 0, width, height }])?;
    connection.change_gc(gc, &ChangeGCAux::new().foreground(1))?;
    let mut places = Vec::new();
    for (index, letter) in (0_u16..).zip(letters.clone()) {
        let left =
            usize::from(index % ROW * cell.0).saturating_add_signed(-isize::from(least.left_side_bearing));
        let place = (left, usize::from(index / ROW * cell.1) + unsigned(most.ascent));
        let [_, _, row, column] = letter.to_be_bytes();
        let at = |n: usize| i16::try_from(n).unwrap_or(i16::MAX);
        connection.poly_text16(pixmap, gc, at(place.0), at(place.1), &[1, 0, row, column])?;
        places.push((place, measures(known, letter)));
    }
    let image = connection.get_image(ImageFormat::XY_PIXMAP, pixmap, 0, 0, width, height, 1)?.reply();
    connection.free_gc(gc)?;
    connection.free_pixmap(pixmap)?;
    let setup = connection.setup();
    let pad = usize::from(setup.bitmap_format_scanline_pad).max(8);
    let bits = Bits {
        data: image?.data,
        stride: usize::from(width).div_ceil(pad) * pad / 8,
        least_first: setup.bitmap_format_bit_order == ImageOrder::LSB_FIRST,
    };
    Ok(places.into_iter().map(|(place, info)| info.map(|info| cut(&bits, place, &info))).collect())
}

/// Makes the lists, from `base` on.
pub(super) fn record(cx: &mut Cx<'_>, base: u32, glyphs: &[Option<Glyph>]) {
    const UNPACK: u32 = 0x88ec;
    let buffer = cx.state.unpack_buffer();
    if buffer != 0 {
        cx.send(Command::BindBuffer { target: UNPACK, buffer: 0 });
    }
    for (list, glyph) in (base..).zip(glyphs) {
        cx.send(Command::NewList { list, mode: 0x1300 });
        if let Some(glyph) = glyph {
            cx.send(Command::Bitmap {
                width: glyph.size.0.into(),
                height: glyph.size.1.into(),
                xorig: glyph.origin.0.into(),
                yorig: glyph.origin.1.into(),
                xmove: glyph.advance.into(),
                ymove: 0.0,
                bitmap: if glyph.bits.is_empty() { Data::Null } else { Data::Memory(&glyph.bits) },
            });
        }
        cx.send(Command::EndList);
    }
    if buffer != 0 {
        cx.send(Command::BindBuffer { target: UNPACK, buffer });
    }
}

#[cfg(test)]
mod tests {
    use x11rb::protocol::xproto::{Charinfo, QueryFontReply};

    use super::{Bits, cut, measures};

    fn info(left: i16, right: i16, ascent: i16, descent: i16) -> Charinfo {
        Charinfo {
            left_side_bearing: left,
            right_side_bearing: right,
            character_width: right + 1,
            ascent,
            descent,
            attributes: 0,
        }
    }

    #[test]
    fn a_letter_is_cut_out_with_its_lowest_row_first() {
        // Origin at (2, 3): columns 1 to 4, rows 1 to 3; least bit first.
        let bits =
            Bits { data: vec![0, 0b0000_0010, 0b0001_0100, 0b0000_1000], stride: 1, least_first: true };
        let glyph = cut(&bits, (2, 3), &info(-1, 3, 2, 1));
        assert_eq!((glyph.size, glyph.origin, glyph.advance), ((4, 3), (1, 0), 4));
        assert_eq!(glyph.bits, [0b0010_0000, 0b0101_0000, 0b1000_0000]);
    }

    #[test]
    fn measures_are_found_by_one_byte_or_two() {
        let known: Vec<_> = (0..6).map(|n| info(n, n, n, n)).collect();
        let mut font = QueryFontReply {
            min_char_or_byte2: 32,
            max_char_or_byte2: 37,
            char_infos: known,
            ..QueryFontReply::default()
        };
        let found = |font: &QueryFontReply, letter| measures(font, letter).map(|it| it.ascent);
        assert_eq!(found(&font, 34), Some(2));
        assert_eq!(found(&font, 31), None);
        (font.min_byte1, font.max_byte1, font.max_char_or_byte2) = (1, 2, 34);
        assert_eq!(found(&font, 0x0221), Some(4));
        assert_eq!(found(&font, 0x0321), None);
        font.char_infos.clear();
        font.max_bounds = info(0, 0, 9, 0);
        assert_eq!(found(&font, 0x0221), Some(9));
    }
}
