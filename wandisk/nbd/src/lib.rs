//! The NBD front-end of WANDisk: an NBD server over a [`wandisk_io::Disk`], for hosts without ublk and for virtual
//! machines that attach directly.
//!
//! ```no_run
//! # use std::{fs::File, sync::Arc, time::Duration};
//! # use wandisk_nbd::{Address, Server};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let disk = Arc::new(wandisk_io::WholeFile::new(File::open("disk.img")?, 1 << 17, 4, true)?);
//! let server = Server::bind(&Address::parse("unix:/run/disk.sock")?, disk, "disk", 0..4)?;
//! println!("{}", server.uri());
//! let handle = server.spawn()?;
//! handle.stop(Duration::from_secs(30));
//! # Ok(()) }
//! ```
//!
//! A request's way: a connection's thread receives many requests at once (`buffers`), parses and judges each
//! (`proto::request`), and does the hot ones itself, between `data.img` and its own buffers (`reader`). What has
//! to wait (a chunk that is not here, a page that is not in the page cache) becomes a task on the server's
//! pool (`tasks`), bounded by what is in flight (`outbox`), and is answered out of order, by the task or, where the
//! client does not take it at once, by the connection's last thread (`replier`). A flush is done by the thread that took it,
//! while the connection's second one goes on reading (`connection`). `server` accepts, counts and stops; `listen` owns the socket.
//!
//! Protocol: <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>, fixed newstyle without TLS.
//!
//! Invariant: `proto` performs no I/O and has no clock; bytes and limits in, bytes and verdicts out.
//! Invariant: nothing asks the disk for anything before a client's handshake has ended.
//! Invariant: a request that waits holds up no other, until a limit of `limits` is reached.
//! Fault model: a client may send anything, stop at any byte, and never read. It costs itself its connection, and
//! others nothing but the slot and the memory that `limits` grant it.

#![forbid(unsafe_code)]

mod address;
mod buffers;
mod connection;
mod data;
mod error;
mod handshake;
mod lift;
mod limits;
mod listen;
mod outbox;
mod proto;
mod reader;
mod registry;
mod replier;
mod server;
mod tasks;
mod wire;

pub use address::{Address, AddressError};
pub use error::NbdError;
pub use limits::{MAX_CONNECTIONS, MAX_REQUEST};
pub use server::{Handle, Server, Stopped};
