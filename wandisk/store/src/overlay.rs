//! Overlays: sectors that were written here of a chunk whose current bytes are elsewhere.
//!
//! Their bytes are in `data.img`, in place; which sectors they are is said twice. For the death of the process by
//! [`OverlayMap`], a file beside the intent map, written before a write is acknowledged and believed only where the
//! intent map says [`crate::Intent::Overlaid`]. For the death of the machine by the table, from the first flush on.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::failpoint::pass;
use crate::ids::Version;

/// Bytes of a sector: the unit in which an overlay is kept, and which a device writes as a whole.
pub const SECTOR: u64 = 512;

/// Which sectors of a chunk, one bit each, the first sector in the lowest bit of the first byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sectors(Box<[u8]>);

impl Sectors {
    /// No sector of a chunk of this size.
    #[must_use]
    pub fn none(chunk_size: u32) -> Sectors {
        Sectors(vec![0; bytes_for(chunk_size)].into())
    }

    /// As stored; `None` if it is not of a chunk of this size.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], chunk_size: u32) -> Option<Sectors> {
        (bytes.len() == bytes_for(chunk_size)).then(|| Sectors(bytes.into()))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Is this one of them?
    #[must_use]
    pub fn has(&self, sector: usize) -> bool {
        self.0.get(sector / 8).is_some_and(|byte| byte & (1 << (sector % 8)) != 0)
    }

    /// Are all of these?
    #[must_use]
    pub fn covers(&self, mut sectors: Range<usize>) -> bool {
        sectors.all(|s| self.has(s))
    }

    /// Adds sectors; those past the chunk are left out.
    pub fn add(&mut self, sectors: Range<usize>) {
        for sector in sectors {
            if let Some(byte) = self.0.get_mut(sector / 8) {
                *byte |= 1 << (sector % 8);
            }
        }
    }

    /// Adds all of another's.
    pub fn add_all(&mut self, other: &Sectors) {
        self.0.iter_mut().zip(&other.0).for_each(|(here, there)| *here |= there);
    }

    /// Runs of sectors below `end` that are not among them.
    #[must_use]
    pub fn gaps(&self, end: usize) -> Vec<Range<usize>> {
        let mut gaps: Vec<Range<usize>> = Vec::new();
        for sector in (0..end).filter(|s| !self.has(*s)) {
            match gaps.last_mut() {
                Some(last) if last.end == sector => last.end += 1,
                _ => gaps.push(sector..sector + 1),
            }
        }
        gaps
    }
}

fn bytes_for(chunk_size: u32) -> usize {
    usize::try_from(u64::from(chunk_size).div_ceil(SECTOR * 8)).unwrap_or(usize::MAX)
}

/// A chunk's overlay, as the table keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Overlay {
    /// The version that the other sectors are of.
    pub base: Version,
    /// The sectors whose bytes are here.
    pub sectors: Sectors,
}

/// The file `overlay.map`: the sectors of each overlaid chunk, at the chunk's number times the bytes that takes.
#[derive(Debug)]
pub struct OverlayMap {
    file: File,
}

impl OverlayMap {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn open(path: &Path) -> io::Result<OverlayMap> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(OverlayMap { file: options.open(path)? })
    }

    /// Notes a chunk's sectors (page cache only).
    ///
    /// # Errors
    /// Whatever the filesystem says; the write that they are of must then not be acknowledged.
    pub fn set(&self, chunk: u64, sectors: &Sectors) -> io::Result<()> {
        pass();
        self.file.write_all_at(&sectors.0, chunk * sectors.0.len() as u64)?;
        pass();
        Ok(())
    }

    /// The sectors noted for a chunk; none where the file ends before it.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn get(&self, chunk: u64, chunk_size: u32) -> io::Result<Sectors> {
        let mut sectors = Sectors::none(chunk_size);
        let at = chunk * sectors.0.len() as u64;
        match self.file.read_exact_at(&mut sectors.0, at) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(Sectors::none(chunk_size)),
            other => other.map(|()| sectors),
        }
    }

    /// Gives the file's space back: no intent speaks of it any more.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u32 = 4096 * 4;

    #[test]
    fn gaps_are_what_was_not_added() {
        let mut sectors = Sectors::none(CHUNK);
        assert_eq!(sectors.gaps(32), vec![0..32; 1]);
        sectors.add(3..9);
        sectors.add(31..40);
        assert_eq!(sectors.gaps(32), [0..3, 9..31]);
        assert!(sectors.covers(3..9) && !sectors.covers(3..10));
        sectors.add(0..3);
        sectors.add(9..31);
        assert!(sectors.gaps(32).is_empty());
    }

    #[test]
    fn another_process_reads_what_was_noted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("overlay.map");
        let mut sectors = Sectors::none(CHUNK);
        sectors.add(5..8);
        OverlayMap::open(&path).unwrap().set(77, &sectors).unwrap();
        let map = OverlayMap::open(&path).unwrap();
        assert_eq!(map.get(77, CHUNK).unwrap(), sectors);
        assert_eq!(map.get(76, CHUNK).unwrap(), Sectors::none(CHUNK));
        assert_eq!(map.get(1 << 30, CHUNK).unwrap(), Sectors::none(CHUNK));
        map.clear().unwrap();
        assert_eq!(map.get(77, CHUNK).unwrap(), Sectors::none(CHUNK));
    }

    #[test]
    fn sectors_of_another_chunk_size_are_refused() {
        assert!(Sectors::from_bytes(&[0; 4], CHUNK).is_some());
        assert!(Sectors::from_bytes(&[0; 5], CHUNK).is_none());
    }
}
