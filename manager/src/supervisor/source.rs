//! The rules of the site that an agent leaves: a part of [`super::rules`]. Pure.
//!
//! Invariants: nobody commits but after QEMU said `completed` here, or the image was taken at the other site; memory is kept
//! until the destination is known to have started; before the commit every failure leads back, after it none does but the
//! destination's word that it never will.

use super::event::{Action, Yield};
use super::phase::{Attempt, End, Leave, Machine, Phase};
use super::rules::{Step, moving, refuse};
use super::why::Why;
use crate::control::patience_s;

/// An image is read and compared here before its first byte goes, at least so fast.
const READS_BYTES_PER_S: u64 = 20 << 20;

impl Machine {
    pub(super) fn migrate(&mut self, attempt: Attempt, to: String) -> Step {
        match self.phase {
            Phase::Running => {
                self.failure = None;
                let (at, alive, image) = (Leave::Presending, true, None);
                self.phase = Phase::Leaving { attempt, to: to.clone(), at, alive, image };
                Ok(vec![Action::Presend { attempt, to }])
            }
            Phase::Leaving { .. } | Phase::Arriving { .. } => Err(moving()),
            Phase::Suspended { .. } => Err(self.is_suspended()),
            _ => Err(refuse(
                "the agent does not run here".to_owned(),
                "launch it first; see `snowbird status`",
            )),
        }
    }

    pub(super) fn cancel(&mut self) -> Step {
        match &self.phase {
            Phase::Leaving { at, .. } if at.may_go_back() => Ok(self.abort("it was cancelled")),
            Phase::Leaving { at: Leave::Aborting { .. }, .. } => Ok(Vec::new()),
            Phase::Suspending { .. } => Ok(self.not_suspended("it was cancelled")),
            Phase::Leaving { to, .. } => Err(refuse(
                format!("the agent has been handed over to site {to:?}"),
                "wait until it has started there; then move it back",
            )),
            Phase::Arriving { from, .. } => Err(refuse(
                format!("the agent is being moved here from site {from:?}"),
                "say it there: only the site that it leaves gives a move up",
            )),
            _ => Err(refuse("the agent is not being moved from here".to_owned(), "see `snowbird status`")),
        }
    }

    pub(super) fn source_went(&mut self, action: &Action, result: Result<Yield, Why>) -> Vec<Action> {
        let Phase::Leaving { attempt, to, at, alive, image } = &mut self.phase else { return Vec::new() };
        let (attempt, to, alive) = (*attempt, to.clone(), *alive);
        match (&*at, action, result) {
            (Leave::Presending, Action::Presend { .. }, Ok(_)) => {
                *at = Leave::Opening;
                let reads_s = image.as_ref().map_or(0, |image| image.len_bytes / READS_BYTES_PER_S);
                vec![Action::Open { attempt, to, patience_s: patience_s() + reads_s }]
            }
            (Leave::Opening, Action::Open { .. }, Ok(_)) => {
                *at = Leave::Copying;
                match image {
                    Some(image) => vec![Action::Carry { attempt, to, image: image.clone() }],
                    None => vec![Action::Copy { attempt, to }],
                }
            }
            (Leave::Switching { complete, .. }, Action::Prepare { .. }, Ok(Yield::Token(token))) => {
                *at = Leave::Switching { token: Some(token), complete: *complete };
                self.commits()
            }
            (Leave::Committing { .. }, Action::Commit { .. }, Ok(Yield::StillHere)) => {
                self.abort("the disk's hand-over ended before it was committed")
            }
            (Leave::Committing { .. }, Action::Commit { .. }, Ok(_)) => {
                *at = Leave::Asking;
                vec![Action::Go { attempt, to }]
            }
            (Leave::Asking, Action::Go { .. }, Ok(Yield::NeverWill)) => {
                *at = Leave::Returning;
                self.failure = Some(format!("site {to:?} could not start the agent").into());
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
            (Leave::Aborting { freed: false }, Action::Free { .. }, Ok(_)) => {
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
                at,
                Action::Presend { .. }
                | Action::Open { .. }
                | Action::Copy { .. }
                | Action::Carry { .. }
                | Action::Prepare { .. }
                | Action::Continue,
                Err(why),
            ) if at.may_go_back() => self.abort(why),
            // Whatever must be done and could not be is tried again.
            (Leave::Committing { .. }, Action::Commit { .. }, Err(_))
            | (Leave::Asking, Action::Go { .. }, Err(_))
            | (Leave::Returning, Action::MoveBack, Err(_))
            | (Leave::Aborting { freed: false }, Action::Free { .. }, Err(_))
            | (Leave::Aborting { freed: true }, Action::Run, Err(_)) => vec![Action::Retry],
            _ => Vec::new(),
        }
    }

    /// Only before the commit.
    pub(super) fn abort(&mut self, why: impl Into<Why>) -> Vec<Action> {
        if let Phase::Leaving { at, attempt, .. } = &mut self.phase {
            *at = Leave::Aborting { freed: false };
            self.failure = Some(why.into());
            return vec![Action::Free { attempt: *attempt }];
        }
        Vec::new()
    }

    /// The disk is here again, and so is the agent, unless its QEMU died.
    fn settle_here(&mut self) {
        if let Phase::Leaving { alive, image, .. } = &self.phase {
            let why = || "its QEMU ended while it was being moved".into();
            self.phase = match image {
                Some(image) => Phase::Suspended { image: image.clone() },
                None if *alive => Phase::Running,
                None => Phase::Off(End::Failed { why: why() }),
            };
        }
    }

    pub(super) fn pre_switchover(&mut self) -> Vec<Action> {
        match &mut self.phase {
            Phase::Leaving { at: at @ Leave::Copying, attempt, to, image, .. } => {
                *at = Leave::Switching { token: None, complete: image.is_some() };
                let prepare = Action::Prepare { attempt: *attempt, to: to.clone() };
                // QEMU sends the rest by itself while the table goes.
                if image.is_some() { vec![prepare] } else { vec![Action::Continue, prepare] }
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn completed(&mut self) -> Vec<Action> {
        if let Phase::Leaving { at: Leave::Switching { complete, .. }, .. } = &mut self.phase {
            *complete = true;
        }
        self.commits()
    }

    /// As soon as all of memory is there and the disk is prepared, whichever comes last.
    fn commits(&mut self) -> Vec<Action> {
        let Phase::Leaving { at, attempt, to, .. } = &mut self.phase else { return Vec::new() };
        let Leave::Switching { token: Some(token), complete: true } = at else { return Vec::new() };
        let token = token.clone();
        *at = Leave::Committing { token: token.clone() };
        vec![Action::Commit { token, attempt: *attempt, to: to.clone() }]
    }

    pub(super) fn copy_failed(&mut self, why: impl Into<Why>) -> Vec<Action> {
        match self.phase {
            Phase::Leaving { at: Leave::Copying | Leave::Switching { .. }, .. } => self.abort(why),
            Phase::Suspending { .. } => self.not_suspended(why),
            _ => Vec::new(),
        }
    }
}
