//! Whether a renderer still gets on: its sign of life is a number in a file of its own, odd while a command is carried out,
//! looked at only when the renderer has said nothing for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) file: Option<OwnedFd>,
    last: Option<u64>,
}

impl Pulse {
    /// It said something.
    pub(super) fn heard(&mut self) {
        self.last = None;
    }

    /// Whether it is at the same command as when it was looked at before, and nothing was heard between.
    pub(super) fn stands_still(&mut self) -> bool {
        let mut bytes = [0; 8];
        let read = self.file.as_ref().map(|file| rustix::io::pread(file, &mut bytes, 0));
        let Some(Ok(8)) = read else { return false };
        let now = u64::from_le_bytes(bytes);
        let before = self.last.replace(now);
        // It is even while the program, or the time of a picture, is waited for.
        before == Some(now) && now % 2 == 1
    }
}

/// Whether something is there to be heard within that time.
pub(super) fn waits(line: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let mut one = [PollFd::new(line, PollFlags::IN)];
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    match poll(&mut one, Some(&patience)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::Pulse;

    #[test]
    fn only_a_command_that_does_not_end_is_a_standstill() {
        let file = tempfile::tempfile().unwrap();
        let mut pulse = Pulse::default();
        assert!(!pulse.stands_still(), "nothing is known");
        pulse.file = Some(file.try_clone().unwrap().into());
        let mut looks = |number: u64, heard: bool| {
            file.write_all_at(&number.to_le_bytes(), 0).unwrap();
            if heard {
                pulse.heard();
            }
            pulse.stands_still()
        };
        assert!(!looks(4, false) && !looks(4, false), "it waits");
        assert!(!looks(5, false), "it has just begun");
        assert!(!looks(7, false), "it gets on");
        assert!(!looks(7, true), "it has said something");
        assert!(looks(7, false));
    }
}
