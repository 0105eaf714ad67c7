//! QEMU's machine protocol: JSON lines over a unix socket, in QEMU's own words (docs/interop/qmp-spec.rst of QEMU).
//!
//! [`message`] reads and writes lines and is pure; [`client`] talks to a QEMU. A generated client with closed enums fails on
//! other versions of QEMU (`query-migrate-capabilities` of 7.2 with bindings of 9.1: tried), so words are taken as they
//! come: an unknown one is itself, an unknown field is ignored.
//!
//! Invariants: a line has a bounded length; what waits for answers and what waits to be read is bounded; every call ends.

pub mod client;
pub mod message;

pub use client::{Client, Events, QmpError};
pub use message::{Event, Message, MessageError, MigrationStatus, RunState};
