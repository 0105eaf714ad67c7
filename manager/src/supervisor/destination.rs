//! The rules of the site that an agent comes to: a part of [`super::rules`]. Pure.
//!
//! Invariants: it starts only when told [`Event::Go`], and only what came whole; whoever said "I never will start attempt x"
//! never does. A destination that hears nothing of its source, and whose disk does not come, ends by itself: the source's word that
//! it gave the move up may be lost, and a QEMU would listen for ever.

use super::event::{Action, Yield};
use super::phase::{Arrive, Attempt, End, Machine, Phase};
use super::rules::{Step, refuse};
use super::why::Why;

#[cfg(doc)]
use super::event::Event;

/// No source is silent for longer, whatever it says.
const PATIENCE_MAX_S: u64 = 3600;

impl Machine {
    pub(super) fn arrive(&mut self, attempt: Attempt, from: String, patience_s: u64) -> Step {
        let patience_s = patience_s.clamp(1, PATIENCE_MAX_S);
        let at = Arrive::Opening;
        // A late message of an attempt that is over.
        if self.gave_up == Some(attempt) || self.started == Some(attempt) {
            return Err(refuse("this move is over".to_owned(), "begin a new one"));
        }
        match &self.phase {
            Phase::Arriving { attempt: known, .. } if *known == attempt => Ok(Vec::new()),
            // Whoever moves an agent has left his earlier attempt; this one's QEMU goes first.
            Phase::Arriving { at: Arrive::Opening | Arrive::Listening { .. }, attempt: earlier, .. } => {
                self.gave_up = Some(*earlier);
                self.phase = Phase::Arriving { attempt, from, at, patience_s };
                Ok(vec![Action::Quit, Action::Listen])
            }
            Phase::Off(_) => {
                self.phase = Phase::Arriving { attempt, from, at, patience_s };
                Ok(vec![Action::Listen])
            }
            Phase::Suspended { .. } => Err(self.is_suspended()),
            _ => Err(refuse(
                "the agent runs at the other site already".to_owned(),
                "see `snowbird status` there",
            )),
        }
    }

    /// It is asked whether anything comes. (What an earlier try's clock says is nobody's.)
    pub(super) fn unheard(&self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, at: Arrive::Listening { .. }, .. } if *here == attempt => {
                vec![Action::Hark { attempt }]
            }
            _ => Vec::new(),
        }
    }

    /// Its source may say nothing more: a supervisor that died there is begun by whoever asks, and where it died after it had sent all the
    /// agent stands until then. One whose last word was lost says that it is at this no more.
    pub(super) fn overdue(&self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, from, at: Arrive::Listening { .. }, .. } if *here == attempt => {
                vec![Action::Rouse { attempt, from: from.clone() }]
            }
            _ => Vec::new(),
        }
    }

    /// What it leads to is read from [`Machine::verdict`].
    pub(super) fn go(&mut self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, at, .. } if *here == attempt => match at {
                Arrive::Opening => Vec::new(),
                Arrive::Listening { .. } => vec![Action::Check],
                // It is being done, and done again until it works.
                Arrive::Starting => Vec::new(),
            },
            _ if self.started == Some(attempt) => Vec::new(),
            // Never heard of, or over: it must stay so.
            _ => {
                self.gave_up = Some(attempt);
                Vec::new()
            }
        }
    }

    /// Was this attempt started here, or will it never be? `None`: neither is certain.
    #[must_use]
    pub fn verdict(&self, attempt: Attempt) -> Option<Yield> {
        let starting = matches!(&self.phase, Phase::Arriving { attempt: here, at: Arrive::Starting, .. } if *here == attempt);
        if self.started == Some(attempt) && !starting {
            Some(Yield::Started)
        } else if self.gave_up == Some(attempt) {
            Some(Yield::NeverWill)
        } else {
            None
        }
    }

    pub(super) fn give_up(&mut self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, at: Arrive::Opening | Arrive::Listening { .. }, .. }
                if *here == attempt =>
            {
                self.never(attempt, "the other site gave the move up")
            }
            Phase::Arriving { attempt: here, .. } if *here == attempt => Vec::new(),
            _ if self.started == Some(attempt) => Vec::new(),
            _ => {
                self.gave_up = Some(attempt);
                Vec::new()
            }
        }
    }

    /// What was to come stays where it is, and that is what is known of it here.
    pub(super) fn never(&mut self, attempt: Attempt, why: impl Into<Why>) -> Vec<Action> {
        self.gave_up = Some(attempt);
        if let Phase::Arriving { from, .. } = &self.phase {
            self.phase = Phase::Off(End::Left { to: from.clone() });
        }
        self.failure = Some(why.into());
        vec![Action::Quit]
    }

    pub(super) fn destination_went(&mut self, action: &Action, result: Result<Yield, Why>) -> Vec<Action> {
        let Phase::Arriving { attempt, at, patience_s, .. } = &mut self.phase else { return Vec::new() };
        let attempt = *attempt;
        let patience = Action::Patience { attempt, for_s: *patience_s };
        let asks = Action::Await { attempt };
        match (&*at, action, result) {
            (Arrive::Opening, Action::Listen, Ok(_)) => {
                *at = Arrive::Listening { quiet: false };
                vec![patience, asks]
            }
            (Arrive::Opening, Action::Listen, Err(why)) => self.never(attempt, why),
            // It is started only when all was sent: what is not here by now does not come.
            // Once may be between two words of its source, twice is not: it has gone, and its last word was lost.
            (Arrive::Listening { quiet: true }, Action::Hark { attempt: of }, Ok(Yield::NeverWill))
                if *of == attempt =>
            {
                self.never(attempt, "the other site was not heard of any more")
            }
            (Arrive::Listening { .. }, Action::Hark { attempt: of }, heard) if *of == attempt => {
                *at = Arrive::Listening { quiet: heard == Ok(Yield::NeverWill) };
                vec![patience]
            }
            (Arrive::Listening { .. }, Action::Check, Ok(Yield::NeverWill)) => {
                self.never(attempt, "not all of its memory had come")
            }
            (Arrive::Listening { .. }, Action::Check, Ok(_)) => {
                *at = Arrive::Starting;
                self.started = Some(attempt);
                vec![Action::Run]
            }
            (Arrive::Starting, Action::Run, Ok(_)) => {
                self.phase = Phase::Running;
                Vec::new()
            }
            // Its source may be gone for good: nobody else would let it run.
            (Arrive::Starting, Action::Run, Err(_)) => vec![Action::Retry],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::event::Event;

    #[test]
    fn a_start_that_failed_is_tried_again_though_its_source_never_asks_again() {
        let (attempt, from) = (Attempt::from_u128(1), "a".to_owned());
        let phase = Phase::Arriving { attempt, from, at: Arrive::Starting, patience_s: 60 };
        let mut there = Machine { phase, started: Some(attempt), ..Machine::default() };
        let went = |result| Event::Went { action: Action::Run, result };
        assert_eq!(there.step(went(Err("its disk does not answer".into()))), Ok(vec![Action::Retry]));
        // Whoever asks meanwhile waits for that, and begins no second one.
        assert_eq!(there.step(Event::Go { attempt }), Ok(Vec::new()));
        assert_eq!(there.verdict(attempt), None);
        assert_eq!(there.step(Event::Again), Ok(vec![Action::Run]));
        assert_eq!(there.step(went(Ok(Yield::Done))), Ok(Vec::new()));
        assert_eq!((&there.phase, there.verdict(attempt)), (&Phase::Running, Some(Yield::Started)));
    }
}
