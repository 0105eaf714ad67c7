//! The rules of suspended agents: the second half of [`super::rules`]. Pure.
//!
//! ```text
//! Running, Paused → Suspending (Writing) → Suspended → Resuming (Loading) → Resuming (Starting) → Running
//!                        ↓ failed              ↑            │ failed
//!                   Suspending (Undoing)       ├────────────┘
//!                        ↓                     │ failed before the commit, or "I never will"
//!                     Running                  └── Leaving, with the image → Off (left)
//! ```
//!
//! Invariants (M6): a QEMU is ended only when its image is durable and the journal names it; an image is removed only when the
//! journal says that the agent runs, here or at the other site, or that the user gave it up; once `Starting` is in the journal
//! the image is never loaded again, since the agent may have run; nothing but [`Event::Resume`] or [`Event::ResumeAt`] makes a
//! suspended agent go on.

use uuid::Uuid;

use super::event::{Action, Yield};
use super::phase::{Arrive, Attempt, End, Image, Leave, Machine, Phase, Refusal, Resume, Suspend};
use super::rules::{Step, moving, refuse};
use super::why::Why;

#[cfg(doc)]
use super::event::Event;

impl Machine {
    pub(super) fn suspend(&mut self, id: Uuid) -> Step {
        match &self.phase {
            Phase::Running | Phase::Paused { .. } => {
                self.failure = None;
                self.phase = Phase::Suspending { id, at: Suspend::Writing, alive: true };
                // (Law M7: what waits for a far chunk would hold the drain.)
                Ok(vec![Action::Quiesce { attempt: id }, Action::Save { id }])
            }
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspending { .. } | Phase::Suspended { .. } | Phase::Resuming { .. } => {
                Err(self.is_suspended())
            }
            Phase::Off(_) | Phase::Launching => {
                Err(refuse("the agent does not run here".to_owned(), "see `snowbird status`"))
            }
        }
    }

    pub(super) fn resume(&mut self, attempt: Attempt, force: bool) -> Step {
        let mut image = self.kept_image()?;
        if force {
            image.epoch = None;
        }
        self.failure = None;
        self.phase = Phase::Resuming { attempt, image: image.clone(), at: Resume::Loading };
        Ok(vec![Action::Load { attempt, image }])
    }

    pub(super) fn resume_at(&mut self, attempt: Attempt, to: String, force: bool) -> Step {
        let mut image = self.kept_image()?;
        if force {
            image.epoch = None;
        }
        self.failure = None;
        let (at, alive, image) = (Leave::Presending, false, Some(image));
        self.phase = Phase::Leaving { attempt, to: to.clone(), at, alive, image };
        Ok(vec![Action::Presend { attempt, to }])
    }

    fn kept_image(&self) -> Result<Image, Refusal> {
        match &self.phase {
            Phase::Suspended { image } => Ok(image.clone()),
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspending { .. } | Phase::Resuming { .. } => Err(self.is_suspended()),
            _ => Err(refuse("the agent is not suspended here".to_owned(), "see `snowbird status`")),
        }
    }

    /// Why it does nothing else now.
    pub(super) fn is_suspended(&self) -> Refusal {
        match self.phase {
            Phase::Suspending { .. } => {
                refuse("the agent is being suspended".to_owned(), "wait for it, or `snowbird cancel` it")
            }
            Phase::Resuming { .. } => refuse("the agent is being resumed".to_owned(), "wait for it"),
            _ => refuse(
                "the agent is suspended here".to_owned(),
                "`snowbird resume` goes on, here or with --at at another site; `snowbird kill` gives its memory up",
            ),
        }
    }

    pub(super) fn saved(&mut self, image: Image) -> Vec<Action> {
        match self.phase {
            Phase::Suspending { id, at: Suspend::Writing, .. } if id == image.id => {
                self.phase = Phase::Suspended { image };
                vec![Action::Quit, Action::Sweep { keep: Some(id) }]
            }
            // It was given up meanwhile; the file goes with the sweep that belongs to that.
            _ => Vec::new(),
        }
    }

    /// It goes on, unless its QEMU has ended.
    pub(super) fn not_suspended(&mut self, why: impl Into<Why>) -> Vec<Action> {
        match &mut self.phase {
            Phase::Suspending { at: at @ Suspend::Writing, alive: true, .. } => {
                *at = Suspend::Undoing;
                self.failure = Some(why.into());
                self.suspended_again()
            }
            Phase::Suspending { at: Suspend::Writing, alive: false, .. } => {
                let why = why.into();
                self.lost(End::Failed { why: format!("its QEMU ended while it was suspended: {why}").into() })
            }
            _ => Vec::new(),
        }
    }

    /// Memory is gone, and its image, if there is one, is no longer the agent's.
    fn lost(&mut self, end: End) -> Vec<Action> {
        self.phase = Phase::Off(end);
        vec![Action::Quit, Action::Sweep { keep: None }]
    }

    fn still_suspended(&mut self, why: impl Into<Why>) -> Vec<Action> {
        if let Phase::Resuming { image, .. } = &self.phase {
            self.phase = Phase::Suspended { image: image.clone() };
            self.failure = Some(why.into());
        }
        vec![Action::Quit]
    }

    pub(super) fn suspended_went(&mut self, action: &Action, result: Result<Yield, Why>) -> Vec<Action> {
        match (&mut self.phase, action, result) {
            (Phase::Suspending { at: Suspend::Writing, .. }, Action::Save { .. }, Err(why)) => {
                self.not_suspended(why)
            }
            (Phase::Suspending { at: Suspend::Undoing, .. }, Action::Run, Ok(_)) => {
                self.phase = Phase::Running;
                vec![Action::Sweep { keep: None }]
            }
            (Phase::Suspending { at: Suspend::Undoing, .. }, Action::Run, Err(_))
            | (Phase::Resuming { at: Resume::Starting, .. }, Action::Run, Err(_)) => vec![Action::Retry],
            // (What an earlier try says comes too late.)
            (Phase::Resuming { attempt, .. }, Action::Load { attempt: done, .. }, _) if attempt != done => {
                Vec::new()
            }
            (Phase::Resuming { at: at @ Resume::Loading, .. }, Action::Load { .. }, Ok(_)) => {
                *at = Resume::Starting;
                vec![Action::Run]
            }
            (Phase::Resuming { at: Resume::Loading, .. }, Action::Load { .. }, Err(why)) => {
                self.still_suspended(why)
            }
            (Phase::Resuming { at: Resume::Starting, .. }, Action::Run, Ok(_)) => {
                self.phase = Phase::Running;
                vec![Action::Sweep { keep: None }]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn suspended_ended(&mut self, end: End) -> Vec<Action> {
        match &mut self.phase {
            // All may have been written: whoever writes it says so, or that it was not.
            Phase::Suspending { at: Suspend::Writing, alive, .. } => {
                *alive = false;
                Vec::new()
            }
            Phase::Suspending { at: Suspend::Undoing, .. } | Phase::Resuming { at: Resume::Starting, .. } => {
                self.lost(end)
            }
            Phase::Resuming { at: Resume::Loading, .. } => {
                self.still_suspended("QEMU ended while it took the kept memory")
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn suspended_again(&self) -> Vec<Action> {
        match self.phase {
            Phase::Suspending { id, at: Suspend::Undoing, .. } => {
                vec![Action::Free { attempt: id }, Action::StopCopy, Action::Run]
            }
            Phase::Resuming { at: Resume::Starting, .. } => vec![Action::Run],
            _ => Vec::new(),
        }
    }

    /// The supervisor begins: what it did has nobody who does it.
    pub(super) fn suspended_recovered(&mut self, alive: bool) -> Vec<Action> {
        let restarted = "its supervisor was restarted";
        match &mut self.phase {
            Phase::Suspended { image } => vec![Action::Quit, Action::Sweep { keep: Some(image.id) }],
            Phase::Suspending { at, alive: was, .. } => {
                *was = alive;
                match at {
                    Suspend::Writing => self.not_suspended(restarted),
                    Suspend::Undoing if alive => self.suspended_again(),
                    Suspend::Undoing => self.lost(End::Failed { why: "its QEMU ended by itself".into() }),
                }
            }
            Phase::Resuming { at: Resume::Loading, .. } => self.still_suspended(restarted),
            Phase::Resuming { at: Resume::Starting, .. } if alive => vec![Action::Run],
            Phase::Resuming { at: Resume::Starting, .. } => {
                self.lost(End::Failed { why: "its QEMU ended just when it was resumed".into() })
            }
            Phase::Leaving {
                at: Leave::Presending | Leave::Opening | Leave::Copying | Leave::Switching { .. },
                ..
            } => self.abort(restarted),
            _ => self.again(),
        }
    }

    pub(super) fn loaded(&mut self, attempt: Attempt) -> Vec<Action> {
        match &self.phase {
            Phase::Arriving { attempt: here, at: Arrive::Listening { .. }, .. } if *here == attempt => {
                vec![Action::Loaded]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "suspend_tests.rs"]
mod tests;
