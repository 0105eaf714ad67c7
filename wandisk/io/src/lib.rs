//! The seam between WANDisk's front-ends (ublk, NBD) and its engine.
//!
//! A front-end turns requests of its protocol into calls on [`Disk`]. The hot path never leaves this crate:
//! [`HotMap::try_begin`] says with a few atomic loads whether a request may go straight to `data.img`
//! (everything it touches is held and, for a write, marked), and hands out a [`Pass`] that is held while
//! the data is in flight. Everything else goes the cold way, [`Disk::begin`], a future that may wait for
//! a fetch over the WAN and ends with a [`Ticket`].
//!
//! Invariant: nothing here performs I/O, allocates on the hot path, or takes a lock.
//! Invariant: queues share no written cache line; each has a [`Lane`] of its own.

#![forbid(unsafe_code)]

mod disk;
mod gate;
mod hot;
mod touched;
mod whole_file;

pub use disk::{Disk, Extent, Geometry, IoError, IoFuture, Ticket, WriteEnd, ZeroMode};
pub use gate::{DetachedPass, Gate, Grace, Lane, Pass, Shut};
pub use hot::{ChunkState, HotMap, Op};
pub use whole_file::WholeFile;
