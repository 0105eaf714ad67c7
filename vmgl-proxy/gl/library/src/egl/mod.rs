//! EGL as libglvnd wants it of a vendor: the same configurations, contexts and drawables as those of GLX, for the X11
//! platform, with OpenGL and OpenGL ES 2.

mod abi;
mod config;
mod entries;

pub use abi::__egl_Main;
