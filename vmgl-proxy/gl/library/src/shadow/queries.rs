//! What is known of the results of query objects.
//!
//! A query's result is asked for in two steps, so that the renderer never stalls for it: whether it is there, and then what
//! it is. Here is how far that has come, for each query's last use.
//!
//! Invariant: an answer about an earlier use of a query is never taken for one about a later use.
//! Invariant: a stream that ended owes no answer.

use std::collections::HashMap;

use super::State;

/// How far a question has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Whether the result is there was asked, by this reply.
    Availability(u32),
    /// What it is was asked, by this reply.
    Result(u32),
    /// It is here.
    Known(u64),
}

impl Step {
    /// The reply that has not been looked at.
    fn reply(self) -> Option<u32> {
        match self {
            Self::Availability(reply) | Self::Result(reply) => Some(reply),
            Self::Known(_) => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct QueryResults {
    /// Of queries that were asked about since their last use, and the picture in which the program asked last.
    asked: HashMap<u32, (Step, u64)>,
    /// Answers about uses that are over. Not more than there were questions since they were last taken.
    stale: Vec<u32>,
}

impl QueryResults {
    /// How far the questions about this query have come; in which picture the last was.
    pub(crate) fn get(&self, id: u32) -> Option<(Step, u64)> {
        self.asked.get(&id).copied()
    }

    /// The program asks in this picture, and the questions have come so far.
    pub(crate) fn set(&mut self, id: u32, step: Step, picture: u64) {
        self.asked.insert(id, (step, picture));
    }

    /// A query is used anew, or is no more.
    pub(super) fn begin(&mut self, id: u32) {
        let reply = self.asked.remove(&id).and_then(|(step, _)| step.reply());
        self.stale.extend(reply);
    }

    /// Replies that nobody will look for.
    pub(crate) fn stale(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.stale)
    }

    /// The renderer that was asked is gone, or the context is: replies that nobody will look for.
    pub(crate) fn give_up(&mut self) -> Vec<u32> {
        self.stale.extend(self.asked.values().filter_map(|(step, _)| step.reply()));
        self.asked.retain(|_, (step, _)| step.reply().is_none());
        self.stale()
    }
}

impl State {
    /// What a query is for that has begun and ended, so that it has a result, or will have one.
    pub(crate) fn ended_query(&self, id: u32) -> Option<u32> {
        let goes_on = self.queries.values().any(|on| *on == id);
        self.query_targets.get(&id).copied().filter(|_| !goes_on)
    }
}

#[cfg(test)]
mod tests {
    use super::{QueryResults, Step};

    #[test]
    fn another_use_of_a_query_leaves_the_answer_of_the_one_before_to_nobody() {
        let mut results = QueryResults::default();
        results.set(1, Step::Availability(7), 0);
        results.set(2, Step::Known(5), 0);
        results.begin(1);
        results.begin(2);
        assert_eq!((results.get(1), results.get(2)), (None, None));
        assert_eq!(results.stale(), [7]);
        assert!(results.stale().is_empty());
    }

    #[test]
    fn a_renderer_that_is_gone_owes_nothing_and_what_it_said_stays() {
        let mut results = QueryResults::default();
        results.set(1, Step::Result(7), 3);
        results.set(2, Step::Known(5), 3);
        assert_eq!(results.give_up(), [7]);
        assert_eq!((results.get(1), results.get(2)), (None, Some((Step::Known(5), 3))));
    }
}
