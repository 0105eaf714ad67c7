//! The two seams of the suite: one opened disk, and how to open another.

use std::io;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The disk answered with an errno.
    #[error("the disk answered errno {0}")]
    Refused(i32),
    /// The connection or the client itself failed.
    #[error("the client failed")]
    Broken(#[from] io::Error),
}

/// One user of a disk. Offsets and lengths are in bytes and multiples of [`Target::alignment`].
pub trait Client: Send {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// If the disk or the client says so; the same for the others.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ClientError>;

    /// Writes all of `data` at `offset`; durable on return if `fua`.
    ///
    /// # Errors
    /// See [`Client::read`].
    fn write(&mut self, offset: u64, data: &[u8], fua: bool) -> Result<(), ClientError>;

    /// Makes durable what was acknowledged before.
    ///
    /// # Errors
    /// See [`Client::read`].
    fn flush(&mut self) -> Result<(), ClientError>;

    /// Discards a range.
    ///
    /// # Errors
    /// See [`Client::read`].
    fn trim(&mut self, offset: u64, len: u64) -> Result<(), ClientError>;

    /// Writes zeros; space may be given back if `may_punch`.
    ///
    /// # Errors
    /// See [`Client::read`].
    fn zero(&mut self, offset: u64, len: u64, may_punch: bool) -> Result<(), ClientError>;
}

/// How the disk under test is opened.
pub trait Target {
    /// One more user of the same disk, at the same time as the others.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open(&self) -> io::Result<Box<dyn Client>>;

    /// The disk's size in bytes; the checks want at least 4 MiB.
    fn size(&self) -> u64;

    /// What offsets and lengths must be multiples of, in bytes: 1 for NBD, 512 for a block device.
    fn alignment(&self) -> u64;

    /// A request past the end is an error of the disk's, not of the client's interface.
    fn refuses_past_the_end(&self) -> bool {
        true
    }
}
