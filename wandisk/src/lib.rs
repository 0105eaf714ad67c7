//! WANDisk: one disk, several sites.
//!
//! See ARCHITECTURE.md in the project's root for the map, `docs/format.md` for bytes on disk and wire.

#![forbid(unsafe_code)]

pub mod authorize;
pub mod cli;
pub mod delta;
pub mod engine;
#[cfg(test)]
mod fuzz;
pub mod handover;
pub mod image;
pub mod keeper;
pub mod peer;
pub mod sandbox;
pub mod sync;
pub mod verify;
