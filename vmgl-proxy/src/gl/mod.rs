//! The agent's OpenGL, drawn at the desk: its pictures are laid over what the VNC server shows, at the place of their windows.
//!
//! Programs in the agent connect to the [`door`], which is opened and shut by [`entrance`], and each is drawn for by a process of its own ([`renderers`], which is
//! `vmgl-gl-renderer`). [`scene`] says which pixels of the screen are theirs, from what the watcher in the agent tells
//! ([`seen`] is how); the watcher is [`watch`], over [`tree`] and [`area`]. What decides is pure: `scene`, `tree`,
//! `area`, `seen`. [`soft`] is what a program in the agent gets that finds no desk.
//!
//! In the agent, [`install`] puts VMGL's library where programs find it, and [`check`] sees whether they do.
//!
//! Invariant: nothing that a program or a renderer says is believed: a picture is read from a file by its size, never
//! mapped, and shown only where the watcher says that the program's own window is seen.
//! Invariant: a renderer's end, whatever its cause, ends its program's pictures and nothing else.

pub mod area;
pub mod check;
pub mod door;
pub mod entrance;
pub mod install;
mod pulse;
pub mod renderers;
pub mod scene;
pub mod seen;
pub mod soft;
pub mod tree;
pub mod watch;
