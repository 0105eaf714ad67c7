//! Functions of OpenGL's that are written by hand; which they are is in the tables of `vmgl_gl_spec::rules`.
//!
//! Each takes what the program gives, as OpenGL's specification has it: a pointer leads to as much memory as the other
//! arguments say, and to nothing that somebody writes meanwhile. That is what their callers answer for.

#![allow(clippy::missing_safety_doc, reason = "said above, for all of them")]
#![allow(clippy::too_many_arguments, reason = "OpenGL's")]

mod arrays;
mod buffers;
mod draws;
mod fixed;
mod gets;
mod listed;
mod misc;
mod modes;
mod named;
mod pixels;
mod programs;
mod queries;
mod reflected;

pub(crate) use arrays::*;
pub(crate) use buffers::*;
pub(crate) use draws::*;
pub(crate) use fixed::*;
pub(crate) use gets::*;
pub(crate) use misc::*;
pub(crate) use modes::*;
pub(crate) use named::*;
pub(crate) use pixels::*;
pub(crate) use programs::*;
pub(crate) use queries::*;
pub(crate) use reflected::*;
