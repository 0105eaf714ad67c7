//! What a supervisor does next: events in, actions out ([`super::phase`] has the words). Pure; the shell ([`super::shell`]) carries actions out, one after the
//! other, and tells how each went.
//!
//! The whole of [`Machine`] is the journal: the shell stores it, durably, before the first action of a step. Each side of a
//! migration has one; they share nothing but what they say to each other, and the disk, which lets one site write.
//!
//! ```text
//! source       Running → Presending → Opening → Copying → Preparing → Continuing → Committing → Asking → Off (left)
//!                  ↑         any failure up to Continuing: Aborting ───┐              │ the disk   │ "I never will"
//!                  └───────────────────────────────────────────────────┴──────────────┘ is here    ↓
//!                  └──────────────────────────────────────────────────────────────────────── Returning
//! destination  Off → Opening → Listening → Starting → Running;   Opening, Listening → Off (gave up)
//! ```
//! Suspended agents are in [`super::suspend`].
//!
//! Invariants (M1-M4): a machine runs only by [`Action::Run`], which asks the disk first; nobody commits but after QEMU said
//! `completed` on the source; a destination starts only when told `Go`, which is only said after the commit; whoever said "I
//! never will start attempt x" never does; a source's memory is kept until the destination is known to have started.

use super::phase::{Action, Arrive, Attempt, End, Event, Leave, Machine, Phase, Refusal, Yield};

pub(super) type Step = Result<Vec<Action>, Refusal>;

impl Machine {
    /// Takes an event.
    ///
    /// # Errors
    /// A [`Refusal`] of a wish; nothing has changed then.
    pub fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Launch => self.launch(),
            Event::PowerDown => self.power_down(),
            Event::Kill => self.kill(),
            Event::Migrate { attempt, to } => self.migrate(attempt, to),
            Event::Cancel => self.cancel(),
            Event::Arrive { attempt, from } => self.arrive(attempt, from),
            Event::Go { attempt } => Ok(self.go(attempt)),
            Event::GiveUp { attempt } => Ok(self.give_up(attempt)),
            Event::Went { action, result } => Ok(self.went(&action, result)),
            Event::Ended { orderly } => Ok(self.ended(orderly)),
            Event::IoPaused { no_space } => Ok(self.io_paused(no_space)),
            Event::Recovered { alive } => Ok(self.recovered(alive)),
            Event::Stopped => Ok(match self.phase {
                Phase::Leaving { at: Leave::Copying, .. } => vec![Action::Quiesce],
                _ => Vec::new(),
            }),
            Event::PreSwitchover => Ok(self.pre_switchover()),
            Event::Completed => Ok(self.completed()),
            Event::CopyFailed { why } => Ok(self.copy_failed(why)),
            Event::Late => Ok(self.copy_failed("it took too long".to_owned())),
            Event::Again => Ok(self.again()),
            Event::Suspend { id } => self.suspend(id),
            Event::Resume { attempt, force } => self.resume(attempt, force),
            Event::ResumeAt { attempt, to, force } => self.resume_at(attempt, to, force),
            Event::Saved { image } => Ok(self.saved(image)),
            Event::Loaded { attempt } => Ok(self.loaded(attempt)),
        }
    }

    fn launch(&mut self) -> Step {
        match &self.phase {
            Phase::Off(End::Left { to }) => Err(refuse(
                format!("the agent is at site {to:?}"),
                "launch it there, or `wandisk move` its disk here first",
            )),
            Phase::Off(_) => {
                self.phase = Phase::Launching;
                Ok(vec![Action::Launch])
            }
            Phase::Paused { .. } => Ok(vec![Action::Run]),
            Phase::Launching | Phase::Running => Ok(Vec::new()),
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                Err(self.is_suspended())
            }
        }
    }

    fn power_down(&mut self) -> Step {
        match self.phase {
            Phase::Running => Ok(vec![Action::PowerDown]),
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspended { .. } => Err(self.is_suspended()),
            _ => Err(refuse("the agent does not run here".to_owned(), "see `snowbird status`")),
        }
    }

    fn kill(&mut self) -> Step {
        match &self.phase {
            Phase::Launching | Phase::Running | Phase::Paused { .. } => {
                self.phase = Phase::Off(End::Killed);
                Ok(vec![Action::Quit])
            }
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                self.phase = Phase::Off(End::Killed);
                Ok(vec![Action::Quit, Action::Sweep { keep: None }])
            }
            Phase::Arriving { attempt, at: Arrive::Opening | Arrive::Listening, .. } => {
                let attempt = *attempt;
                Ok(self.never(attempt, "it was killed here before all had come".to_owned()))
            }
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Off(_) => Err(refuse("the agent does not run here".to_owned(), "see `snowbird status`")),
        }
    }

    fn migrate(&mut self, attempt: Attempt, to: String) -> Step {
        match self.phase {
            Phase::Running => {
                self.failure = None;
                let (at, alive, image) = (Leave::Presending, true, None);
                self.phase = Phase::Leaving { attempt, to: to.clone(), at, alive, image };
                Ok(vec![Action::Presend { to }])
            }
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspended { .. } => Err(self.is_suspended()),
            _ => Err(refuse(
                "the agent does not run here".to_owned(),
                "launch it first; see `snowbird status`",
            )),
        }
    }

    fn cancel(&mut self) -> Step {
        match &self.phase {
            Phase::Leaving {
                at:
                    Leave::Presending
                    | Leave::Opening
                    | Leave::Copying
                    | Leave::Preparing
                    | Leave::Continuing { .. },
                ..
            } => Ok(self.abort("it was cancelled".to_owned())),
            Phase::Leaving { at: Leave::Aborting { .. }, .. } => Ok(Vec::new()),
            Phase::Suspending { .. } => Ok(self.not_suspended("it was cancelled".to_owned())),
            Phase::Leaving { to, .. } => Err(refuse(
                format!("the agent has been handed over to site {to:?}"),
                "wait until it has started there; then move it back",
            )),
            _ => Err(refuse("the agent is not being moved from here".to_owned(), "see `snowbird status`")),
        }
    }

    fn arrive(&mut self, attempt: Attempt, from: String) -> Step {
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
    fn go(&mut self, attempt: Attempt) -> Vec<Action> {
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

    fn give_up(&mut self, attempt: Attempt) -> Vec<Action> {
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
    fn never(&mut self, attempt: Attempt, why: String) -> Vec<Action> {
        self.gave_up = Some(attempt);
        if let Phase::Arriving { from, .. } = &self.phase {
            self.phase = Phase::Off(End::Left { to: from.clone() });
        }
        self.failure = Some(why);
        vec![Action::Quit]
    }

    fn went(&mut self, action: &Action, result: Result<Yield, String>) -> Vec<Action> {
        let waits = matches!(self.phase, Phase::Paused { again: true, .. });
        match &self.phase {
            Phase::Launching => match (action, result) {
                (Action::Launch, Ok(_)) => {
                    self.phase = Phase::Running;
                    vec![Action::Run]
                }
                (Action::Launch, Err(why)) => {
                    self.phase = Phase::Off(End::Failed { why });
                    vec![Action::Quit]
                }
                _ => Vec::new(),
            },
            Phase::Running | Phase::Paused { .. } => match (action, result) {
                (Action::Run, Ok(_)) => {
                    self.phase = Phase::Running;
                    Vec::new()
                }
                (Action::Run, Err(why)) => {
                    self.phase = Phase::Paused { why, again: true };
                    vec![Action::Wait]
                }
                (Action::AskDisk, Ok(_)) if waits => vec![Action::Run],
                (Action::AskDisk, Err(why)) if waits => {
                    self.phase = Phase::Paused { why, again: true };
                    vec![Action::Wait]
                }
                _ => Vec::new(),
            },
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                self.suspended_went(action, result)
            }
            Phase::Leaving { .. } => self.source_went(action, result),
            Phase::Arriving { .. } => self.destination_went(action, result),
            Phase::Off(_) => Vec::new(),
        }
    }

    fn destination_went(&mut self, action: &Action, result: Result<Yield, String>) -> Vec<Action> {
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

    fn source_went(&mut self, action: &Action, result: Result<Yield, String>) -> Vec<Action> {
        let Phase::Leaving { attempt, to, at, alive, image } = &mut self.phase else { return Vec::new() };
        let (attempt, to, alive) = (*attempt, to.clone(), *alive);
        match (&*at, action, result) {
            (Leave::Presending, Action::Presend { .. }, Ok(_)) => {
                *at = Leave::Opening;
                vec![Action::Open { attempt, to }]
            }
            (Leave::Opening, Action::Open { .. }, Ok(_)) => {
                *at = Leave::Copying;
                match image {
                    Some(image) => vec![Action::Carry { attempt, to, image: image.clone() }],
                    None => vec![Action::Copy { to }],
                }
            }
            (Leave::Preparing, Action::Prepare { .. }, Ok(Yield::Token(token))) => {
                if image.is_some() {
                    *at = Leave::Committing { token: token.clone() };
                    return vec![Action::Commit { token }];
                }
                *at = Leave::Continuing { token };
                vec![Action::Continue]
            }
            (Leave::Committing { .. }, Action::Commit { .. }, Ok(Yield::StillHere)) => {
                self.abort("the disk's hand-over ended before it was committed".to_owned())
            }
            (Leave::Committing { .. }, Action::Commit { .. }, Ok(_)) => {
                *at = Leave::Asking;
                vec![Action::Go { attempt, to }]
            }
            (Leave::Asking, Action::Go { .. }, Ok(Yield::NeverWill)) => {
                *at = Leave::Returning;
                self.failure = Some(format!("site {to:?} could not start the agent"));
                vec![Action::MoveBack]
            }
            (Leave::Asking, Action::Go { .. }, Ok(_)) => {
                self.phase = Phase::Off(End::Left { to });
                vec![Action::Quit, Action::Sweep { keep: None }]
            }
            (Leave::Returning, Action::MoveBack, Ok(given)) => {
                if let (Some(image), Yield::Epoch(epoch)) = (image, given) {
                    image.epoch = epoch;
                }
                self.settle_here();
                if alive { vec![Action::Run] } else { vec![Action::Quit] }
            }
            (Leave::Aborting { freed: false }, Action::Free, Ok(_)) => {
                *at = Leave::Aborting { freed: true };
                if alive {
                    return vec![Action::StopCopy, Action::Run, Action::GiveUp { attempt, to }];
                }
                self.settle_here();
                vec![Action::Quit, Action::GiveUp { attempt, to }]
            }
            (Leave::Aborting { freed: true }, Action::Run, Ok(_)) => {
                self.settle_here();
                Vec::new()
            }
            (
                Leave::Presending
                | Leave::Opening
                | Leave::Copying
                | Leave::Preparing
                | Leave::Continuing { .. },
                Action::Presend { .. }
                | Action::Open { .. }
                | Action::Copy { .. }
                | Action::Carry { .. }
                | Action::Prepare { .. }
                | Action::Continue,
                Err(why),
            ) => self.abort(why),
            // Whatever must be done and could not be is tried again.
            (Leave::Committing { .. }, Action::Commit { .. }, Err(_))
            | (Leave::Asking, Action::Go { .. }, Err(_))
            | (Leave::Returning, Action::MoveBack, Err(_))
            | (Leave::Aborting { freed: false }, Action::Free, Err(_))
            | (Leave::Aborting { freed: true }, Action::Run, Err(_)) => vec![Action::Retry],
            _ => Vec::new(),
        }
    }

    /// Only before the commit.
    pub(super) fn abort(&mut self, why: String) -> Vec<Action> {
        if let Phase::Leaving { at, .. } = &mut self.phase {
            *at = Leave::Aborting { freed: false };
            self.failure = Some(why);
            return vec![Action::Free];
        }
        Vec::new()
    }

    /// The disk is here again, and so is the agent, unless its QEMU died.
    fn settle_here(&mut self) {
        if let Phase::Leaving { alive, image, .. } = &self.phase {
            let why = || "its QEMU ended while it was being moved".to_owned();
            self.phase = match image {
                Some(image) => Phase::Suspended { image: image.clone() },
                None if *alive => Phase::Running,
                None => Phase::Off(End::Failed { why: why() }),
            };
        }
    }

    fn pre_switchover(&mut self) -> Vec<Action> {
        match &mut self.phase {
            Phase::Leaving { at: at @ Leave::Copying, to, .. } => {
                *at = Leave::Preparing;
                vec![Action::Prepare { to: to.clone() }]
            }
            _ => Vec::new(),
        }
    }

    fn completed(&mut self) -> Vec<Action> {
        let Phase::Leaving { at, .. } = &mut self.phase else { return Vec::new() };
        let Leave::Continuing { token } = at else { return Vec::new() };
        let token = token.clone();
        *at = Leave::Committing { token: token.clone() };
        vec![Action::Commit { token }]
    }

    fn copy_failed(&mut self, why: String) -> Vec<Action> {
        match self.phase {
            Phase::Leaving { at: Leave::Copying | Leave::Preparing | Leave::Continuing { .. }, .. } => {
                self.abort(why)
            }
            Phase::Suspending { .. } => self.not_suspended(why),
            _ => Vec::new(),
        }
    }

    fn ended(&mut self, orderly: bool) -> Vec<Action> {
        let end = || {
            if orderly { End::ShutDown } else { End::Failed { why: "its QEMU ended by itself".to_owned() } }
        };
        match &mut self.phase {
            Phase::Off(_) => Vec::new(),
            Phase::Launching | Phase::Running | Phase::Paused { .. } => {
                self.phase = Phase::Off(end());
                vec![Action::Quit]
            }
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                self.suspended_ended(end())
            }
            // There was none.
            Phase::Leaving { image: Some(_), .. } => Vec::new(),
            Phase::Leaving { at, alive, .. } => {
                *alive = false;
                match at {
                    // All that QEMU had is at the other site, or the disk is on its way: the way ends as it would have.
                    Leave::Committing { .. } | Leave::Asking | Leave::Returning => Vec::new(),
                    Leave::Aborting { freed: false } => Vec::new(),
                    Leave::Aborting { freed: true } => {
                        self.phase = Phase::Off(end());
                        vec![Action::Quit]
                    }
                    _ => self.abort("its QEMU ended".to_owned()),
                }
            }
            Phase::Arriving { attempt, at: Arrive::Opening | Arrive::Listening, .. } => {
                let attempt = *attempt;
                self.never(attempt, "QEMU ended before all had come".to_owned())
            }
            Phase::Arriving { at: Arrive::Starting, .. } => {
                self.phase = Phase::Off(end());
                vec![Action::Quit]
            }
        }
    }

    fn io_paused(&mut self, no_space: bool) -> Vec<Action> {
        if self.phase != Phase::Running {
            // A move goes on: the request is kept, and is asked again where the agent runs next.
            return Vec::new();
        }
        let why = if no_space {
            "there is no room for its disk at this site: make some"
        } else {
            "a part of its disk cannot be had now"
        };
        self.phase = Phase::Paused { why: why.to_owned(), again: !no_space };
        if no_space { Vec::new() } else { vec![Action::Wait] }
    }

    pub(super) fn again(&mut self) -> Vec<Action> {
        match &self.phase {
            Phase::Paused { again: true, .. } => vec![Action::AskDisk],
            Phase::Suspending { .. } | Phase::Resuming { .. } => self.suspended_again(),
            Phase::Leaving { attempt, to, at, .. } => match at {
                Leave::Committing { token } => vec![Action::Commit { token: token.clone() }],
                Leave::Asking => vec![Action::Go { attempt: *attempt, to: to.clone() }],
                Leave::Returning => vec![Action::MoveBack],
                Leave::Aborting { freed: false } => vec![Action::Free],
                Leave::Aborting { freed: true } => {
                    vec![Action::StopCopy, Action::Run, Action::GiveUp { attempt: *attempt, to: to.clone() }]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn recovered(&mut self, alive: bool) -> Vec<Action> {
        if matches!(self.phase, Phase::Off(_)) {
            // It was to end, and perhaps has not.
            return vec![Action::Quit, Action::Sweep { keep: None }];
        }
        if self.phase.image().is_some() || matches!(self.phase, Phase::Suspending { .. }) {
            return self.suspended_recovered(alive);
        }
        if !alive && self.phase != Phase::Launching {
            let actions = self.ended(false);
            // What was under way when the earlier supervisor died has nobody who does it.
            return if actions.is_empty() { self.again() } else { actions };
        }
        match &self.phase {
            Phase::Launching => vec![Action::Quit, Action::Launch],
            // (The image that it came from may still be here.)
            Phase::Running => vec![Action::Run, Action::Sweep { keep: None }],
            Phase::Leaving {
                at:
                    Leave::Presending
                    | Leave::Opening
                    | Leave::Copying
                    | Leave::Preparing
                    | Leave::Continuing { .. },
                ..
            } => self.abort("its supervisor was restarted".to_owned()),
            Phase::Arriving { attempt, at: Arrive::Opening, .. } => {
                let attempt = *attempt;
                self.never(attempt, "its supervisor was restarted".to_owned())
            }
            Phase::Arriving { at: Arrive::Starting, .. } => vec![Action::Run],
            _ => self.again(),
        }
    }
}

pub(super) fn refuse(message: String, hint: &'static str) -> Refusal {
    Refusal { message, hint }
}

pub(super) fn moving() -> Refusal {
    refuse("the agent is being moved".to_owned(), "wait for it, or `snowbird cancel` the move")
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
