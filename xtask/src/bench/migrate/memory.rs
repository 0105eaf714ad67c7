//! What a machine's memory would be at its smallest: its distinct pages that are not zero, packed by the program `zstd`.
//!
//! Read from the QEMU process while the machine runs, so that it is true but for what changes meanwhile.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

const PAGE: usize = 4096;
/// zstd's own choice.
const LEVEL: &str = "-3";
const PIECE: usize = 1 << 20;

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) not_zero: u64,
    pub(super) distinct: u64,
    /// Of the distinct ones.
    pub(super) packed: u64,
}

/// Looks at the memory of the QEMU whose process id is in this file.
pub(super) fn look(pid_file: &Path, bytes: u64) -> Result<Memory> {
    let pid = fs::read_to_string(pid_file)?.trim().to_owned();
    let (from, to) = place(&fs::read_to_string(format!("/proc/{pid}/maps"))?, bytes)
        .context("QEMU has no piece of memory as large as its machine's")?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut zstd = Command::new("zstd")
        .args([LEVEL, "-q", "-c", "-T1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("zstd is missing: cargo xtask setup")?;
    let mut packer = zstd.stdin.take().context("zstd takes nothing")?;
    let packed = zstd.stdout.take().context("zstd gives nothing")?;
    let counts = std::thread::spawn(move || count(packed));
    let (mut found, mut seen, mut piece) = (Memory::default(), HashSet::new(), vec![0; PIECE]);
    for at in (from..to).step_by(PIECE) {
        memory.read_exact_at(&mut piece, at)?;
        for page in piece.chunks_exact(PAGE) {
            if page == [0; PAGE] {
                continue;
            }
            found.not_zero += PAGE as u64;
            let mut hasher = DefaultHasher::new();
            page.hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                found.distinct += PAGE as u64;
                packer.write_all(page)?;
            }
        }
    }
    drop(packer);
    zstd.wait()?;
    found.packed = counts.join().map_err(|_| anyhow::anyhow!("nobody counted"))??;
    Ok(found)
}

fn count(packed: impl Read) -> std::io::Result<u64> {
    let mut reader = BufReader::new(packed);
    let mut bytes = 0;
    loop {
        let len = reader.fill_buf()?.len();
        if len == 0 {
            return Ok(bytes);
        }
        bytes += len as u64;
        reader.consume(len);
    }
}

/// The machine's memory is the one piece that nobody executes, at least as long as it is, and begins where large pages do.
fn place(maps: &str, bytes: u64) -> Option<(u64, u64)> {
    let pieces = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        (rest.starts_with("rw-p") && to - from >= bytes).then_some((from, to))
    });
    let (from, _) = pieces.min_by_key(|(from, to)| to - from)?;
    Some((from, from + bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_told_from_code_and_small_pieces() {
        let maps = "55d0-55e0 rw-p 00000000 00:00 0 [heap]\n\
                    100000-900000 rwxp 00000000 00:00 0\n\
                    a00000-b00000 rw-p 00000000 00:00 0\n\
                    c00000-e10000 rw-p 00000000 00:00 0\n";
        assert_eq!(place(maps, 0x200000), Some((0xc00000, 0xe00000)));
        assert_eq!(place(maps, 0x800000), None);
    }
}
