//! The processor of an agent, which is a thread of its QEMU: how long it has computed, and how long it wanted to and waited for one of the
//! machine's. An agent that has moved by translation has all that it runs translated anew; that time is in the first of the two.
//!
//! (`/proc/PID/task/TID/schedstat`, as the manager's sensors read it.)

use std::fs;
use std::ops::Sub;
use std::path::{Path, PathBuf};

/// What QEMU calls such a thread (`debug-threads=on`).
const NAMED: &str = "CPU ";

/// Since QEMU began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Used {
    pub(super) computed_s: f64,
    pub(super) queued_s: f64,
}

/// What was used meanwhile.
impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { computed_s: self.computed_s - before.computed_s, queued_s: self.queued_s - before.queued_s }
    }
}

/// That of an agent with one.
#[derive(Debug)]
pub(super) struct Processor {
    account: PathBuf,
}

impl Processor {
    /// Of the agent that a site keeps in this folder, if a QEMU of it is there.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let process = fs::read_to_string(folder.join("qemu.pid")).ok()?;
        let tasks = Path::new("/proc").join(process.trim()).join("task");
        let is_one =
            |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(NAMED));
        let task = fs::read_dir(tasks).ok()?.flatten().map(|task| task.path()).find(is_one)?;
        Some(Self { account: task.join("schedstat") })
    }

    /// Nothing once it has gone.
    pub(super) fn used(&self) -> Option<Used> {
        parse(&fs::read_to_string(&self.account).ok()?)
    }
}

/// Nanoseconds on a processor, nanoseconds in its queue, turns.
fn parse(text: &str) -> Option<Used> {
    let mut seconds = text.split_whitespace().map(|field| Some(field.parse::<u64>().ok()? as f64 / 1e9));
    Some(Used { computed_s: seconds.next()??, queued_s: seconds.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_computed_and_what_it_waited_are_told_apart() {
        assert_eq!(parse("1500000000 250000000 17\n"), Some(Used { computed_s: 1.5, queued_s: 0.25 }));
        assert_eq!(parse("1500000000\n"), None);
        assert_eq!(parse(""), None);
    }
}
