//! Every bound on what a client may make this server do, in one place.
//!
//! Invariant: none of these is ever raised by what a client says.

use std::time::Duration;

/// Connections at one time, those in their handshake and those whose last requests are still being done included.
/// Copiers open 8 to 16.
pub const MAX_CONNECTIONS: usize = 64;

/// Longest data of one read or write, in bytes; what most clients take for granted.
pub const MAX_REQUEST: u32 = 32 << 20;

/// A refused write's data is read and thrown away up to this length; a longer one ends the connection.
pub(crate) const MAX_SKIPPED_PAYLOAD: u32 = 64 << 20;

/// Requests of one connection that wait or are being done off the reader thread.
pub(crate) const MAX_IN_FLIGHT: usize = 256;

/// Their data in bytes, replies included. At least [`MAX_REQUEST`], so that any single request fits.
pub(crate) const MAX_IN_FLIGHT_BYTES: usize = 64 << 20;

/// From the first byte sent to a client to the end of its handshake.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Options in one handshake.
pub(crate) const MAX_OPTIONS: u32 = 256;

/// Longest option that is looked at, in bytes.
pub(crate) const MAX_OPTION: u32 = 16 << 10;

/// An option longer than [`MAX_OPTION`] is skipped and refused up to this length; a longer one ends the connection.
pub(crate) const MAX_SKIPPED_OPTION: u32 = 1 << 20;

/// Longest export name, in bytes; the protocol's limit for any string.
pub(crate) const MAX_NAME: usize = 4096;

/// Longest range that one `BLOCK_STATUS` answer covers, in bytes. A client asks again for the rest.
pub(crate) const MAX_STATUS_RANGE: u32 = 1 << 30;

/// Most extents in one `BLOCK_STATUS` answer.
pub(crate) const MAX_STATUS_EXTENTS: usize = 4096;

/// Bytes of requests received at once.
pub(crate) const RECEIVE_BUFFER: usize = 1 << 20;

/// Bytes of replies gathered before they are sent.
pub(crate) const SEND_BUFFER: usize = 256 << 10;

/// How long a reply may wait for others to be sent with it; looked at after each write. To send takes some ten microseconds; a read out of the page cache takes
/// less, a write into it ten times as much, and a client that hears late of its writes has fewer of them under way.
pub(crate) const GATHERED_FOR: Duration = Duration::from_micros(50);

/// Room of the pipe that the data of large writes goes through, in bytes; one a connection that sends such writes. All
/// connections together take half of what the system grants a user by default.
pub(crate) const PIPE: usize = 512 << 10;

/// Shortest write whose data goes through the pipe, in bytes. Below, the calls cost more than the copy.
pub(crate) const LIFT_FROM: usize = 64 << 10;

/// Longest write whose data goes through the pipe, in bytes. A socket's pieces are rarely smaller than a page.
pub(crate) const LIFT_MOST: usize = PIPE / 2;

/// Longest read that the reader thread does itself; must fit the send buffer with its header.
pub(crate) const MAX_INLINE_READ: u32 = 128 << 10;

/// Threads that do what cannot be done inline; as many reads of the medium go on at once.
pub(crate) const POOL_THREADS: usize = 16;

const _: () = assert!(MAX_IN_FLIGHT_BYTES >= MAX_REQUEST as usize);
const _: () = assert!(MAX_SKIPPED_PAYLOAD >= MAX_REQUEST);
const _: () = assert!(SEND_BUFFER >= MAX_INLINE_READ as usize + 64);
