//! How the far program ended: its last words on standard error, and its exit code.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::FarEnd;

/// Bytes kept.
const KEPT: usize = 8 << 10;
/// What shells answer when there is no such program, and when it may not be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// A shared, bounded tail. It outlives the stream, so that the reader of an end of stream can ask why.
#[derive(Clone, Debug)]
pub struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: String,
    bytes: Mutex<VecDeque<u8>>,
    /// Set once: nothing more will be said.
    ended: watch::Sender<Option<Option<i32>>>,
}

impl Tail {
    /// The tail of a far program with this name.
    pub(crate) fn of(program: &str) -> Tail {
        let shared =
            Shared { program: program.to_owned(), bytes: Mutex::default(), ended: watch::Sender::new(None) };
        Tail { shared: Arc::new(shared) }
    }

    fn bytes(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.shared.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes; the oldest fall out.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let mut kept = self.bytes();
        let surplus = (kept.len() + bytes.len()).saturating_sub(KEPT);
        kept.drain(..surplus);
        kept.extend(bytes);
    }

    /// Nothing more will be said. The first call counts.
    pub(crate) fn finish(&self, exit_code: Option<i32>) {
        self.shared.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(exit_code);
            }
            first
        });
    }

    /// What there is, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut kept = self.bytes();
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }

    /// Waits until the far program is gone, as far as that can be told, or its stream dropped.
    ///
    /// When a read of the stream has returned the end of it, this returns at once.
    pub async fn ended(&self) {
        self.shared.ended.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// The far program's exit code, once it is known.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.shared.ended.borrow().flatten()
    }

    /// Why the far program ended, if it said so or its exit code does.
    #[must_use]
    pub fn verdict(&self) -> Option<FarEnd> {
        let text = self.text();
        let said = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let said = said.escape_debug().collect::<String>();
        let program = self.shared.program.clone();
        match self.exit_code() {
            Some(NOT_FOUND | NOT_EXECUTABLE) => Some(FarEnd::NoProgram { program, said }),
            Some(code @ 1..) => Some(FarEnd::Failed { program, code, said }),
            _ if said.is_empty() => None,
            _ => Some(FarEnd::Said { said }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let tail = Tail::of("x");
        for _ in 0..100 {
            tail.push(&[b'x'; 1000]);
        }
        tail.push(b"the end");
        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().ends_with("the end"));
        tail.push(&vec![b'y'; 3 * KEPT]);
        assert_eq!(tail.text(), "y".repeat(KEPT));
    }

    #[test]
    fn the_verdict_names_the_missing_program() {
        let tail = Tail::of("wandisk");
        assert_eq!(tail.verdict(), None);
        tail.push(b"first\nsh: 1: wandisk: not found\n\n");
        assert!(matches!(tail.verdict(), Some(FarEnd::Said { .. })));
        tail.finish(Some(127));
        tail.finish(Some(0));
        let said = tail.verdict().unwrap().to_string();
        assert!(said.contains("\"wandisk\" is not there") && said.contains("not found"), "{said}");
    }
}
