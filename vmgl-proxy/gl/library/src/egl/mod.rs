//! EGL as libglvnd wants it of a vendor, and as programs find it where this library is their `libEGL.so.1`: the same
//! configurations, contexts and drawables as those of GLX, for the X11 platform, with OpenGL and OpenGL ES 1 to 3.

mod abi;
mod config;
mod entries;
mod xlib;

pub use abi::__egl_Main;
