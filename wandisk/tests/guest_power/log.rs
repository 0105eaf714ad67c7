//! The log that `dm-log-writes` keeps: every write to a device, in the order in which it was ended, and every flush.
//!
//! Sector 0 is a head (magic, version, entries, sector size). Then each entry: a sector with its head (sector, sectors,
//! flags, length of a mark; little-endian `u64`s, a mark's text right behind them), then its data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const SECTOR: u64 = 512;
const SECTOR_BYTES: usize = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;
/// Bytes of an entry's head.
const HEAD: usize = 32;

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Wrote these sectors; their bytes are at this offset of the log.
    Write { sector: u64, sectors: u64, data_at: u64 },
    /// Gave sectors up, or is a mark of the kernel's own.
    Nothing,
    /// The test said that flush `n` of its story was acknowledged (the word `fN`).
    Flushed(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) what: What,
    /// Everything before it was durable when it ended, and if it is a FUA write, it as well.
    pub(crate) is_barrier: bool,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// One entry's head, of which the data would be at `data_at`; and how many bytes that is.
fn entry(head: &[u8], data_at: u64) -> (Entry, u64) {
    let [sector, sectors, flags, text] = [0, 8, 16, 24].map(|at| word(head, at));
    let (what, data) = if flags & MARK != 0 {
        let text = std::str::from_utf8(&head[HEAD..HEAD + usize::try_from(text).unwrap()]).unwrap();
        let flush = text.trim_end_matches('\0').strip_prefix('f').and_then(|number| number.parse().ok());
        (flush.map_or(What::Nothing, What::Flushed), 0)
    } else if flags & DISCARD != 0 {
        (What::Nothing, 0)
    } else {
        (What::Write { sector, sectors, data_at }, sectors * SECTOR)
    };
    (Entry { what, is_barrier: flags & (FLUSH | FUA) != 0 }, data)
}

/// A log that is written no more.
pub(crate) struct Log {
    file: File,
    pub(crate) entries: Vec<Entry>,
}

impl Log {
    pub(crate) fn read(device: &Path) -> io::Result<Log> {
        let file = File::open(device)?;
        let mut head = [0; SECTOR_BYTES];
        file.read_exact_at(&mut head, 0)?;
        assert_eq!(word(&head, 0), MAGIC, "no log of dm-log-writes");
        let (count, size) = (word(&head, 16), u32::from_le_bytes(head[24..28].try_into().unwrap()));
        assert_eq!(u64::from(size), SECTOR);
        let mut entries = Vec::new();
        let mut at = SECTOR;
        for _ in 0..count {
            file.read_exact_at(&mut head, at)?;
            let (entry, data) = entry(&head, at + SECTOR);
            entries.push(entry);
            at += SECTOR + data;
        }
        Ok(Log { file, entries })
    }

    /// The first mark: here the disks are made.
    pub(crate) fn born(&self) -> usize {
        let born = self.entries.iter().position(|e| e.what == What::Flushed(0));
        born.expect("the first mark is in the log")
    }

    /// The last flush that was acknowledged within so many entries.
    pub(crate) fn last_flush(&self, entries: usize) -> usize {
        let marks = self.entries[..entries].iter().rev();
        let mut flushes = marks.filter_map(|e| if let What::Flushed(n) = e.what { Some(n) } else { None });
        flushes.next().expect("after the first mark")
    }

    /// Does an entry to a device again.
    pub(crate) fn replay(&self, entry: &Entry, onto: &File) {
        if let What::Write { sector, .. } = entry.what {
            onto.write_all_at(&self.data(entry), sector * SECTOR).unwrap();
        }
    }

    /// Does of a write only the sectors that `arrived` says.
    pub(crate) fn replay_torn(&self, entry: &Entry, onto: &File, mut arrived: impl FnMut() -> bool) {
        let What::Write { sector, .. } = entry.what else { return };
        for (i, bytes) in (0u64..).zip(self.data(entry).chunks_exact(SECTOR_BYTES)) {
            if arrived() {
                onto.write_all_at(bytes, (sector + i) * SECTOR).unwrap();
            }
        }
    }

    /// What an entry wrote.
    fn data(&self, entry: &Entry) -> Vec<u8> {
        let What::Write { sectors, data_at, .. } = entry.what else { return Vec::new() };
        let mut bytes = vec![0; usize::try_from(sectors * SECTOR).unwrap()];
        self.file.read_exact_at(&mut bytes, data_at).unwrap();
        bytes
    }
}

#[test]
fn a_logs_entries_are_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let words = |words: &[u64]| {
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.resize(SECTOR_BYTES, 0);
        bytes
    };
    let mut bytes = words(&[MAGIC, 1, 4, SECTOR]);
    bytes.extend(words(&[8, 2, FUA, 0]));
    bytes.extend([7; 1024]);
    let mut mark = words(&[0, 0, MARK, 3]);
    mark[HEAD..HEAD + 3].copy_from_slice(b"f12");
    bytes.extend(mark);
    bytes.extend(words(&[0, 0, FLUSH, 0]));
    let mut mark = words(&[0, 0, MARK, 3]);
    mark[HEAD..HEAD + 3].copy_from_slice(b"end");
    bytes.extend(mark);
    std::fs::write(&path, bytes).unwrap();
    let log = Log::read(&path).unwrap();
    let write = |sector, sectors, data_at| What::Write { sector, sectors, data_at };
    assert_eq!(log.entries.len(), 4);
    assert_eq!(log.entries[0], Entry { what: write(8, 2, 1024), is_barrier: true });
    assert_eq!(log.entries[1], Entry { what: What::Flushed(12), is_barrier: false });
    assert_eq!(log.entries[2], Entry { what: write(0, 0, 3072), is_barrier: true });
    assert_eq!(log.entries[3], Entry { what: What::Nothing, is_barrier: false });
    assert_eq!((log.last_flush(2), log.last_flush(4)), (12, 12));

    let onto =
        File::options().read(true).write(true).create_new(true).open(folder.path().join("disk")).unwrap();
    onto.set_len(1 << 20).unwrap();
    let mut odd = false;
    log.replay_torn(&log.entries[0], &onto, || {
        odd = !odd;
        odd
    });
    let mut read = [0; 1024];
    onto.read_exact_at(&mut read, 8 * SECTOR).unwrap();
    assert!(read[..512] == [7; 512] && read[512..] == [0; 512]);
    log.replay(&log.entries[0], &onto);
    onto.read_exact_at(&mut read, 8 * SECTOR).unwrap();
    assert!(read == [7; 1024]);
}
