//! Pixels to the renderer and back. On the wire their rows follow one another without padding; how they lie in the
//! program's memory is known here and nowhere else.

use vmgl_gl_stream::{Command, Data, size};

use super::gets::level_parameter;
use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;
use crate::shadow::PixelStore;

const BITMAP: u32 = 0x1a00;

/// Where rows lie: their number and bytes, and how far they and pictures are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// The first byte.
    start: usize,
    /// Bits of the first byte that are skipped: of bitmaps.
    bits: usize,
    row: usize,
    width: usize,
    rows: usize,
    step: usize,
    pictures: usize,
    picture_step: usize,
}

fn number(value: i32) -> Option<usize> {
    usize::try_from(value).ok()
}

fn layout(store: &PixelStore, format: u32, kind: u32, [width, height, depth]: [i32; 3]) -> Option<Layout> {
    let [width, rows, pictures] = [number(width)?, number(height)?, number(depth)?];
    let length = number(store.row_length)?;
    let length = if length == 0 { width } else { length };
    let tall = number(store.image_height)?;
    let tall = if tall == 0 { rows } else { tall };
    let (skip_pixels, skip_rows) = (number(store.skip_pixels)?, number(store.skip_rows)?);
    let row = size::row_bytes(format, kind, width)?;
    let step = size::row_bytes(format, kind, length)?.next_multiple_of(number(store.alignment)?);
    let picture_step = step.checked_mul(tall)?;
    let (skipped, bits) = if kind == BITMAP {
        (skip_pixels / 8, skip_pixels % 8)
    } else {
        (size::pixel_bytes(format, kind)?.checked_mul(skip_pixels)?, 0)
    };
    let start = number(store.skip_images)?.checked_mul(picture_step)?;
    let start = start.checked_add(skip_rows.checked_mul(step)?)?.checked_add(skipped)?;
    Some(Layout { start, bits, row, width, rows, step, pictures, picture_step })
}

impl Layout {
    /// Offsets of all rows.
    fn offsets(self) -> impl Iterator<Item = usize> {
        let row = move |picture, row| self.start + picture * self.picture_step + row * self.step;
        (0..self.pictures).flat_map(move |picture| (0..self.rows).map(move |it| row(picture, it)))
    }

    fn is_tight(self) -> bool {
        self.bits == 0
            && self.start == 0
            && self.step == self.row
            && self.picture_step == self.row * self.rows
    }

    fn total(self) -> Option<usize> {
        self.row.checked_mul(self.rows)?.checked_mul(self.pictures)
    }
}

/// Bits of a row that begin within a byte, to a row of their own.
fn shifted(bytes: &[u8], bits: usize, width: usize, low_first: bool) -> Vec<u8> {
    let bit = |index: usize| {
        let (byte, within) = ((bits + index) / 8, (bits + index) % 8);
        let shift = if low_first { within } else { 7 - within };
        bytes.get(byte).is_some_and(|byte| byte >> shift & 1 != 0)
    };
    let mut out = vec![0; width.div_ceil(8)];
    for index in (0..width).filter(|index| bit(*index)) {
        let shift = if low_first { index % 8 } else { 7 - index % 8 };
        out[index / 8] |= 1 << shift;
    }
    out
}

/// Pixels of the unpack buffer, without gaps; none if the buffer does not have them, or only the renderer knows.
fn buffered(cx: &Cx<'_>, format: u32, kind: u32, sizes: [i32; 3], start: usize) -> Option<Vec<u8>> {
    let buffer = cx.group.stored.get(&cx.state.unpack_buffer()).filter(|it| !it.stale)?;
    let layout = layout(&cx.state.unpack, format, kind, sizes).filter(|it| it.bits == 0)?;
    let mut bytes = Vec::with_capacity(layout.total()?.min(buffer.data.len()));
    for offset in layout.offsets() {
        let start = start.checked_add(offset)?;
        bytes.extend_from_slice(buffer.data.get(start..start.checked_add(layout.row)?)?);
    }
    Some(bytes)
}

/// Pixels of the program's memory; what is done with them is sent by `send`.
unsafe fn give(
    cx: &mut Cx<'_>,
    format: u32,
    kind: u32,
    sizes: [i32; 3],
    pixels: *const u8,
    send: impl Fn(Data<'_>) -> Command<'_>,
) {
    if cx.state.unpack_buffer() != 0 {
        // The shadow is told what the buffer holds there; the renderer has the buffer.
        let known = buffered(cx, format, kind, sizes, pixels.addr());
        let offset = Data::Offset(pixels.addr() as u64);
        cx.state.track(cx.group, &send(known.as_deref().map_or(offset, Data::Memory)));
        return cx.wire.put(&send(offset));
    }
    if pixels.is_null() {
        return cx.send(send(Data::Null));
    }
    if sizes.iter().any(|size| *size < 0) {
        return cx.error(INVALID_VALUE);
    }
    let store = cx.state.unpack;
    let layout = layout(&store, format, kind, sizes);
    let Some((layout, total)) = layout.and_then(|it| Some((it, it.total()?))) else {
        return cx.error(INVALID_ENUM);
    };
    if layout.is_tight() {
        // SAFETY: the caller's.
        let Some(bytes) = (unsafe { raw::bytes(pixels, Some(total)) }) else { return };
        return cx.send(send(Data::Memory(bytes)));
    }
    let mut bytes = Vec::with_capacity(total);
    let read = if layout.bits == 0 { layout.row } else { (layout.bits + layout.width).div_ceil(8) };
    for offset in layout.offsets() {
        // SAFETY: the caller's: rows lie there.
        let Some(row) = (unsafe { raw::bytes(pixels.wrapping_add(offset), Some(read)) }) else { return };
        if layout.bits == 0 {
            bytes.extend_from_slice(row);
        } else {
            bytes.extend(shifted(row, layout.bits, layout.width, store.lsb_first != 0));
        }
    }
    cx.send(send(Data::Memory(&bytes)));
}

pub(crate) unsafe fn tex_image1d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    internalformat: i32,
    width: i32,
    border: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, 1, 1], pixels, |pixels| Command::TexImage1D {
            target,
            level,
            internalformat,
            width,
            border,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn tex_image2d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    internalformat: i32,
    width: i32,
    height: i32,
    border: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, height, 1], pixels, |pixels| Command::TexImage2D {
            target,
            level,
            internalformat,
            width,
            height,
            border,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn tex_image3d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    internalformat: i32,
    width: i32,
    height: i32,
    depth: i32,
    border: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, height, depth], pixels, |pixels| Command::TexImage3D {
            target,
            level,
            internalformat,
            width,
            height,
            depth,
            border,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn tex_sub_image1d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    xoffset: i32,
    width: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, 1, 1], pixels, |pixels| Command::TexSubImage1D {
            target,
            level,
            xoffset,
            width,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn tex_sub_image2d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    xoffset: i32,
    yoffset: i32,
    width: i32,
    height: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, height, 1], pixels, |pixels| Command::TexSubImage2D {
            target,
            level,
            xoffset,
            yoffset,
            width,
            height,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn tex_sub_image3d(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    xoffset: i32,
    yoffset: i32,
    zoffset: i32,
    width: i32,
    height: i32,
    depth: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, height, depth], pixels, |pixels| Command::TexSubImage3D {
            target,
            level,
            xoffset,
            yoffset,
            zoffset,
            width,
            height,
            depth,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn draw_pixels(
    cx: &mut Cx<'_>,
    width: i32,
    height: i32,
    format: u32,
    type_: u32,
    pixels: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, format, type_, [width, height, 1], pixels, |pixels| Command::DrawPixels {
            width,
            height,
            format,
            type_,
            pixels,
        });
    }
}

pub(crate) unsafe fn bitmap(
    cx: &mut Cx<'_>,
    width: i32,
    height: i32,
    xorig: f32,
    yorig: f32,
    xmove: f32,
    ymove: f32,
    bitmap: *const u8,
) {
    // SAFETY: the caller's.
    unsafe {
        give(cx, 0x1900, BITMAP, [width, height, 1], bitmap, |bitmap| Command::Bitmap {
            width,
            height,
            xorig,
            yorig,
            xmove,
            ymove,
            bitmap,
        });
    }
}

pub(crate) unsafe fn polygon_stipple(cx: &mut Cx<'_>, mask: *const u8) {
    // SAFETY: the caller's.
    unsafe { give(cx, 0x1900, BITMAP, [32, 32, 1], mask, |mask| Command::PolygonStipple { mask }) }
}

/// Pixels from the renderer into the program's memory, as it wants them to lie.
unsafe fn take(
    cx: &mut Cx<'_>,
    format: u32,
    kind: u32,
    sizes: [i32; 3],
    pixels: *mut u8,
    question: impl FnOnce(u32, u32) -> Command<'static>,
) {
    let layout = layout(&cx.state.pack, format, kind, sizes);
    let Some((layout, total)) = layout.and_then(|it| Some((it, it.total()?))) else {
        return cx.error(INVALID_ENUM);
    };
    let Ok(capacity) = u32::try_from(total) else { return cx.error(INVALID_VALUE) };
    if total > vmgl_gl_stream::limits::ANSWER {
        return cx.error(INVALID_VALUE);
    }
    let Some(answer) = cx.ask(|reply| question(reply, capacity)) else { return };
    let Some(bytes) = answer.outs().next().filter(|bytes| bytes.len() == total) else { return };
    for (offset, row) in layout.offsets().zip(bytes.chunks_exact(layout.row.max(1))) {
        // SAFETY: the caller's: rows lie there.
        unsafe { raw::put(pixels.wrapping_add(offset), Some(row), capacity) };
    }
}

pub(crate) unsafe fn read_pixels(
    cx: &mut Cx<'_>,
    x: i32,
    y: i32,
    width: i32,
    height: i32,
    format: u32,
    type_: u32,
    pixels: *mut u8,
) {
    if width < 0 || height < 0 {
        return cx.error(INVALID_VALUE);
    }
    let read = move |reply, pixels_cap, offset| Command::ReadPixels {
        reply,
        x,
        y,
        width,
        height,
        format,
        type_,
        pixels_cap,
        offset,
    };
    if cx.state.pack_buffer() != 0 {
        return cx.send(read(0, 0, pixels.addr() as u64));
    }
    // SAFETY: the caller's.
    unsafe { take(cx, format, type_, [width, height, 1], pixels, |reply, capacity| read(reply, capacity, 0)) }
}

pub(crate) unsafe fn get_tex_image(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    format: u32,
    type_: u32,
    pixels: *mut u8,
) {
    let get = move |reply, pixels_cap, offset| Command::GetTexImage {
        reply,
        target,
        level,
        format,
        type_,
        pixels_cap,
        offset,
    };
    if cx.state.pack_buffer() != 0 {
        return cx.send(get(0, 0, pixels.addr() as u64));
    }
    let sizes = [0x1000, 0x1001, 0x8071].map(|pname| level_parameter(cx, target, level, pname));
    let [Some(width), Some(height), Some(depth)] = sizes else { return };
    // SAFETY: the caller's.
    unsafe {
        take(cx, format, type_, [width, height, depth], pixels, |reply, capacity| get(reply, capacity, 0));
    }
}

pub(crate) unsafe fn get_compressed_tex_image(cx: &mut Cx<'_>, target: u32, level: i32, img: *mut u8) {
    let get = move |reply, img_cap, offset| Command::GetCompressedTexImage {
        reply,
        target,
        level,
        img_cap,
        offset,
    };
    if cx.state.pack_buffer() != 0 {
        return cx.send(get(0, 0, img.addr() as u64));
    }
    let bytes = level_parameter(cx, target, level, 0x86a0).and_then(|bytes| u32::try_from(bytes).ok());
    let Some(capacity) = bytes.filter(|bytes| *bytes > 0) else { return cx.error(INVALID_OPERATION) };
    if let Some(answer) = cx.ask(|reply| get(reply, capacity, 0)) {
        // SAFETY: the caller's.
        unsafe { raw::put(img, answer.outs().next(), capacity) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{BITMAP, layout, shifted};
    use crate::shadow::PixelStore;

    const RGB: u32 = 0x1907;
    const BYTE: u32 = 0x1401;

    #[test]
    fn rows_are_padded_to_the_alignment() {
        let it = layout(&PixelStore::default(), RGB, BYTE, [5, 2, 1]).unwrap();
        assert_eq!((it.row, it.step), (15, 16));
        assert_eq!(it.offsets().collect::<Vec<_>>(), [0, 16]);
        assert!(!it.is_tight());
        let four = layout(&PixelStore::default(), RGB, BYTE, [4, 2, 1]).unwrap();
        assert!(four.is_tight() && four.total() == Some(24));
    }

    #[test]
    fn a_part_of_a_larger_picture_is_found() {
        let store =
            PixelStore { row_length: 10, skip_rows: 2, skip_pixels: 3, alignment: 1, ..Default::default() };
        let it = layout(&store, RGB, BYTE, [4, 2, 1]).unwrap();
        assert_eq!(it.offsets().collect::<Vec<_>>(), [69, 99]);
        let store = PixelStore { image_height: 8, skip_images: 1, alignment: 1, ..Default::default() };
        let it = layout(&store, RGB, BYTE, [2, 1, 2]).unwrap();
        assert_eq!(it.offsets().collect::<Vec<_>>(), [48, 96]);
    }

    #[test]
    fn bits_that_begin_within_a_byte_come_to_begin_with_one() {
        let store = PixelStore { skip_pixels: 3, ..Default::default() };
        assert_eq!(layout(&store, 0x1900, BITMAP, [9, 1, 1]).unwrap().bits, 3);
        assert_eq!(shifted(&[0b0001_0110, 0b1000_0000], 3, 6, false), [0b1011_0100]);
        assert_eq!(shifted(&[0b0110_1000], 3, 5, true), [0b0000_1101]);
    }
}
