//! VMGL's stream between a program in the agent and its renderer at the desk, without OpenGL and without I/O.
//!
//! A connection opens with [`ClientHello`] and [`ServerHello`]; then [`Outgoing`] and [`Incoming`] carry frames, each
//! direction counting its own. A frame's payload is a row of commands: to the renderer [`Command`], generated from the
//! registry with the stream's own [`Control`] beside them, back [`Event`]. What does not fit into one command goes ahead in
//! parts, which the [`Assembler`] puts together; those that come again it has kept ([`Shelved`]). All integers are little-endian, all fields begin at a multiple of four.
//!
//! Faults: a connection may end at any byte. Frames that the other side has not acknowledged are kept, and a new
//! connection goes on where the old one ended: nothing is executed twice, nothing is left out.
//!
//! Invariant: nothing here panics, whatever the peer sends, and memory is bounded by [`limits`].
//! Invariant: an array of a decoded command has the length that its other arguments ask for; whoever executes it may
//! hand its address to OpenGL.

#![forbid(unsafe_code)]

mod assembler;
mod caps;
mod command;
mod control;
mod event;
mod frame;
mod hello;
pub mod limits;
mod reflection;
mod shelf;
pub mod size;
pub mod wire;

pub use assembler::{Assembler, Commands};
pub use caps::{Caps, DRAWABLE_SAMPLES, FLOATS, INTEGERS, STRINGS};
pub use command::{COMMANDS, Command, Data, SPEC, opcode_name, waited_name};
pub use control::Control;
pub use event::{Event, Outs, put_out};
pub use frame::{Frame, FrameError, HEADER, Incoming, Outgoing};
pub use hello::{ClientHello, HelloError, ServerHello, Verdict};
pub use reflection::{Block, Reflection, Uniform, Variable};
pub use shelf::Shelved;
pub use wire::{DecodeError, Reader};
