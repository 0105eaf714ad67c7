//! The NBD protocol as pure functions and state machines: what a client's bytes mean, what may be done about them,
//! and how the answer is written.
//!
//! Invariant: no I/O, no clock, no disk; total on any input.

pub(crate) mod constants;
mod cursor;
#[cfg(test)]
mod fuzz;
pub(crate) mod handshake;
mod option;
pub(crate) mod reply;
pub(crate) mod request;

/// What a client is shown of the disk; fixed before the first connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// The name beside the empty one.
    pub(crate) name: String,
    /// Size in bytes.
    pub(crate) size: u64,
    /// No writes.
    pub(crate) read_only: bool,
}

impl Export {
    /// Is this a name of the export?
    fn is_called(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.name.as_bytes()
    }

    /// The transmission flags that a client is told.
    pub(crate) fn flags(&self) -> u16 {
        use constants::flag;
        // MULTI_CONN: a flush of the disk covers what any connection wrote.
        let always = flag::HAS_FLAGS
            | flag::SEND_FLUSH
            | flag::SEND_FUA
            | flag::SEND_TRIM
            | flag::SEND_WRITE_ZEROES
            | flag::SEND_DF
            | flag::CAN_MULTI_CONN
            | flag::SEND_CACHE;
        if self.read_only { always | flag::READ_ONLY } else { always }
    }
}

/// What a handshake agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// Reads and block status are answered in chunks.
    pub(crate) structured: bool,
    /// The context `base:allocation` was chosen.
    pub(crate) allocation: bool,
}
