//! The ublk front-end of WANDisk: `/dev/ublkbN` over a [`wandisk_io::Disk`].
//!
//! [`Device`] makes, recovers and stops a device; [`probe`] says whether this host can; [`find`], [`device_info`] and
//! [`delete_orphan`] deal with devices that outlived their server; [`in_use`] says who uses a block device;
//! [`isolate_mounts`] keeps the server from becoming a user of its own device.
//!
//! A request's way: the driver's completion on the queue's ring (`queue`) → decoded (`request`) → the tag's state
//! machine (`tags`) → one read or write of `data.img` on the same ring, straight from or to the request's pages where
//! the driver registers them with the ring, else the tag's buffer → commit.
//! What is not hot waits for the engine's future, which wakes the queue from any thread (`wake`).
//! Control: `device` (deadlines) → `server` (a thread that may hang) → `control` (commands).
//!
//! Invariant: a queue's hot path takes no lock, allocates nothing and makes no system call but its ring's.
//! Invariant: only `sys` has unsafe code.
//! Fault model: the kernel may hang at any command; the engine's futures may never end; this process may be killed at
//! any point, and whoever recovers the device gets every request again that was not answered.

#![deny(unsafe_code)]

mod caches;
mod control;
mod device;
mod error;
mod info;
mod mounts;
mod options;
mod params;
mod probe;
mod queue;
mod request;
mod server;
mod shared;
mod sys;
mod tags;
mod threads;
mod usage;
mod wake;

pub use caches::{flush_caches, reread_partitions};
pub use device::{Device, Stopped};
pub use error::{Shape, Step, UblkError, Unavailable};
pub use info::{DeviceInfo, DeviceState, delete_orphan, device_info, find};
pub use mounts::{Isolation, isolate_mounts};
pub use options::{End, OnEnd, Options, default_queues};
pub use probe::{Features, probe};
pub use usage::{MountedAt, Opener, Usage, in_use};
