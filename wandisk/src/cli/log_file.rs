//! A log file that stays small: beyond a bound its content moves to one older file beside it.
//!
//! Several processes append to one file (each `serve` of a site to `serve.log`), and some of them may no longer open
//! files (`sandbox`). So the content is copied and the file is cut, instead of renamed: whoever has it open goes on in it.
//! What another process appends between copy and cut is lost; a log may lose lines, but not fill a disk.
//!
//! Invariant: the file is never longer than twice the bound, the older one no longer than that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Bytes at which a log moves on to a new part.
const PART_MAX: u64 = 4 << 20;

/// A log that is open for appending.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    older: PathBuf,
    part_max: u64,
}

impl LogFile {
    /// Opens `path`, or creates it; what is too much moves to `path` with `.1` behind it.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        LogFile::with_bound(path, PART_MAX)
    }

    fn with_bound(path: &Path, part_max: u64) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        Ok(LogFile { file, older: older.into(), part_max })
    }

    fn len(&self) -> io::Result<u64> {
        // Not by way of `statx`, which a confined process may not call.
        Ok(u64::try_from(rustix::fs::fstat(&self.file)?.st_size).unwrap_or_default())
    }

    /// Is there room for so many bytes? Makes some where the file has grown too long.
    fn make_room(&mut self, more: usize) -> bool {
        let after = |len: io::Result<u64>| len.map_or(u64::MAX, |len| len.saturating_add(more as u64));
        if after(self.len()) <= self.part_max {
            return true;
        }
        // Who may not, or not now, goes on until the file is twice as long.
        self.move_on().ok();
        after(self.len()) <= 2 * self.part_max
    }

    /// One process at a time; another one may have done it meanwhile.
    fn move_on(&mut self) -> io::Result<()> {
        flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        let done = self.len().and_then(|len| if len == 0 { Ok(()) } else { self.copy_and_cut() });
        flock(&self.file, FlockOperation::Unlock)?;
        done
    }

    fn copy_and_cut(&mut self) -> io::Result<()> {
        let mut older =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&self.older)?;
        self.file.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut (&self.file).take(2 * self.part_max), &mut older);
        // Where there is no room for the older part, it goes: the newest lines are the ones that are looked for.
        self.file.set_len(0)?;
        copied.map(drop)
    }
}

impl Write for LogFile {
    /// All of it, or less where there is no room for more, be it in the log or on its disk. That is no error: who logs could
    /// only tell it on standard error, which of a `serve` is what the peer is told of why it failed.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.make_room(line.len()) {
            self.file.write_all(line).ok();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: u64 = 1000;

    fn sizes(path: &Path) -> (u64, u64) {
        let len = |path: PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        (len(path.to_owned()), len(path.with_extension("log.1")))
    }

    fn lines(path: &Path) -> Vec<u32> {
        let text =
            [path.with_extension("log.1"), path.to_owned()].map(|p| std::fs::read_to_string(p).unwrap());
        text.concat().lines().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn a_log_keeps_its_newest_lines_in_two_parts_and_never_grows_beyond_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        // Two processes that append to one file.
        let mut logs = [0, 1].map(|_| LogFile::with_bound(&path, BOUND).unwrap());
        for i in 0u32..5000 {
            writeln!(logs[i as usize % 2], "{i}").unwrap();
            let (now, older) = sizes(&path);
            assert!(now <= BOUND && older <= BOUND, "{now} {older}");
        }
        let kept = lines(&path);
        assert!(kept.len() > 200, "{}", kept.len());
        assert!(
            kept.iter().rev().copied().eq((0..5000).rev().take(kept.len())),
            "in order, without a gap, to the last"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_that_was_left_too_long_is_moved_on_at_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        std::fs::write(&path, vec![b'\n'; 5000]).unwrap();
        LogFile::with_bound(&path, BOUND).unwrap().write_all(b"1\n").unwrap();
        assert_eq!(sizes(&path), (2, 2 * BOUND));
    }

    #[test]
    fn who_cannot_move_a_log_on_stops_writing_to_it_and_fails_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        std::fs::create_dir(path.with_extension("log.1")).unwrap();
        let mut log = LogFile::with_bound(&path, BOUND).unwrap();
        for i in 0..5000 {
            writeln!(log, "{i}").unwrap();
        }
        let len = std::fs::metadata(&path).unwrap().len();
        assert!(len > BOUND && len <= 2 * BOUND, "{len}");
    }
}
