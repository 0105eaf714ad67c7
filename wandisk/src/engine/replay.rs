//! A known trace while it is replayed: which of its chunks comes next, and what else may be guessed beside it.
//!
//! What somebody waits for goes first, by its class on the wire. Behind it comes the trace in the order of first use, from
//! where the reader is: who meets a chunk that has not been asked for is further on, or in another of the runs that the
//! trace is made of, so the replay goes on behind that chunk and comes back to what it left out. Last come neighbours,
//! which are guessed of where readers were. A chunk that the trace names says nothing new of its neighbourhood: what was
//! wanted behind it last time is named, too. So no neighbours are brought for it, and for others none until the trace has
//! come, unless most of what is wanted is not in it: then it is another reader's, and says nothing of this one.
//!
//! Pure. Invariant: each chunk is given once; memory is bounded by the longest trace.

/// So many wanted chunks that the trace does not name are no sign yet that it is another reader's.
const FEW: u64 = 4;

/// What may be brought ahead now that a chunk is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// Nothing: the trace says what comes behind it.
    Nothing,
    /// What a reader in order wants next, and no neighbours yet: the trace comes first.
    InOrder,
    /// That, and neighbours.
    All,
}

/// A place in the trace.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    chunk: u64,
    /// It was given, or is not to be.
    given: bool,
    /// It was wanted when it was here.
    met: bool,
}

/// The trace and how far it is.
#[derive(Debug, Default)]
pub(super) struct Replay {
    order: Vec<Place>,
    /// Places by their chunk.
    by_chunk: Vec<u32>,
    /// The next place; all before `all_given_to` are given.
    next: usize,
    all_given_to: usize,
    comes: bool,
    /// Chunks wanted meanwhile that the trace names, and others.
    named: u64,
    others: u64,
}

impl Replay {
    /// Of chunks in the order in which they were first wanted. One that is named twice counts where it is first.
    pub(super) fn of(chunks: Vec<u64>) -> Replay {
        let mut order: Vec<Place> =
            chunks.into_iter().map(|chunk| Place { chunk, ..Place::default() }).collect();
        let mut by_chunk: Vec<u32> = (0..).take(order.len()).collect();
        // Stable: of two places of one chunk the first comes first.
        by_chunk.sort_by_key(|place| order[*place as usize].chunk);
        by_chunk.dedup_by(|later, first| {
            let twice = order[*later as usize].chunk == order[*first as usize].chunk;
            order[*later as usize].given |= twice;
            twice
        });
        Replay { order, by_chunk, comes: true, ..Replay::default() }
    }

    fn place(&self, chunk: u64) -> Option<usize> {
        let found = self.by_chunk.binary_search_by_key(&chunk, |place| self.order[*place as usize].chunk);
        found.ok().map(|at| self.by_chunk[at] as usize)
    }

    /// The chunk to ask for next.
    pub(super) fn next(&mut self) -> Option<u64> {
        while self.order.get(self.all_given_to)?.given {
            self.all_given_to += 1;
        }
        let from = self.next.max(self.all_given_to);
        let ahead = self.order.iter().skip(from).position(|place| !place.given).map(|at| from + at);
        let at = ahead.unwrap_or(self.all_given_to);
        self.order[at].given = true;
        self.next = at + 1;
        Some(self.order[at].chunk)
    }

    /// A chunk is wanted, and is missing (or on its way) or here.
    pub(super) fn wanted(&mut self, chunk: u64, missing: bool) -> Guess {
        let Some(at) = self.place(chunk).filter(|at| !self.order[*at].met) else {
            if !self.comes {
                return Guess::All;
            }
            self.others += u64::from(missing);
            return if self.others > self.named.max(FEW) { Guess::All } else { Guess::InOrder };
        };
        if missing && !self.comes {
            // It could not be had, or was given up since.
            return Guess::All;
        }
        let place = &mut self.order[at];
        if !place.given {
            // Whoever wants it has it brought.
            place.given = true;
            self.next = at + 1;
        }
        if !missing {
            place.met = true;
            self.named += 1;
        }
        Guess::Nothing
    }

    /// All of it has come.
    pub(super) fn came(&mut self) {
        self.comes = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(replay: &mut Replay) -> Vec<u64> {
        std::iter::from_fn(|| replay.next()).collect()
    }

    #[test]
    fn a_trace_comes_in_its_order_and_each_chunk_once() {
        let mut replay = Replay::of(vec![7, 3, 9, 3, 7, 1]);
        assert_eq!(all(&mut replay), [7, 3, 9, 1]);
        assert_eq!(replay.next(), None);
        assert_eq!(Replay::of(Vec::new()).next(), None);
        assert_eq!(Replay::default().next(), None);
    }

    #[test]
    fn a_replay_goes_on_where_its_reader_is_and_comes_back_to_what_it_left_out() {
        let mut replay = Replay::of(vec![50, 40, 30, 20, 10, 0]);
        assert_eq!(replay.next(), Some(50));
        assert_eq!(replay.wanted(20, true), Guess::Nothing);
        assert_eq!(replay.next(), Some(10));
        // On its way already: the reader is no further than the replay.
        assert_eq!(replay.wanted(50, true), Guess::Nothing);
        assert_eq!(all(&mut replay), [0, 40, 30]);
    }

    #[test]
    fn a_reader_whose_chunk_is_here_does_not_move_it() {
        let mut replay = Replay::of(vec![5, 4, 3, 2]);
        assert_eq!(replay.next(), Some(5));
        assert_eq!(replay.wanted(5, false), Guess::Nothing);
        assert_eq!(all(&mut replay), [4, 3, 2]);
    }

    #[test]
    fn what_a_trace_names_makes_nothing_else_come_be_it_here_or_on_its_way() {
        let mut replay = Replay::of((0..40).collect());
        for chunk in 0..40 {
            replay.next();
            assert_eq!(replay.wanted(chunk, true), Guess::Nothing);
            assert_eq!(replay.wanted(chunk, false), Guess::Nothing);
        }
    }

    #[test]
    fn neighbours_of_others_wait_until_the_trace_has_come() {
        let mut replay = Replay::of(vec![1, 2, 3]);
        assert_eq!(replay.wanted(100, true), Guess::InOrder);
        assert_eq!(all(&mut replay), [1, 2, 3]);
        assert_eq!(replay.wanted(101, true), Guess::InOrder, "it is on its way");
        replay.came();
        assert_eq!(replay.wanted(102, true), Guess::All);
        assert_eq!(replay.wanted(2, false), Guess::Nothing, "what came of it is still its own");
    }

    #[test]
    fn a_trace_of_another_reader_holds_nothing_up() {
        let mut replay = Replay::of((0..100).collect());
        for chunk in 1000..1000 + FEW {
            assert_eq!(replay.wanted(chunk, true), Guess::InOrder);
        }
        assert_eq!(replay.wanted(2000, true), Guess::All);
        for chunk in 0..=FEW {
            assert_eq!(replay.wanted(chunk, false), Guess::Nothing);
        }
        assert_eq!(replay.wanted(2001, false), Guess::InOrder, "it does what the trace says again");
    }

    #[test]
    fn a_chunk_is_the_traces_once_and_one_that_could_not_be_had_is_not() {
        let mut replay = Replay::of(vec![1, 2]);
        replay.wanted(1, false);
        replay.came();
        assert_eq!(replay.wanted(1, true), Guess::All, "it was given up since");
        assert_eq!(replay.wanted(2, true), Guess::All, "it did not come");
        assert_eq!(Replay::default().wanted(1, true), Guess::All);
    }
}
