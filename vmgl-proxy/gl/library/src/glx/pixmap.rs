//! Pixmaps of X's that a program draws on: what is drawn is at the renderer, as that of a pbuffer, and comes into the pixmap where GLX or
//! OpenGL says that X's clients may see it (`glFinish`, `glFlush`, `glXWaitGL`, another context or drawable; `glXSwapBuffers`, as with
//! Mesa). The program waits for that once, and it is counted, unless nothing was said since.
//!
//! What another renderer is given of a pixmap is what X has of it. At first that is nothing: what X had before is not seen by OpenGL, as with
//! Mesa's software.
//!
//! Fault model: a pixmap that the program has freed gets nothing more, and nobody is told. A program that has grabbed the server waits for ever:
//! the pixels go there by a connection of our own.

use std::cell::Cell;

use vmgl_gl_stream::{Command, Control, Data, limits};
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, ImageFormat, ImageOrder};
use x11rb::rust_connection::RustConnection;

use super::abi::Display;
use super::config::Config;
use super::drawable::{Drawable, Kind};
use super::x::{self, Geometry, Server};
use crate::core::{self, Cx, Program, with_program};
use crate::link::log;
use crate::shadow::restore::Lost;

const BGRA: u32 = 0x80e1;
const UNSIGNED_BYTE: u32 = 0x1401;
/// Bytes of a request to X before its pixels, and some more.
const HEAD: usize = 64;
/// Most bytes that X is asked for at once.
const ASKED: usize = 16 << 20;

/// A pixmap of the X server's.
#[derive(Debug)]
pub(crate) struct Pixmap {
    /// The server, as the program calls it.
    server: String,
    id: u32,
    depth: u8,
    /// What had been said to the renderer when the picture was last brought.
    brought: Cell<u64>,
}

/// Rows of a picture, the first above: that row, and their width and number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    top: u16,
    width: u16,
    count: u16,
}

impl Rows {
    fn row_bytes(self) -> usize {
        usize::from(self.width) * 4
    }

    /// Those of a picture, so many bytes at once.
    fn of(size: Geometry, at_once: usize) -> impl Iterator<Item = Self> {
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        let (width, height) = (side(size.width), side(size.height));
        let whole = Self { top: 0, width, count: height };
        whole.parts(at_once)
    }

    fn parts(self, at_once: usize) -> impl Iterator<Item = Self> {
        let rows = u16::try_from(at_once / self.row_bytes().max(1)).unwrap_or(u16::MAX).max(1);
        let end = self.top.saturating_add(self.count);
        (self.top..end).step_by(rows.into()).map(move |top| Self { top, count: rows.min(end - top), ..self })
    }

    /// OpenGL's number of the lowest of them.
    fn lowest(self, size: Geometry) -> u32 {
        size.height - u32::from(self.top) - u32::from(self.count)
    }
}

/// OpenGL's rows begin below, and X's above.
fn turned(pixels: &[u8], rows: Rows) -> Vec<u8> {
    pixels.chunks_exact(rows.row_bytes().max(1)).rev().flatten().copied().collect()
}

fn pixels(size: Geometry, samples: u8) -> u64 {
    u64::from(size.width) * u64::from(size.height) * u64::from(samples.max(1))
}

impl Program {
    /// A pixmap is to be drawn on; its name for that. None if it is not such as the configuration's, or if there is no room for one more.
    pub(super) fn pixmap(&mut self, display: *mut Display, id: u64, config: &Config) -> Option<u64> {
        // The program may have asked for it only just now.
        x::sync(display);
        let (id, name) = (u32::try_from(id).ok()?, x::display_name(display)?);
        let Some((size, depth)) = self.server(display)?.pixmap(id) else {
            log(format_args!("the X server has no pixmap {id:#x}; the program wants to draw on it"));
            return None;
        };
        if depth != config.depth || !config.pixmaps {
            log(format_args!("a pixmap of depth {depth} is to be drawn on as one of {}", config.depth));
            return None;
        }
        let before: u64 = self.drawables.values().map(|it| pixels(it.size, it.samples)).sum();
        if size.width.max(size.height) > limits::SIDE
            || self.drawables.len() >= limits::DRAWABLES
            || before + pixels(size, config.samples) > limits::PIXELS
        {
            let Geometry { width, height } = size;
            log(format_args!(
                "no room to draw on one more pixmap, of {width}x{height}: the program has too many or too large ones"
            ));
            return None;
        }
        let xid = u64::from(self.server(display)?.fresh_id()?);
        let pixmap = Pixmap { server: name, id, depth, brought: Cell::new(0) };
        self.add(xid, Kind::Pixmap(pixmap), size, Some(config));
        Some(xid)
    }

    /// Whether contexts draw on it now, so that what they drew last may not be in it yet.
    fn is_ahead(&self, drawable: u32, pixmap: &Pixmap) -> bool {
        let mut users = self.contexts.values().filter(|it| it.users > 0);
        pixmap.brought.get() != self.wire.position() && users.any(|it| it.state.shown() == Some(drawable))
    }

    /// Brings the pictures of all pixmaps; what had been said before that.
    pub(crate) fn bring_pixmaps(&mut self) -> u64 {
        let before = self.wire.position();
        let drawn_on = self.contexts.iter().filter(|(_, it)| it.users > 0 && it.state.shown().is_some());
        for id in drawn_on.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(mut cx) = self.at(id) {
                cx.bring_pixmap();
            }
        }
        before
    }

    /// Nothing was drawn since that moment: what was brought then is all there is.
    pub(crate) fn have_pixmaps(&mut self, since: u64) {
        for pixmap in self.drawables.values().filter_map(Drawable::pixmap) {
            if pixmap.brought.get() >= since {
                pixmap.brought.set(self.wire.position());
            }
        }
    }

    /// Names the pixmaps whose last drawing a renderer took along.
    pub(crate) fn lost_of_pixmaps(&self, lost: &mut Lost) {
        for it in self.drawables.values() {
            if it.pixmap().is_some_and(|pixmap| self.is_ahead(it.id, pixmap)) {
                lost.note("what was last drawn on pixmaps", 0);
            }
        }
    }

    /// Draws on each what X has of it, by a context that is there only for that.
    pub(crate) fn restore_pixmaps(&mut self, lost: &mut Lost) {
        let Self { wire, drawables, servers, last_context, .. } = self;
        let context = last_context.wrapping_add(1);
        for it in drawables.values() {
            let Some(pixmap) = it.pixmap() else { continue };
            let Some(server) = servers.get(&pixmap.server) else { continue };
            let (api, major, minor, flags, config) = (0, 0, 0, 0, it.bits);
            let made = Control::CreateContext { context, share: 0, api, major, minor, flags, config };
            wire.put(&Command::Control(made));
            wire.put(&Command::Control(Control::MakeCurrent { context, draw: it.id, read: it.id }));
            for rows in Rows::of(it.size, ASKED) {
                let Some(pixels) = server.pixels(pixmap.id, rows) else {
                    lost.note("pixmaps that the X server has no more", 0);
                    break;
                };
                let pixels = turned(&pixels, rows);
                let y = rows.lowest(it.size).cast_signed();
                wire.put(&Command::WindowPos2i { x: 0, y });
                wire.put(&Command::DrawPixels {
                    width: rows.width.into(),
                    height: rows.count.into(),
                    format: BGRA,
                    type_: UNSIGNED_BYTE,
                    pixels: Data::Memory(&pixels),
                });
            }
            wire.put(&Command::Control(Control::DestroyContext { context }));
        }
    }
}

impl Cx<'_> {
    /// What was drawn on a pixmap comes into it, if the context draws on one where it is to be seen: whether it does.
    pub(crate) fn bring_pixmap(&mut self) -> bool {
        self.state.shown().is_some_and(|drawable| self.bring(drawable))
    }

    /// What was drawn on this drawable comes into the pixmap, if it is one.
    fn bring(&mut self, drawable: u32) -> bool {
        let (drawables, servers) = (self.drawables, self.servers);
        let it = drawables.values().find(|it| it.id == drawable);
        let Some((size, pixmap)) = it.and_then(|it| Some((it.size, it.pixmap()?))) else { return false };
        let is_new = self.state.begun().is_none() && pixmap.brought.get() != self.wire.position();
        if is_new
            && let Some(server) = servers.get(&pixmap.server)
            && Rows::of(size, limits::ANSWER)
                .all(|rows| self.bring_rows((drawable, size), rows, (server, pixmap)))
        {
            pixmap.brought.set(self.wire.position());
        }
        true
    }

    /// Whether they are there.
    fn bring_rows(
        &mut self,
        (drawable, size): (u32, Geometry),
        rows: Rows,
        (server, pixmap): (&Server, &Pixmap),
    ) -> bool {
        let reply = self.wire.reply();
        let read = Control::Read { drawable, y: rows.lowest(size), rows: rows.count.into(), reply };
        self.wire.put(&Command::Control(read));
        let Some(answer) = self.wire.wait(reply, read.opcode()) else { return false };
        let bytes = rows.row_bytes() * usize::from(rows.count);
        let pixels = answer.outs().next().filter(|pixels| pixels.len() == bytes);
        pixels.is_some_and(|pixels| server.put((pixmap.id, pixmap.depth), rows, turned(pixels, rows)))
    }
}

/// What the thread's context has drawn is sent, and comes into the pixmap that it draws on, if it draws on one.
pub(super) fn finish() {
    core::enter(|cx| {
        cx.bring_pixmap();
        cx.wire.flush();
    });
}

/// What the thread's context has drawn on a pixmap with two buffers is to be seen in it.
pub(super) fn swap(xid: u64) {
    let drawable: Option<u32> = with_program(|program| {
        program.drawables.get(&xid).filter(|it| it.pixmap().is_some()).map(|it| it.id)
    });
    if let Some(drawable) = drawable {
        core::enter(|cx| cx.bring(drawable));
    }
}

/// A drawable's size and depth.
pub(super) fn look(connection: &RustConnection, id: u32) -> Result<(Geometry, u8), ReplyOrIdError> {
    let it = connection.get_geometry(id)?.reply()?;
    Ok((Geometry { width: it.width.max(1).into(), height: it.height.max(1).into() }, it.depth))
}

/// Whether pixels of that depth are of four bytes.
pub(super) fn is_plain(connection: &RustConnection, depth: u8) -> bool {
    let formats = &connection.setup().pixmap_formats;
    formats.iter().any(|format| format.depth == depth && format.bits_per_pixel == 32)
}

/// From the server's order of bytes, or into it.
fn ordered(connection: &RustConnection, mut pixels: Vec<u8>) -> Vec<u8> {
    if connection.setup().image_byte_order == ImageOrder::MSB_FIRST {
        pixels.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.reverse());
    }
    pixels
}

/// Puts rows of blue, green, red, alpha into a pixmap. When it returns they are there.
pub(super) fn put(
    connection: &RustConnection,
    (pixmap, depth): (u32, u8),
    rows: Rows,
    pixels: Vec<u8>,
) -> Result<(), ReplyOrIdError> {
    let gc = connection.generate_id()?;
    connection.create_gc(gc, pixmap, &CreateGCAux::new().graphics_exposures(0))?.check()?;
    let at_once = connection.maximum_request_bytes().saturating_sub(HEAD);
    let pixels = ordered(connection, pixels);
    let mut rest = pixels.as_slice();
    for part in rows.parts(at_once) {
        let (bytes, behind) = rest.split_at(rest.len().min(part.row_bytes() * usize::from(part.count)));
        let y = i16::try_from(part.top).unwrap_or(i16::MAX);
        let format = ImageFormat::Z_PIXMAP;
        connection
            .put_image(format, pixmap, gc, part.width, part.count, 0, y, 0, depth, bytes)?
            .ignore_error();
        rest = behind;
    }
    connection.free_gc(gc)?.check()?;
    Ok(())
}

/// Rows of blue, green, red, alpha that a pixmap has.
pub(super) fn get(connection: &RustConnection, pixmap: u32, rows: Rows) -> Result<Vec<u8>, ReplyOrIdError> {
    let y = i16::try_from(rows.top).unwrap_or(i16::MAX);
    let format = ImageFormat::Z_PIXMAP;
    let asked = connection.get_image(format, pixmap, 0, y, rows.width, rows.count, u32::MAX)?;
    Ok(ordered(connection, asked.reply()?.data))
}

#[cfg(test)]
mod tests {
    use super::{Geometry, Rows};

    #[test]
    fn parts_of_a_picture_are_all_of_it_whatever_goes_at_once() {
        let size = Geometry { width: 3, height: 10 };
        for at_once in [0, 11, 12, 13, 36, 40, 1000] {
            let parts: Vec<_> = Rows::of(size, at_once).collect();
            let tops: Vec<_> = parts.iter().flat_map(|part| part.top..part.top + part.count).collect();
            assert!(tops.into_iter().eq(0..10), "{at_once}");
            assert!(
                parts
                    .iter()
                    .all(|part| part.count == 1 || part.row_bytes() * usize::from(part.count) <= at_once)
            );
            assert_eq!(parts.last().map(|part| part.lowest(size)), Some(0), "{at_once}");
        }
    }
}
