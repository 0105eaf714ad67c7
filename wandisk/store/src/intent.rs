//! The intent map: a byte a chunk that survives the death of the process, though not of the machine.
//!
//! Before bytes of a chunk change in a way that the durable table does not yet know of, its intent is written here
//! (into the page cache: one small `pwrite`, no sync). The next process reads it and knows which chunks hold
//! acknowledged writes, and which were being overwritten (law L4). It is valid only under the boot id in its
//! header; after a reboot the hot extents of the table speak instead.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::boot::boot_id;
use crate::failpoint::pass;
use crate::ids::DiskId;
use crate::overlay::{OverlayMap, Sectors};

const MAGIC: &[u8; 8] = b"WDINTNT1";
/// Header: magic (8), disk UUID (16), boot id as text (40, zero-padded), 1 if the store failed, zeros up to here.
const HEADER_LEN: u64 = 4096;
/// The sectors of overlaid chunks, beside the map.
const OVERLAY_MAP: &str = "overlay.map";
/// Where the header says that the store failed.
const FAILED_AT: usize = 64;

/// What was about to happen to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing the table does not know.
    Clean,
    /// The bytes here are newer than the durable row: they are the chunk's current bytes.
    Modified,
    /// The bytes here are being replaced as a whole; until that ends they are no version at all.
    Replacing,
    /// Some sectors were written here of a chunk whose bytes are elsewhere; `overlay.map` says which.
    Overlaid,
}

impl Intent {
    fn byte(self) -> u8 {
        match self {
            Intent::Clean => 0,
            Intent::Modified => 1,
            Intent::Replacing => 2,
            Intent::Overlaid => 3,
        }
    }
}

/// What a dead process left: chunks and what was about to happen to them.
pub type Left = Vec<(u64, Intent)>;

/// The file `intent.map` of one disk.
///
/// Order: [`IntentMap::open`], recover and commit, [`IntentMap::clear`], then [`IntentMap::set`] as needed. `open`
/// changes nothing, so that a recovery that dies half-way is begun again from the same knowledge.
#[derive(Debug)]
pub struct IntentMap {
    file: File,
    overlays: OverlayMap,
    disk: DiskId,
    noted_failure: bool,
}

fn header(disk: DiskId) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(HEADER_LEN).unwrap_or(4096)];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(disk.0.as_bytes());
    let boot = boot_id();
    let n = boot.len().min(40);
    bytes[24..24 + n].copy_from_slice(&boot.as_bytes()[..n]);
    bytes
}

impl IntentMap {
    /// Opens the map. The second value lists what the last process of *this boot* left behind; `None` if the
    /// map is of another boot or disk, or there is none: then the machine went down, or the end was clean.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn open(path: &Path, disk: DiskId) -> io::Result<(IntentMap, Option<Left>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let expected = header(disk);
        let mut found = vec![0; expected.len()];
        let whole = file.metadata()?.len() >= HEADER_LEN && file.read_exact_at(&mut found, 0).is_ok();
        let known_boot = expected[24] != 0;
        let noted_failure = std::mem::take(&mut found[FAILED_AT]) != 0;
        let overlays = OverlayMap::open(&path.with_file_name(OVERLAY_MAP))?;
        let map = IntentMap { file, overlays, disk, noted_failure };
        let left = if whole && known_boot && found == expected { Some(map.scan()?) } else { None };
        Ok((map, left))
    }

    fn scan(&self) -> io::Result<Vec<(u64, Intent)>> {
        let mut left = Vec::new();
        let mut buffer = vec![0u8; 1 << 16];
        let mut at = HEADER_LEN;
        let len = self.file.metadata()?.len();
        while at < len {
            // The map is as sparse as what was written.
            match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(at)) {
                Ok(data) => at = data.max(at),
                Err(rustix::io::Errno::NXIO) => break,
                Err(_) => {}
            }
            let n = self.file.read_at(&mut buffer, at)?;
            if n == 0 {
                break;
            }
            for (i, byte) in buffer[..n].iter().enumerate() {
                let chunk = at - HEADER_LEN + i as u64;
                match byte {
                    0 => {}
                    1 => left.push((chunk, Intent::Modified)),
                    3 => left.push((chunk, Intent::Overlaid)),
                    // An unknown byte is the safe reading: the bytes are no version.
                    _ => left.push((chunk, Intent::Replacing)),
                }
            }
            at += n as u64;
        }
        Ok(left)
    }

    /// Notes an intent, before the bytes change.
    ///
    /// # Errors
    /// Whatever the filesystem says; the bytes must then not be changed.
    pub fn set(&self, chunk: u64, intent: Intent) -> io::Result<()> {
        pass();
        self.file.write_all_at(&[intent.byte()], HEADER_LEN + chunk)?;
        pass();
        Ok(())
    }

    /// Notes which sectors of a chunk were written here, before they are acknowledged.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn set_sectors(&self, chunk: u64, sectors: &Sectors) -> io::Result<()> {
        self.overlays.set(chunk, sectors)
    }

    /// The sectors noted for a chunk whose intent is [`Intent::Overlaid`].
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn sectors(&self, chunk: u64, chunk_size: u32) -> io::Result<Sectors> {
        self.overlays.get(chunk, chunk_size)
    }

    /// Notes that the store failed; stays until [`IntentMap::clear`].
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn note_failure(&self) -> io::Result<()> {
        self.file.write_all_at(&[1], FAILED_AT as u64)
    }

    /// Did the process whose map was opened note a failure?
    #[must_use]
    pub fn noted_failure(&self) -> bool {
        self.noted_failure
    }

    /// Forgets everything, since the table knows all, and makes the map valid for this boot.
    ///
    /// # Errors
    /// Whatever the filesystem says; the map is then of no boot.
    pub fn clear(&self) -> io::Result<()> {
        // Cut first: old intents under a new header would be believed. The header's block stays, so that the map of a
        // running boot is valid all the time, and a full filesystem cannot keep it from being so.
        pass();
        self.file.set_len(HEADER_LEN)?;
        pass();
        self.file.write_all_at(&header(self.disk), 0)?;
        self.overlays.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_of_this_boot_finds_what_was_intended() {
        let dir = tempfile::tempdir().unwrap();
        let (path, disk) = (dir.path().join("intent.map"), DiskId::random());
        let (map, left) = IntentMap::open(&path, disk).unwrap();
        assert_eq!(left, None);
        map.clear().unwrap();
        map.set(0, Intent::Modified).unwrap();
        map.set(1_000_000, Intent::Replacing).unwrap();
        map.set(5, Intent::Modified).unwrap();
        map.set(5, Intent::Clean).unwrap();
        drop(map);
        let (map, left) = IntentMap::open(&path, disk).unwrap();
        assert_eq!(left, Some(vec![(0, Intent::Modified), (1_000_000, Intent::Replacing)]));
        map.clear().unwrap();
        assert_eq!(IntentMap::open(&path, disk).unwrap().1, Some(vec![]));
    }

    #[test]
    fn a_failure_is_remembered_until_the_map_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let (path, disk) = (dir.path().join("intent.map"), DiskId::random());
        let (map, _) = IntentMap::open(&path, disk).unwrap();
        map.clear().unwrap();
        map.set(3, Intent::Modified).unwrap();
        map.note_failure().unwrap();
        let (map, left) = IntentMap::open(&path, disk).unwrap();
        assert_eq!((map.noted_failure(), left), (true, Some(vec![(3, Intent::Modified)])));
        map.clear().unwrap();
        assert!(!IntentMap::open(&path, disk).unwrap().0.noted_failure());
    }

    #[test]
    fn a_map_of_another_boot_or_disk_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intent.map");
        let disk = DiskId::random();
        let (map, _) = IntentMap::open(&path, disk).unwrap();
        map.clear().unwrap();
        map.set(0, Intent::Modified).unwrap();
        assert_eq!(IntentMap::open(&path, DiskId::random()).unwrap().1, None);

        map.file.write_all_at(b"00000000-another-boot", 24).unwrap();
        assert_eq!(IntentMap::open(&path, disk).unwrap().1, None);
    }
}
