//! Counts tests from the lines in which nextest and libtest sum up.

use std::fmt;

/// How many tests ended how.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Takes in a line of output, if it is one that sums up.
    pub(crate) fn read(&mut self, line: &str) {
        // libtest: "test result: ok. 3 passed; 0 failed; 0 ignored; …"; indented where nextest repeats
        // what a failed test said, which must not count again. nextest, indented:
        // "Summary [ 1.5s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 2 skipped".
        let nextest = line.trim_start().starts_with("Summary [");
        if !nextest && !line.starts_with("test result:") {
            return;
        }
        let Some((_, counts)) = line.split_once(if nextest { "run:" } else { ". " }) else { return };
        for part in counts.split([',', ';']) {
            let mut words = part.split_whitespace();
            let Some(count) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
            match words.next() {
                Some("passed") => self.passed += count,
                Some("failed" | "timed" | "exec") => self.failed += count,
                Some("ignored") => self.ignored += count,
                // Skipped by nextest: not chosen by the filter.
                _ => {}
            }
        }
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// All tests that ran or were ignored.
    pub(crate) fn total(&self) -> u64 {
        self.passed + self.failed + self.ignored
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} passed; {} failed; {} ignored", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_understood() {
        let mut tally = Tally::default();
        tally.read("test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.1s");
        tally.read(
            "     Summary [   1.532s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 2 skipped",
        );
        tally.read("    test result: FAILED. 0 passed; 1 failed; 0 ignored");
        tally.read("   Compiling a crate");
        assert_eq!(tally, Tally { passed: 10, failed: 3, ignored: 2 });
        assert_eq!(tally.to_string(), "10 passed; 3 failed; 2 ignored");
    }
}
