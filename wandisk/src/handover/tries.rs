//! The tries of a caller's that are over: what `prepare` and `quiesce` are told by name, and `abort` ends under that name.
//!
//! A caller that dies may leave a command behind which has not reached this keeper yet. Whoever comes after it ends what is prepared,
//! finds nothing, and goes on; then the command arrives, and would hold writes for its lease, or bound requests for as long as the disk is
//! attached. So an abort by name outdates the try: what has that name does not begin any more.
//!
//! Bounds: the newest tries are remembered, by this process only. A name that was forgotten prepares as it did, for its lease.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::keeper::Keeper;
use crate::peer::error::{Code, Refusal};

/// More callers than that do not die at a time.
const REMEMBERED: usize = 64;

/// The newest tries that were given up.
#[derive(Debug, Default)]
pub(crate) struct GivenUp(Mutex<VecDeque<Uuid>>);

impl GivenUp {
    /// This one is over.
    pub(crate) fn note(&self, name: Uuid) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(&name) {
            names.truncate(REMEMBERED - 1);
            names.push_front(name);
        }
    }

    /// Is it over?
    pub(crate) fn has(&self, name: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }
}

impl Keeper {
    /// Is the caller's try still one? (Without a name it is.)
    ///
    /// # Errors
    /// A [`Refusal`] once it was given up.
    pub(crate) fn is_not_over(&self, name: Option<Uuid>) -> Result<(), Refusal> {
        if name.is_some_and(|name| self.given_up.has(name)) {
            return Err(Refusal::new(Code::Rules, "this try was given up before it began")
                .hint("begin another one, under another name"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let given_up = GivenUp::default();
        let name = |number: usize| Uuid::from_u128(number as u128);
        for number in 0..REMEMBERED * 2 {
            given_up.note(name(number));
            given_up.note(name(number));
        }
        let known = (0..REMEMBERED * 2).filter(|number| given_up.has(name(*number)));
        assert_eq!(known.collect::<Vec<_>>(), (REMEMBERED..REMEMBERED * 2).collect::<Vec<_>>());
    }
}
