//! Supervisors: one process for each agent at each site where it has a QEMU.
//!
//! It outlives whoever started it (a login, a link, the command), alone speaks QMP, holds the timers, and writes each step
//! to its journal before it acts on it; after its death the next one goes on from there. [`rules`] decide and are pure;
//! `shell` is the loop around them, `hands` does what they want, `qemu` is the process of the machine, `journey` the account
//! of a move, `senses` what its processors want, [`process`] this one.

mod hands;
mod journey;
mod pace;
pub mod phase;
pub mod process;
mod qemu;
pub mod rules;
mod senses;
mod shell;
mod stream;

pub use hands::carry;
pub use stream::watch_from_afar;
