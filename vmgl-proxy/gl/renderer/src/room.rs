//! Room for two pictures of a window in memory that the proxy can read: one is drawn while the other is copied.
//!
//! The proxy reads the file and never maps it, so that whatever is done to the file here makes a read there short and
//! nothing else.
//!
//! Invariant: a half that was told to the proxy is not written until the proxy releases it.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// The room.
#[derive(Debug)]
pub(crate) struct Room {
    /// Its number.
    pub(crate) number: u32,
    file: OwnedFd,
    at: *mut c_void,
    bytes: usize,
    picture: usize,
    size: (u16, u16),
    told: [bool; 2],
}

impl Room {
    /// For pictures of this size.
    pub(crate) fn new(number: u32, width: u16, height: u16) -> io::Result<Self> {
        let picture = usize::from(width) * usize::from(height) * PIXEL;
        let bytes = picture * 2;
        let file = memfd_create("vmgl-pictures", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, bytes as u64)?;
        // SAFETY: a new map of a file of this process's own, of that length; nobody else is told its address.
        let at = unsafe {
            mmap(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        }?;
        Ok(Self { number, file, at, bytes, picture, size: (width, height), told: [false; 2] })
    }

    /// Whether its pictures have this size.
    pub(crate) fn fits(&self, width: u16, height: u16) -> bool {
        self.size == (width, height)
    }

    /// The file, for the proxy.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A half that may be written, and its number; none while the proxy has both.
    pub(crate) fn free(&mut self) -> Option<(u8, &mut [u8])> {
        let half = self.told.iter().position(|told| !told)?;
        // SAFETY: inside the map, which lives as long as this; borrowed as long as what is returned.
        let room = unsafe {
            std::slice::from_raw_parts_mut(self.at.cast::<u8>().add(half * self.picture), self.picture)
        };
        Some((u8::try_from(half).unwrap_or(0), room))
    }

    /// The proxy has this half, or has it no more.
    pub(crate) fn told(&mut self, half: u8, told: bool) {
        if let Some(state) = self.told.get_mut(usize::from(half)) {
            *state = told;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the map that was made, which nobody uses any more.
        let _gone = unsafe { munmap(self.at, self.bytes) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn a_half_that_the_proxy_has_is_not_written_and_what_was_written_is_in_the_file() {
        let mut room = Room::new(1, 3, 2).unwrap();
        for expected in [0, 1] {
            let (half, pixels) = room.free().unwrap();
            assert_eq!((half, pixels.len()), (expected, 24));
            pixels.fill(half + 1);
            room.told(half, true);
        }
        assert!(room.free().is_none());
        room.told(1, false);
        assert_eq!(room.free().unwrap().0, 1);
        let mut read = [0; 48];
        assert_eq!(rustix::io::pread(room.file(), &mut read, 0).unwrap(), 48);
        assert_eq!((read[23], read[24]), (1, 2));
    }
}
