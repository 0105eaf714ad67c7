//! WANDisk: one disk, several sites.
//!
//! See ARCHITECTURE.md in the project's root for the map, `docs/format.md` for bytes on disk and wire.

#![forbid(unsafe_code)]

pub mod delta;
pub mod engine;
pub mod peer;
