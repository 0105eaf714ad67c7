//! `data.img`: the sparse raw image, chunk *i* at offset *i × chunk size*.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom};

use crate::failpoint::pass;

/// The image file of one disk.
#[derive(Debug)]
pub struct DataFile {
    file: File,
    size_bytes: u64,
    chunk_size: u64,
}

/// Is every byte zero?
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (head, words, tail) = (bytes.len() % 16, bytes.len() / 16, 16);
    bytes[..head].iter().all(|b| *b == 0)
        && (0..words).all(|i| {
            let at = head + i * tail;
            bytes[at..at + tail].iter().fold(0, |acc, b| acc | b) == 0
        })
}

impl DataFile {
    /// Creates the file, all hole. Fails if it is there.
    ///
    /// # Errors
    /// Whatever the filesystem says (also a size it cannot hold).
    pub fn create(path: &Path, size_bytes: u64, chunk_size: u32) -> io::Result<DataFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.set_len(size_bytes)?;
        file.sync_all()?;
        Ok(DataFile { file, size_bytes, chunk_size: u64::from(chunk_size) })
    }

    /// Opens the file; it must have the disk's size.
    ///
    /// # Errors
    /// `InvalidData` if the size differs.
    pub fn open(path: &Path, size_bytes: u64, chunk_size: u32) -> io::Result<DataFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let found = file.metadata()?.len();
        if found < size_bytes {
            let text = format!("it has {found} bytes, the disk has {size_bytes}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(DataFile { file, size_bytes, chunk_size: u64::from(chunk_size) })
    }

    /// Grows the file; what comes is a hole.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn grow(&mut self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes.max(self.size_bytes))?;
        self.file.sync_all()?;
        self.size_bytes = self.size_bytes.max(size_bytes);
        Ok(())
    }

    /// Another handle on the same file.
    ///
    /// # Errors
    /// If no file descriptor is left.
    pub fn try_clone(&self) -> io::Result<DataFile> {
        Ok(DataFile { file: self.file.try_clone()?, ..*self })
    }

    /// Size of the disk in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn span(&self, chunk: u64) -> (u64, usize) {
        let offset = chunk * self.chunk_size;
        let len = self.size_bytes.saturating_sub(offset).min(self.chunk_size);
        (offset, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Reads a chunk, zero-padded to the full chunk size where the disk ends inside it.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn read_chunk(&self, chunk: u64) -> io::Result<Vec<u8>> {
        let (offset, len) = self.span(chunk);
        let mut bytes = vec![0; usize::try_from(self.chunk_size).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes[..len], offset)?;
        Ok(bytes)
    }

    /// Writes a whole chunk; what lies past the disk's end is left out.
    ///
    /// # Errors
    /// Whatever the filesystem says; the chunk's bytes are then unknown.
    pub fn write_chunk(&self, chunk: u64, bytes: &[u8]) -> io::Result<()> {
        let (offset, len) = self.span(chunk);
        pass();
        self.file.write_all_at(&bytes[..len], offset)?;
        pass();
        Ok(())
    }

    /// Writes whole sectors; what lies past the disk's end is left out.
    ///
    /// # Errors
    /// Whatever the filesystem says; the sectors' bytes are then unknown.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        pass();
        self.file.write_all_at(&bytes[..bytes.len().min(room)], offset)?;
        pass();
        Ok(())
    }

    /// Makes a chunk a hole.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn punch_chunk(&self, chunk: u64) -> io::Result<()> {
        let (offset, len) = self.span(chunk);
        self.punch(offset, len as u64)
    }

    /// Makes a range read as zeros and gives its space back.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        pass();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, len) {
            // A filesystem without holes: the promise is zeros, the space is a courtesy.
            Err(rustix::io::Errno::OPNOTSUPP) => self.write_zeros(offset, len),
            other => other.map_err(io::Error::from),
        }
    }

    /// Makes a range read as zeros with its space allocated.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
        if rustix::fs::fallocate(&self.file, flags, offset, len).is_ok() {
            return Ok(());
        }
        let zeros = vec![0u8; 1 << 16];
        let mut at = offset;
        while at < offset + len {
            let n = usize::try_from(offset + len - at).unwrap_or(usize::MAX).min(zeros.len());
            self.file.write_all_at(&zeros[..n], at)?;
            at += n as u64;
        }
        Ok(())
    }

    /// Does the file have blocks in this chunk (or may it, where the filesystem cannot tell)?
    #[must_use]
    pub fn has_blocks(&self, chunk: u64) -> bool {
        let (offset, len) = self.span(chunk);
        self.next_data(offset).is_some_and(|at| at < offset + len as u64)
    }

    /// Offset of the first data at or after `offset`; `None` if only hole follows.
    #[must_use]
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(at) => Some(at),
            Err(rustix::io::Errno::NXIO) => None,
            Err(_) => (offset < self.size_bytes).then_some(offset),
        }
    }

    /// Chunks that have blocks, found through the file's hole map.
    pub fn chunks_with_blocks(&self) -> impl Iterator<Item = u64> + '_ {
        let chunk_size = self.chunk_size;
        let mut at = 0;
        std::iter::from_fn(move || {
            let data = self.next_data(at).filter(|d| *d < self.size_bytes)?;
            let chunk = data / chunk_size;
            at = (chunk + 1) * chunk_size;
            Some(chunk)
        })
    }

    /// Bytes of disk space the file takes.
    ///
    /// # Errors
    /// If the file's metadata cannot be read.
    pub fn allocated_bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.file.metadata()?.blocks() * 512)
    }

    /// Makes all data written so far durable (fdatasync).
    ///
    /// # Errors
    /// Whatever the filesystem says; nothing may be believed durable after that, and it is not tried again.
    pub fn sync(&self) -> io::Result<()> {
        pass();
        self.file.sync_data()?;
        pass();
        Ok(())
    }
}

impl AsFd for DataFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u32 = 4096;

    fn disk(size: u64) -> (tempfile::TempDir, DataFile) {
        let dir = tempfile::tempdir().unwrap();
        let data = DataFile::create(&dir.path().join("data.img"), size, CHUNK).unwrap();
        (dir, data)
    }

    #[test]
    fn the_last_chunk_is_padded_when_read_and_cut_when_written() {
        let (_dir, data) = disk(4096 + 512);
        data.write_chunk(1, &[7; 4096]).unwrap();
        let mut expected = vec![7; 512];
        expected.resize(4096, 0);
        assert_eq!(data.read_chunk(1).unwrap(), expected);
    }

    #[test]
    fn a_punched_chunk_has_no_blocks() {
        let (_dir, data) = disk(1 << 20);
        data.write_chunk(3, &[1; 4096]).unwrap();
        data.write_chunk(200, &[1; 4096]).unwrap();
        assert_eq!(data.chunks_with_blocks().collect::<Vec<_>>(), [3, 200]);
        data.punch_chunk(3).unwrap();
        assert!(!data.has_blocks(3));
        assert!(is_zero(&data.read_chunk(3).unwrap()));
    }

    #[test]
    fn zero_except_one_byte_is_not_zero_at_any_position() {
        for len in [1, 15, 16, 17, 4096, 4099] {
            let mut bytes = vec![0u8; len];
            assert!(is_zero(&bytes));
            for i in 0..len {
                bytes[i] = 1;
                assert!(!is_zero(&bytes), "byte {i} of {len}");
                bytes[i] = 0;
            }
        }
    }
}
