//! Bytes between buffers and `data.img`, and what the file's errors mean to a client.

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, ReadWriteFlags};
use wandisk_io::IoError;

use crate::lift::Lift;

/// Reads a range if all of it is in the page cache; `false` if it has to be waited for.
pub(crate) fn read_cached(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> bool {
    let len = buffer.len();
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT);
    // Whatever else may be wrong (a signal, a filesystem without this flag, an error), the patient way finds out.
    read == Ok(len)
}

/// Reads a range, waiting for the medium.
pub(crate) fn read(file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<Vec<u8>, IoError> {
    let mut data = Vec::with_capacity(len);
    while data.len() < len {
        let at = offset + data.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut data), at) {
            // The image is never shorter than the disk; zeros made up here would hide that it is.
            Ok(0) => return Err(IoError::Io),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(meaning(e, "reading")),
        }
    }
    data.truncate(len);
    Ok(data)
}

/// Writes a range, to the page cache.
pub(crate) fn write(file: BorrowedFd<'_>, mut data: &[u8], mut offset: u64) -> Result<(), IoError> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, offset) {
            Ok(0) => return Err(IoError::Io),
            Ok(n) => {
                data = &data[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(meaning(e, "writing")),
        }
    }
    Ok(())
}

/// Writes a range whose start is in memory, and the rest in a pipe, to the page cache.
pub(crate) fn write_lifted(
    file: BorrowedFd<'_>,
    head: &[u8],
    lift: &mut Lift,
    offset: u64,
) -> Result<(), IoError> {
    write(file, head, offset)?;
    let offset = offset + head.len() as u64;
    let all = lift.held();
    match lift.write_to(file, offset) {
        // A filesystem that takes nothing from pipes.
        Err(Errno::INVAL) if lift.held() == all => {
            let mut rest = vec![0; all];
            lift.take(&mut rest).map_err(|e| meaning(e, "reading a pipe of"))?;
            write(file, &rest, offset)
        }
        written => written.map_err(|e| meaning(e, "writing")),
    }
}

fn meaning(errno: Errno, what: &str) -> IoError {
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => IoError::NoSpace,
        _ => {
            tracing::error!(error = %io::Error::from(errno), "{what} the disk's data failed");
            IoError::Io
        }
    }
}
