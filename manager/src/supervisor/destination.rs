//! The rules of the site that an agent comes to: a part of [`super::rules`]. Pure.
//!
//! Invariants: it starts only when told [`Event::Go`], and only what came whole; whoever said "I never will start attempt x"
//! never does.

use super::event::{Action, Yield};
use super::phase::{Arrive, Attempt, End, Machine, Phase};
use super::rules::{Step, refuse};

#[cfg(doc)]
use super::event::Event;

impl Machine {
    pub(super) fn arrive(&mut self, attempt: Attempt, from: String) -> Step {
        // A late message of an attempt that is over.
        if self.gave_up == Some(attempt) || self.started == Some(attempt) {
            return Err(refuse("this move is over".to_owned(), "begin a new one"));
        }
        match &self.phase {
            Phase::Arriving { attempt: known, .. } if *known == attempt => Ok(Vec::new()),
            // Whoever moves an agent has left his earlier attempt; this one's QEMU goes first.
            Phase::Arriving { at: Arrive::Opening | Arrive::Listening, attempt: earlier, .. } => {
                self.gave_up = Some(*earlier);
                self.phase = Phase::Arriving { attempt, from, at: Arrive::Opening };
                Ok(vec![Action::Quit, Action::Listen])
            }
            Phase::Off(_) => {
                self.phase = Phase::Arriving { attempt, from, at: Arrive::Opening };
                Ok(vec![Action::Listen])
            }
            Phase::Suspended { .. } => Err(self.is_suspended()),
            _ => Err(refuse(
                "the agent runs at the other site already".to_owned(),
                "see `snowbird status` there",
            )),
        }
    }

    /// What it leads to is read from [`Machine::verdict`].
    pub(super) fn go(&mut self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, at, .. } if *here == attempt => match at {
                Arrive::Opening => Vec::new(),
                Arrive::Listening => vec![Action::Check],
                Arrive::Starting => vec![Action::Run],
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
            Phase::Arriving { attempt: here, at: Arrive::Opening | Arrive::Listening, .. }
                if *here == attempt =>
            {
                self.never(attempt, "the other site gave the move up".to_owned())
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
    pub(super) fn never(&mut self, attempt: Attempt, why: String) -> Vec<Action> {
        self.gave_up = Some(attempt);
        if let Phase::Arriving { from, .. } = &self.phase {
            self.phase = Phase::Off(End::Left { to: from.clone() });
        }
        self.failure = Some(why);
        vec![Action::Quit]
    }

    pub(super) fn destination_went(&mut self, action: &Action, result: Result<Yield, String>) -> Vec<Action> {
        let Phase::Arriving { attempt, at, .. } = &mut self.phase else { return Vec::new() };
        let attempt = *attempt;
        match (&*at, action, result) {
            (Arrive::Opening, Action::Listen, Ok(_)) => {
                *at = Arrive::Listening;
                Vec::new()
            }
            (Arrive::Opening, Action::Listen, Err(why)) => self.never(attempt, why),
            // It is started only when all was sent: what is not here by now does not come.
            (Arrive::Listening, Action::Check, Ok(Yield::NeverWill)) => {
                self.never(attempt, "not all of its memory had come".to_owned())
            }
            (Arrive::Listening, Action::Check, Ok(_)) => {
                *at = Arrive::Starting;
                self.started = Some(attempt);
                vec![Action::Run]
            }
            (Arrive::Starting, Action::Run, Ok(_)) => {
                self.phase = Phase::Running;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}
