//! Drawables: buffers off the screen, with one sample a pixel or several, and reading back what was drawn in one.

use std::rc::Rc;
use std::time::Instant;

use crate::egl::{Buffer, Context, Egl, EglError, Wanted};
use crate::fault::Fault;
use crate::gl::Gl;
use crate::resolve::Resolver;
use crate::room::Room;

/// Blue, green, red, alpha, a byte each.
const BGRA: u32 = 0x80E1;
const UNSIGNED_BYTE: u32 = 0x1401;

/// What is needed of each kind of drawable.
pub(crate) struct Kit {
    /// Reads pictures back.
    pub(crate) reader: Context,
    /// What a context draws in that has no drawable.
    pub(crate) idle: Buffer,
    /// Of the reader's, where there are several samples a pixel, from its first use on.
    resolver: Option<Resolver>,
}

impl Kit {
    pub(crate) fn new(egl: &Rc<Egl>, multisampled: bool) -> Result<Self, EglError> {
        let reader = egl.context(Wanted::NEWEST, None, multisampled)?;
        Ok(Self { reader, idle: egl.buffer(1, 1, multisampled)?, resolver: None })
    }
}

/// A drawable of a program's.
pub(crate) struct Drawable {
    pub(crate) buffer: Buffer,
    pub(crate) multisampled: bool,
    /// The window that shows it, if one does.
    pub(crate) window: Option<u32>,
    pub(crate) size: (u16, u16),
    pub(crate) room: Option<Room>,
    /// When it was shown last.
    pub(crate) shown: Option<Instant>,
}

/// Reads rows of a buffer of the kit's kind back, with a context of our own: its width, the first row and how many.
pub(crate) fn read_back(
    egl: &Egl,
    gl: &Gl,
    kit: &mut Kit,
    (buffer, multisampled): (&Buffer, bool),
    (width, y, height): (u16, u16, u16),
    pixels: &mut [u8],
) -> Result<(), Fault> {
    egl.make_current(&kit.reader, buffer, buffer).map_err(|fault| {
        tracing::warn!("{fault:?}");
        Fault::Value
    })?;
    let call = gl.ReadPixels.ok_or(Fault::Missing)?;
    if pixels.len() != usize::from(width) * usize::from(height) * 4 {
        return Err(Fault::Value);
    }
    let (width, y, height) = (width.into(), y.into(), height.into());
    let resolved = if multisampled {
        let resolver = match &mut kit.resolver {
            Some(resolver) => resolver,
            none => none.insert(Resolver::new(gl)?),
        };
        Some(resolver.begin(gl, [0, y, width, height])?)
    } else {
        None
    };
    // What is resolved lies at the lowest row of its own buffer.
    let y = if multisampled { 0 } else { y };
    // SAFETY: room for all pixels, of four bytes each; the reader has no pack buffer and no gaps.
    unsafe { call(0, y, width, height, BGRA, UNSIGNED_BYTE, pixels.as_mut_ptr()) };
    if let Some(before) = resolved {
        before.end(gl);
    }
    Ok(())
}
