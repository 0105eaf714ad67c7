//! Supervisors: one process for each agent at each site where it has a QEMU.
//!
//! It outlives whoever started it (a login, a link, the command), alone speaks QMP, holds the timers, and writes each step
//! to its journal before it acts on it; after its death the next one goes on from there. [`rules`] decide and are pure, with
//! the two sides of a move (`source`, `destination`) and `suspend`, in the words of [`phase`] and [`event`]; `shell` is the loop
//! around them, `hands` does what they want, `fits` whether a site can have the agent, `reserve` memory for one that comes, `why` what failed and what to do, `front` is where QEMU finds the disk, `moving` moves, `drive` changes CDs, `copying` memory to
//! another site over the `wire` (in a `window`, at a `pace`), `saving` memory to files and back, `image` those files, `pause`
//! why a machine stands, `marks` what other processes do for it, `qemu` is the process of the machine, `journey` the account of a move, `senses` what its processors
//! want, [`process`] this one, `asked` who asks it.

mod asked;
mod copying;
mod destination;
mod drive;
pub mod event;
mod fits;
mod front;
mod hands;
pub mod image;
mod journey;
#[cfg(test)]
mod line_tests;
pub(crate) mod marks;
mod moving;
mod pace;
mod pause;
pub mod phase;
pub mod process;
mod qemu;
mod reserve;
pub mod rules;
mod saving;
mod senses;
mod shell;
mod source;
pub mod stream;
mod suspend;
#[cfg(test)]
mod walk;
pub mod why;
pub(crate) mod window;
mod wire;

pub use hands::carry;
pub(crate) use saving::feed;
pub(crate) use wire::arrives;
