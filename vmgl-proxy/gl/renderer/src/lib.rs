//! Draws what the OpenGL programs of an agent draw, at the desk: a process a program, that can do nothing else.
//!
//! [`run`] is that process: it gives up all that it does not need ([`sandbox`]), opens EGL without a screen ([`egl`]), and
//! carries out what the program's connection says (`session`, with `hands`, `by_hand` and calls generated from OpenGL's
//! registry). Pictures go to the proxy by memory that it reads ([`words`], `room`). [`probe`] is no part of it: it looks which
//! OpenGL programs of a machine get, in a process of its own.
//!
//! Threat model: the program, and all that it sends, may be hostile. What it can reach is this process, which has
//! nothing of another program and no way out but the two sockets it was given; what it can spend is bounded by the
//! process's limits. Its end is told to the proxy by the end of the socket.
//!
//! Invariant: no address, length or name that came by the wire reaches OpenGL unchecked.

pub mod egl;
pub mod probe;
pub mod sandbox;
pub mod words;

mod by_hand;
mod drawable;
mod fault;
#[cfg(test)]
mod fuzz;
mod gl;
mod hands;
mod heap;
mod memory;
mod modes;
mod names;
mod pulse;
mod reader;
mod reflect;
mod resolve;
mod room;
mod run;
mod session;
mod system;
mod waited;

pub use run::{RunError, run};
pub use session::SessionError;
