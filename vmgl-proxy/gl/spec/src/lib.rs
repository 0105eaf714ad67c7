//! OpenGL's registry (`gl.xml`) read for VMGL: of each command a *plan* of how it travels.
//!
//! The registry says of most pointers how long what they point to is; [`rules`] holds, in tables and nowhere
//! else, what it does not say: lengths that depend on an enum, pointers that may be offsets into a buffer, names
//! that the agent's side allocates, and the commands that one of the two sides must write by hand. Build scripts of
//! `vmgl-gl-stream` (encoder and decoder), `vmgl-gl` (entry points) and `vmgl-gl-renderer` (calls) generate from it,
//! so that the three cannot disagree.
//!
//! Invariant: pure and deterministic; the same registry gives the same opcodes, in the order of the names.
//! Invariant: a command for which no rule is complete is not on the wire: [`Registry::load`] fails rather than guess.

#![forbid(unsafe_code)]

pub mod coverage;
mod length;
mod plan;
mod registry;
pub mod rules;

pub use length::Len;
pub use plan::{Arg, Base, ByHand, Class, Entry, Kind, Param, Plan, Treatment};
pub use registry::{FIRST_OPCODE, Registry, SpecError};
