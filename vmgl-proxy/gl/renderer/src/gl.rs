//! OpenGL's functions and the calls of most commands, generated from the registry by `build.rs`.

#![allow(
    non_snake_case,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    clippy::too_many_lines,
    clippy::missing_transmute_annotations,
    clippy::cast_lossless,
    reason = "generated: a value travels in 32 or 64 bits and is what it was when it is made narrow again"
)]

use vmgl_gl_stream::Command;

use crate::fault::Fault;
use crate::hands::{Answer, Hands};
use crate::memory::{Aligned, Scratch, memory, text};
use crate::names::Class;

/// A function as it is found by its name.
pub(crate) type Found = extern "system" fn();

include!(concat!(env!("OUT_DIR"), "/calls.rs"));

impl std::fmt::Debug for Gl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gl").finish_non_exhaustive()
    }
}
