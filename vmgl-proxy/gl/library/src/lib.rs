//! VMGL in the agent: an OpenGL vendor library for libglvnd. Programs call it; their commands go to a renderer at the
//! user's desk ([`vmgl_gl_stream`]); their pictures never come here.
//!
//! `glx/` is the vendor's side of GLX and what it needs of the X server, `egl/` that of EGL; [`entries`] the functions of OpenGL, generated
//! from the registry, of which those in `hand/` are written by hand; `shadow/` is the state of each context and the objects
//! of each share group, so that what a program asks is answered here; `link/` the connection.
//!
//! A call takes the process's lock, notes in the shadow what it changes, and is put at the end of a buffer. The buffer goes
//! off when it is long, when a picture is complete, or when something must be asked. What must be asked is counted.
//!
//! Programs get it by `libGLX_vmgl.so.0` (this file, under that name) where the dynamic linker looks, with
//! `__GLX_VENDOR_LIBRARY_NAME=vmgl`, and for EGL by a file of libglvnd's (`{"file_format_version": "1.0.0", "ICD":
//! {"library_path": "PATH"}}`) that `__EGL_VENDOR_LIBRARY_FILENAMES` names. `VMGL_GL` says where the renderer is
//! (`unix:PATH` or `tcp:HOST:PORT`). Without one the program is handed over to Mesa's library ([`vendor`]), and a line says so.
//!
//! Where there is no libglvnd, this file is `libGL.so.1`, `libEGL.so.1`, `libGLESv2.so.2` and so on: it exports all that programs
//! are linked with, and what libglvnd would do is in `glx/own.rs` and `egl/own.rs`. Who draws is found out by [`renderer`].
//!
//! Faults: the connection may break at any time. Frames are kept until the renderer has executed them, and another
//! connection goes on where that one ended; a program waits meanwhile only when too much is kept. A renderer that knows
//! nothing of the stream (it was killed, or it is another desk's) is given all that the shadow has ([`restore`]); one that
//! does not come back within 10 s (`VMGL_GL_PATIENCE` says otherwise) is replaced by software here, until it answers.
//!
//! Invariant: no panic reaches the program; the call that panicked returns zero.
//! Invariant: nothing waits for the renderer in a frame that repeats what was done before.
//! Invariant: what is not there is an error of OpenGL's and a line in the log, never a crash.

#![allow(non_snake_case, reason = "libglvnd looks for a file of this name")]

mod caps;
mod core;
mod egl;
mod entries;
mod glx;
mod hand;
mod home;
mod link;
mod names;
mod raw;
mod renderer;
mod restore;
mod shadow;
mod vendor;

pub use egl::__egl_Main;
pub use glx::abi::__glx_Main;

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod told;
