//! A block device or a plain file as a [`Client`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::client::{Client, ClientError};

/// Reads and writes through the page cache. Trimming is a punched hole: on a block device the kernel makes
/// write-zeroes of it that may unmap, since a discard proper has an ioctl of its own.
#[derive(Debug)]
pub struct FileClient(File);

impl FileClient {
    /// Opens a device or a file for reading and writing.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<FileClient> {
        OpenOptions::new().read(true).write(true).open(path).map(FileClient)
    }

    fn fallocate(&self, flags: FallocateFlags, offset: u64, len: u64) -> Result<(), ClientError> {
        rustix::fs::fallocate(&self.0, flags | FallocateFlags::KEEP_SIZE, offset, len)
            .map_err(|e| refused(e.into()))
    }
}

fn refused(error: io::Error) -> ClientError {
    error.raw_os_error().map_or(ClientError::Broken(error), ClientError::Refused)
}

impl Client for FileClient {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ClientError> {
        self.0.read_exact_at(buffer, offset).map_err(refused)
    }

    fn write(&mut self, offset: u64, data: &[u8], fua: bool) -> Result<(), ClientError> {
        self.0.write_all_at(data, offset).map_err(refused)?;
        if fua { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        self.0.sync_data().map_err(refused)
    }

    fn trim(&mut self, offset: u64, len: u64) -> Result<(), ClientError> {
        self.fallocate(FallocateFlags::PUNCH_HOLE, offset, len)
    }

    fn zero(&mut self, offset: u64, len: u64, may_punch: bool) -> Result<(), ClientError> {
        let how = if may_punch { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
        self.fallocate(how, offset, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Target;

    struct PlainFile(std::path::PathBuf);

    impl Target for PlainFile {
        fn open(&self) -> io::Result<Box<dyn Client>> {
            Ok(Box::new(FileClient::open(&self.0)?))
        }
        fn size(&self) -> u64 {
            8 << 20
        }
        fn alignment(&self) -> u64 {
            1
        }
        fn refuses_past_the_end(&self) -> bool {
            false
        }
    }

    /// The suite's own test: the kernel's files pass it.
    #[test]
    fn a_plain_file_conforms() {
        let path = std::env::temp_dir().join(format!("conformance-{}", std::process::id()));
        File::create(&path).unwrap().set_len(8 << 20).unwrap();
        let target = PlainFile(path.clone());
        let outcome = std::panic::catch_unwind(|| crate::run_all(&target, 1));
        std::fs::remove_file(path).unwrap();
        outcome.unwrap();
    }
}
