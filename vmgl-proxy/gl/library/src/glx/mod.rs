//! GLX as libglvnd wants it of a vendor: configurations, contexts and drawables. Nothing of it goes to the X server but
//! questions about windows, on a connection of our own.

pub(crate) mod abi;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod drawable;
pub(crate) mod entries;
mod font;
pub(crate) mod pixmap;
pub(crate) mod x;
