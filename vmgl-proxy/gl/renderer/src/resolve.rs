//! Several samples a pixel made one, before pixels of a window are read. OpenGL says that reading does that by itself; Mesa's
//! software gives the first sample of each pixel instead, so that edges are as rough as without.
//!
//! What is bound for reading is copied into a framebuffer of our own, one sample a pixel, which is read in its place.
//!
//! Invariant: between two commands the program's context has nothing of this bound.

use crate::fault::Fault;
use crate::gl::Gl;
use crate::hands::integer;
use crate::hands::number as n;
use crate::names::{Class, make};

/// Largest side of a picture.
const SIDE: i32 = vmgl_gl_stream::limits::SIDE.cast_signed();
/// Most pixels of one.
const PIXELS: i64 = vmgl_gl_stream::limits::PIXELS.cast_signed();

/// A framebuffer of a context's, which grows with what is read.
#[derive(Debug)]
pub(crate) struct Resolver {
    framebuffer: u32,
    colour: u32,
    size: (i32, i32),
}

/// What has to be as it was when all is read.
#[derive(Debug)]
pub(crate) struct Before {
    draw: u32,
    scissors: bool,
}

fn name(gl: &Gl, class: Class) -> Result<u32, Fault> {
    u32::try_from(make(gl, class)?).map_err(|_| Fault::NoSuchName)
}

impl Resolver {
    /// For the context that is current.
    pub(crate) fn new(gl: &Gl) -> Result<Self, Fault> {
        let (framebuffer, colour) = (name(gl, Class::Framebuffer)?, name(gl, Class::Renderbuffer)?);
        Ok(Self { framebuffer, colour, size: (0, 0) })
    }

    /// From here on the window's part of this place and size is what is read, at (0, 0).
    pub(crate) fn begin(&mut self, gl: &Gl, [x, y, width, height]: [i32; 4]) -> Result<Before, Fault> {
        let (bind, blit) = gl.BindFramebuffer.zip(gl.BlitFramebuffer).ok_or(Fault::Missing)?;
        let disable = gl.Disable.ok_or(Fault::Missing)?;
        let sound = |side: i32| (1..=SIDE).contains(&side);
        if !sound(width) || !sound(height) || i64::from(width) * i64::from(height) > PIXELS {
            return Err(Fault::Value);
        }
        let scissors = integer(gl, n::SCISSOR_TEST) != 0;
        let draw = integer(gl, n::DRAW_FRAMEBUFFER_BINDING).cast_unsigned();
        self.grow(gl, draw, (width, height))?;
        // SAFETY: calls without pointers.
        unsafe {
            bind(n::DRAW_FRAMEBUFFER, self.framebuffer);
            if scissors {
                disable(n::SCISSOR_TEST);
            }
            let (right, top) = (x.saturating_add(width), y.saturating_add(height));
            blit(x, y, right, top, 0, 0, width, height, n::COLOR_BUFFER_BIT, n::NEAREST);
            bind(n::READ_FRAMEBUFFER, self.framebuffer);
        }
        Ok(Before { draw, scissors })
    }

    /// Makes room for a picture of this size.
    fn grow(&mut self, gl: &Gl, draw: u32, (width, height): (i32, i32)) -> Result<(), Fault> {
        if width <= self.size.0 && height <= self.size.1 {
            return Ok(());
        }
        let both = (self.size.0.max(width), self.size.1.max(height));
        let wanted = if i64::from(both.0) * i64::from(both.1) > PIXELS { (width, height) } else { both };
        let bind_framebuffer = gl.BindFramebuffer.ok_or(Fault::Missing)?;
        let (bind, store) = gl.BindRenderbuffer.zip(gl.RenderbufferStorage).ok_or(Fault::Missing)?;
        let attach = gl.FramebufferRenderbuffer.ok_or(Fault::Missing)?;
        let before = integer(gl, n::RENDERBUFFER_BINDING).cast_unsigned();
        // SAFETY: calls without pointers.
        unsafe {
            bind(n::RENDERBUFFER, self.colour);
            store(n::RENDERBUFFER, n::RGBA8, wanted.0, wanted.1);
            bind(n::RENDERBUFFER, before);
            bind_framebuffer(n::DRAW_FRAMEBUFFER, self.framebuffer);
            attach(n::DRAW_FRAMEBUFFER, n::COLOR_ATTACHMENT0, n::RENDERBUFFER, self.colour);
            bind_framebuffer(n::DRAW_FRAMEBUFFER, draw);
        }
        self.size = wanted;
        Ok(())
    }
}

impl Before {
    /// The window is what is read, as before.
    pub(crate) fn end(self, gl: &Gl) {
        let Some((bind, enable)) = gl.BindFramebuffer.zip(gl.Enable) else { return };
        // SAFETY: calls without pointers.
        unsafe {
            bind(n::READ_FRAMEBUFFER, 0);
            bind(n::DRAW_FRAMEBUFFER, self.draw);
            if self.scissors {
                enable(n::SCISSOR_TEST);
            }
        }
    }
}
