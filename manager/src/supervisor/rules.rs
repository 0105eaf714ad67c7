//! What a supervisor does next: events in, actions out ([`super::phase`] and [`super::event`] have the words). Pure; the shell
//! ([`super::shell`]) carries actions out, one after the other, and tells how each went.
//!
//! The whole of [`Machine`] is the journal: the shell stores it, durably, before the first action of a step. Each side of a
//! migration has one; they share nothing but what they say to each other, and the disk, which lets one site write.
//!
//! ```text
//! source       Running → Presending → Opening → Copying → Switching → Committing → Asking → Off (left)
//!                  ↑       any failure up to Switching: Aborting ───┐      │ the disk   │ "I never will"
//!                  └────────────────────────────────────────────────┴──────┘ is here    ↓
//!                  └──────────────────────────────────────────────────────────────── Returning
//! destination  Off → Opening → Listening → Starting → Running;   Opening, Listening → Off (gave up, or not heard of)
//! ```
//! Here is what an agent that stays somewhere does, and who answers which event; the two sides of a move are in
//! [`super::source`] and [`super::destination`], suspended agents in [`super::suspend`].
//!
//! Invariants (M1-M4): a machine runs only by [`Action::Run`], which asks the disk first; nobody commits but after QEMU said
//! `completed` on the source and the other site has the whole table; a destination starts only when told `Go`, which is only said once the disk is released; whoever said "I
//! never will start attempt x" never does; a source's memory is kept until the destination is known to have started.

use super::event::{Action, Event, Yield};
use super::phase::{Arrive, End, Leave, Machine, Phase, Refusal};
use super::why::Why;
use crate::agent::BootFile;

pub(super) type Step = Result<Vec<Action>, Refusal>;

impl Machine {
    /// Takes an event.
    ///
    /// # Errors
    /// A [`Refusal`] of a wish; nothing has changed then.
    pub fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Launch => self.launch(),
            Event::LaunchHere => self.launch_here(),
            Event::PowerDown => self.power_down(),
            Event::Kill => self.kill(),
            Event::Cd { file, force } => self.change_cd(file, force),
            Event::Migrate { attempt, to } => self.migrate(attempt, to),
            Event::Cancel => self.cancel(),
            Event::Arrive { attempt, from, patience_s } => self.arrive(attempt, from, patience_s),
            Event::Unheard { attempt } => Ok(self.unheard(attempt)),
            Event::Overdue { attempt } => Ok(self.overdue(attempt)),
            Event::Go { attempt } => Ok(self.go(attempt)),
            Event::GiveUp { attempt } => Ok(self.give_up(attempt)),
            Event::Went { action, result } => Ok(self.went(&action, result)),
            Event::Ended { orderly } => Ok(self.ended(orderly)),
            Event::IoPaused { no_space } => Ok(self.io_paused(no_space)),
            Event::KeeperEnded => Ok(self.keeper_ended()),
            Event::Recovered { alive } => Ok(self.recovered(alive)),
            Event::Stopped => Ok(match self.phase {
                Phase::Leaving { at: Leave::Copying, attempt, .. } => vec![Action::Quiesce { attempt }],
                _ => Vec::new(),
            }),
            Event::PreSwitchover => Ok(self.pre_switchover()),
            Event::Completed => Ok(self.completed()),
            Event::CopyFailed { why } => Ok(self.copy_failed(why)),
            Event::Late => Ok(self.copy_failed("it took too long")),
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
                "launch it there; `snowbird launch --here` is for when that site is lost and its disk is here",
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

    /// That its disk is here was seen, and is asked again before anything runs.
    fn launch_here(&mut self) -> Step {
        if matches!(self.phase, Phase::Off(_)) {
            self.phase = Phase::Launching;
            return Ok(vec![Action::Launch]);
        }
        self.launch()
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
            Phase::Arriving { attempt, at: Arrive::Opening | Arrive::Listening { .. }, .. } => {
                let attempt = *attempt;
                Ok(self.never(attempt, "it was killed here before all had come"))
            }
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Off(_) => Err(refuse("the agent does not run here".to_owned(), "see `snowbird status`")),
        }
    }

    /// What goes over with a move, or is kept of a suspended agent, has its CD in it.
    fn change_cd(&self, file: Option<BootFile>, force: bool) -> Step {
        match &self.phase {
            Phase::Running | Phase::Paused { .. } => Ok(vec![Action::ChangeCd { file, force }]),
            Phase::Off(End::Left { to }) => {
                Err(refuse(format!("the agent is at site {to:?}"), "say it there"))
            }
            Phase::Off(_) => Ok(vec![Action::ChangeCd { file, force }]),
            Phase::Launching => Err(refuse("the agent is being launched".to_owned(), "wait for it")),
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                Err(self.is_suspended())
            }
        }
    }

    fn went(&mut self, action: &Action, result: Result<Yield, Why>) -> Vec<Action> {
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
                    self.phase = Phase::Paused { why: why.message, again: true };
                    vec![Action::Wait]
                }
                (Action::AskDisk, Ok(_)) if waits => vec![Action::Run],
                (Action::AskDisk, Err(why)) if waits => {
                    self.phase = Phase::Paused { why: why.message, again: true };
                    vec![Action::Wait]
                }
                _ => Vec::new(),
            },
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                self.suspended_went(action, result)
            }
            Phase::Leaving { .. } => self.source_went(action, result),
            Phase::Arriving { .. } => self.destination_went(action, result),
            // What is to be ended here is, however often it takes.
            Phase::Off(_) if *action == Action::Quit && result.is_err() => vec![Action::Wait],
            Phase::Off(_) => Vec::new(),
        }
    }

    fn ended(&mut self, orderly: bool) -> Vec<Action> {
        let end = || {
            if orderly { End::ShutDown } else { End::Failed { why: "its QEMU ended by itself".into() } }
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
                    _ => self.abort("its QEMU ended"),
                }
            }
            Phase::Arriving { attempt, at: Arrive::Opening | Arrive::Listening { .. }, .. } => {
                let attempt = *attempt;
                self.never(attempt, "QEMU ended before all had come")
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

    /// No request of the machine's fails by it: nothing else would have the disk attached again. A move before its commit is given up,
    /// since QEMU's last drain of the disk would wait, too; where the machine stands, the disk is attached again before it runs.
    fn keeper_ended(&mut self) -> Vec<Action> {
        let why = "the process that serves its disk ended";
        match &self.phase {
            Phase::Running | Phase::Arriving { at: Arrive::Starting, .. } => vec![Action::Run],
            Phase::Leaving { at, image: None, .. } if at.may_go_back() => self.abort(why),
            Phase::Suspending { .. } => self.not_suspended(why),
            _ => Vec::new(),
        }
    }

    pub(super) fn again(&mut self) -> Vec<Action> {
        match &self.phase {
            Phase::Paused { again: true, .. } => vec![Action::AskDisk],
            Phase::Off(_) => vec![Action::Quit],
            Phase::Suspending { .. } | Phase::Resuming { .. } => self.suspended_again(),
            Phase::Arriving { at: Arrive::Starting, .. } => vec![Action::Run],
            Phase::Leaving { attempt, to, at, .. } => match at {
                Leave::Committing { token } => {
                    vec![Action::Commit { token: token.clone(), attempt: *attempt, to: to.clone() }]
                }
                Leave::Asking => vec![Action::Go { attempt: *attempt, to: to.clone() }],
                Leave::Returning => vec![Action::MoveBack],
                Leave::Aborting { freed: false } => vec![Action::Free { attempt: *attempt }],
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
            Phase::Leaving { at, .. } if at.may_go_back() => self.abort("its supervisor was restarted"),
            Phase::Arriving { attempt, at: Arrive::Opening, .. } => {
                let attempt = *attempt;
                self.never(attempt, "its supervisor was restarted")
            }
            // Its clocks went with the earlier supervisor.
            Phase::Arriving { attempt, at: Arrive::Listening { .. }, patience_s, .. } => {
                let attempt = *attempt;
                vec![Action::Patience { attempt, for_s: *patience_s }, Action::Await { attempt }]
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

#[cfg(test)]
#[path = "rules_cases.rs"]
mod cases;
