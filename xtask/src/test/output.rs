//! Where a step's words go: to the terminal as they come, or into memory until the step has ended.
//!
//! Invariant: what a step says is shown whole and in one piece; words of two steps never mix.

use super::tally::Tally;

/// What one step says.
#[derive(Debug)]
pub(super) struct Output {
    live: bool,
    kept: String,
    tally: Tally,
}

impl Output {
    /// `live`: everything is shown as it comes; at most one step at a time may.
    pub(super) fn new(live: bool) -> Self {
        Self { live, kept: String::new(), tally: Tally::default() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Shows or keeps one line, and counts the tests that it sums up.
    pub(super) fn line(&mut self, line: &str) {
        self.count(line);
        if self.live {
            println!("{line}");
        } else {
            self.kept.extend([line, "\n"]);
        }
    }

    /// All lines of a text.
    pub(super) fn text(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Counts the tests that a line sums up which was shown already.
    pub(super) fn count(&mut self, line: &str) {
        self.tally.read(line);
    }

    /// What was not shown yet, and the tests.
    pub(super) fn end(self) -> (String, Tally) {
        (self.kept, self.tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_and_its_tests_are_counted() {
        let mut output = Output::new(false);
        output.line("test one ... ok");
        output.text("two\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured");
        let (kept, tally) = output.end();
        assert_eq!(kept.lines().count(), 3);
        assert_eq!((tally.total(), kept.ends_with("measured\n")), (3, true));
    }
}
