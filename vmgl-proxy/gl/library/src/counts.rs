//! What a program has done: told in a file of its own that `vmgl-proxy gl stat` reads.
//!
//! The file lies in `$XDG_RUNTIME_DIR/vmgl` (else `/tmp/vmgl-UID`), is named by the process, is written anew at most once a
//! second when a picture is complete, and has a line `name value` for each count.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Counts of a program.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Commands that were put on the wire.
    pub(crate) calls: u64,
    /// Times that the program waited for an answer.
    pub(crate) waits: u64,
    /// Pictures.
    pub(crate) swaps: u64,
    /// Functions that were called and are not there.
    pub(crate) unsupported: HashSet<&'static str>,
    told: Option<(Instant, u64)>,
}

/// Where programs tell what they do.
fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder).join("vmgl"),
        // SAFETY: asks for a number and cannot fail.
        _ => PathBuf::from(format!("/tmp/vmgl-{}", unsafe { libc::getuid() })),
    }
}

impl Counts {
    /// A picture is complete: tells, if that was not done just now.
    pub(crate) fn swapped(&mut self, name: &str, sent_bytes: u64) {
        self.swaps += 1;
        let now = Instant::now();
        let Some((told, swaps)) = self.told else {
            self.told = Some((now, self.swaps));
            return;
        };
        let passed = now.saturating_duration_since(told);
        if passed < EVERY {
            return;
        }
        self.told = Some((now, self.swaps));
        let milliseconds = passed.as_millis().max(1);
        let tenths = u128::from(self.swaps - swaps) * 10_000 / milliseconds;
        let text = self.text(name, sent_bytes, tenths);
        // Nobody may be reading; a program does not stop because its counts cannot be told.
        let _told = std::fs::create_dir_all(folder())
            .and_then(|()| std::fs::write(folder().join(std::process::id().to_string()), text));
    }

    fn text(&self, name: &str, sent_bytes: u64, tenths: u128) -> String {
        let mut text = format!("program {name}\n");
        let numbers =
            [("calls", self.calls), ("bytes", sent_bytes), ("waits", self.waits), ("frames", self.swaps)];
        for (what, number) in numbers {
            // Writing to a string does not fail.
            let _done = writeln!(text, "{what} {number}");
        }
        let _done = writeln!(text, "fps {}.{}", tenths / 10, tenths % 10);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn a_programs_counts_are_lines_of_a_name_and_a_value() {
        let counts = Counts { calls: 7, waits: 1, swaps: 3, ..Counts::default() };
        let text = counts.text("glxgears", 100, 599);
        assert_eq!(text, "program glxgears\ncalls 7\nbytes 100\nwaits 1\nframes 3\nfps 59.9\n");
    }
}
