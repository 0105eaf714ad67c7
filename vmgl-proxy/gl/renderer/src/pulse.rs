//! A sign of life in memory that the proxy reads: a number that is odd while a command is carried out and even while something
//! outside is waited for (the program, the proxy, the time of a picture), and that changes with each command.
//!
//! A number that stays odd is a command that does not end: a shader without an end, a driver that hangs. It tells that
//! even when no thread of this process runs any more.
//!
//! Invariant: the proxy reads the file and maps it never.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BYTES: usize = size_of::<u64>();

/// The number.
#[derive(Debug)]
pub(crate) struct Pulse {
    file: OwnedFd,
    at: *mut c_void,
}

impl Pulse {
    pub(crate) fn new() -> io::Result<Self> {
        let file = memfd_create("vmgl-pulse", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, BYTES as u64)?;
        // SAFETY: a new map of a file of this process's own, of that length; nobody else is told its address.
        let at = unsafe {
            mmap(std::ptr::null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        }?;
        Ok(Self { file, at })
    }

    /// The file, for the proxy.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn number(&self) -> &AtomicU64 {
        // SAFETY: inside the map, which lives as long as this and begins at a page.
        unsafe { AtomicU64::from_ptr(self.at.cast()) }
    }

    /// A command is carried out from now on.
    pub(crate) fn work(&self) {
        let now = self.number().load(Ordering::Relaxed);
        self.number().store((now | 1).wrapping_add(2), Ordering::Relaxed);
    }

    /// Something outside is waited for from now on.
    pub(crate) fn rest(&self) {
        let now = self.number().load(Ordering::Relaxed);
        self.number().store(now.wrapping_add(now & 1), Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // SAFETY: the map that was made, which nobody uses any more.
        let _gone = unsafe { munmap(self.at, BYTES) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_another_odd_number_for_each_command_and_an_even_one_at_rest() {
        let pulse = Pulse::new().unwrap();
        let read = || {
            let mut bytes = [0; 8];
            assert_eq!(rustix::io::pread(pulse.file(), &mut bytes, 0).unwrap(), 8);
            u64::from_le_bytes(bytes)
        };
        let mut seen = vec![read()];
        for _ in 0..3 {
            pulse.work();
            seen.push(read());
        }
        pulse.rest();
        let rests = read();
        pulse.rest();
        assert!(rests % 2 == 0 && read() == rests, "{rests}");
        pulse.work();
        seen.push(read());
        assert!(seen[0] == 0 && seen[1..].iter().all(|number| number % 2 == 1), "{seen:?}");
        seen.dedup();
        assert_eq!(seen.len(), 5, "{seen:?}");
    }
}
