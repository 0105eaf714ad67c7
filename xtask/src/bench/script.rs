//! Random writes with a flush after every so many of them, as a script that fio plays.
//!
//! fio has an option for that, `fsync`. Where several requests are under way the version of Debian 12 asks by it for more flushes
//! than it says, and for how many turns on the server: it sends one after another until one has ended
//! (<https://github.com/axboe/fio/pull/1754>). With `fsync=64` at depth 16 one server was asked for a flush every four writes, another
//! every nine.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use crate::rig::Scratch;

/// Bytes of a write.
const BLOCK: u64 = 4096;

/// Blocks that are written to: those of 1 GiB.
const BLOCKS: u64 = (1 << 30) / BLOCK;

/// A script's file, gone when dropped.
pub(super) struct Script(Scratch);

impl Script {
    /// So many writes, and a flush after each `fsync` of them.
    pub(super) fn write(writes: u64, fsync: u32) -> Result<Script> {
        let folder = Scratch::make("fio")?;
        fs::write(folder.path().join("script"), text(writes, fsync))?;
        Ok(Script(folder))
    }

    /// fio's words for playing it.
    pub(super) fn words(&self) -> String {
        format!("--read_iolog={}", self.0.path().join("script").display())
    }
}

/// Each block once, and then all of them again, in an order that is the same each time. The file's name says nothing: fio's `nbd`
/// engine has none, and whoever has one is told of it by `replay_redirect`.
fn text(writes: u64, fsync: u32) -> String {
    let mut blocks: Vec<u64> = (0..BLOCKS).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut blocks);
    let mut text = "fio version 2 iolog\ndisk add\ndisk open\n".to_owned();
    for (count, block) in (1..=writes).zip(blocks.iter().cycle()) {
        writeln!(text, "disk write {} {BLOCK}", block * BLOCK).ok();
        if count.is_multiple_of(u64::from(fsync)) {
            text.push_str("disk sync 0 0\n");
        }
    }
    text.push_str("disk close\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_comes_after_as_many_writes_as_the_row_says() {
        let said = text(24, 8);
        let actions: Vec<&str> = said.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        let rounds = [vec!["write"; 8], vec!["sync"]].concat().repeat(3);
        assert_eq!(actions[3..actions.len() - 1], rounds);
        assert_eq!((actions[1], actions[2], actions.last()), ("add", "open", Some(&"close")));
    }

    #[test]
    fn no_block_is_written_to_twice_before_all_others_were() {
        let said = text(BLOCKS, 64);
        let at = |line: &str| line.strip_prefix("disk write ")?.strip_suffix(" 4096")?.parse::<u64>().ok();
        let mut blocks: Vec<u64> = said.lines().filter_map(at).collect();
        blocks.sort_unstable();
        assert!(blocks.iter().copied().eq((0..BLOCKS).map(|block| block * BLOCK)));
    }
}
