//! The display proxy: viewers connect to it and stay connected while the VNC server behind it changes.
//!
//! [`Hub`] owns the way to the server (a [`link`], and a second one while a move is prepared), [`viewer`]
//! serves one viewer, let in by the [`reception`] at its own door or, a browser, at that of [`web`];
//! [`display`] is the picture between them. What decides is pure and has no clock:
//! [`rehome`] which server is shown, [`input`] what keys and buttons a server has to be told,
//! [`pace`] when a server is asked for more, [`region`] what a viewer has not got yet.
//!
//! [`gl`] lays the windows of the agent's OpenGL programs over the picture, drawn here by a process each.
//!
//! [`redux`] records sessions and replays them; [`wan`] is a long way for tests and measurements.
//!
//! Invariant: a viewer's connection ends only by the viewer, by its own fault, or with the proxy.
//! Invariant: memory is bounded: pictures by the protocol's limits, a viewer by one encoded update, the pixels
//! it is made of and a few [`region::Region`]s, input in a gap by [`input::QUEUE`], texts by one of each side.

#![forbid(unsafe_code)]

pub mod address;
pub mod clipboard;
pub mod ctl;
pub mod display;
pub mod gl;
pub mod hub;
pub mod input;
pub mod link;
pub mod pace;
pub mod reception;
pub mod redux;
pub mod region;
pub mod rehome;
pub mod seats;
pub mod tap;
pub mod viewer;
pub mod wan;
pub mod web;

pub use address::Address;
pub use hub::Hub;
