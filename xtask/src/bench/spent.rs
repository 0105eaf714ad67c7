//! What a server's process has taken so far, its ended threads included: time of processors, and reads that went to the disk.
//!
//! I/Os a second of two processes that share a machine turn on where the scheduler puts them, and on whether fio is full; what the
//! server takes for one does not.

use std::fs;
use std::ops::Sub;

use anyhow::{Context, Result};

/// The kernel counts a process's time in hundredths of a second, whatever its own clock.
const TICK_US: f64 = 10_000.0;

/// Since the process began; the difference of two of them is what lies between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spent {
    pub(super) processor_us: f64,
    pub(super) from_disk: f64,
}

impl Spent {
    /// Of a process by its id; bytes `from_disk` are those that the page cache did not have.
    pub(super) fn by(process: u32) -> Result<Spent> {
        let read = |name| fs::read_to_string(format!("/proc/{process}/{name}"));
        Spent::parse(&read("stat")?, &read("io")?)
            .context("the kernel tells a process's times in another form")
    }

    fn parse(stat: &str, io: &str) -> Option<Spent> {
        // Its name, in parentheses, may have blanks and parentheses in it. Of the rest the 12th and 13th are times.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
        let ticks = times.next()?.ok()? + times.next()?.ok()?;
        let from_disk = io.lines().find_map(|line| line.strip_prefix("read_bytes: "))?;
        Some(Spent { processor_us: ticks * TICK_US, from_disk: from_disk.parse().ok()? })
    }
}

impl Sub for Spent {
    type Output = Spent;

    fn sub(self, earlier: Spent) -> Spent {
        Spent {
            processor_us: self.processor_us - earlier.processor_us,
            from_disk: self.from_disk - earlier.from_disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 4 0 100 1000 50";
        let io = "rchar: 5\nread_bytes: 8192\nwrite_bytes: 0\n";
        let spent = Spent { processor_us: 420_000.0, from_disk: 8192.0 };
        assert_eq!(Spent::parse(stat, io), Some(spent));
    }

    #[test]
    fn what_this_process_takes_is_counted() {
        let before = Spent::by(std::process::id()).expect("its own process");
        let taken = || Spent::by(std::process::id()).expect("its own process") - before;
        let end = Instant::now() + Duration::from_secs(60);
        while taken().processor_us < 2.0 * TICK_US {
            assert!(Instant::now() < end, "a minute of work, and nothing was counted");
        }
    }
}
