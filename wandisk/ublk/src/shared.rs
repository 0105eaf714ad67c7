//! What a device's control thread shares with those who wait for it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Step;
use crate::wake::Wakeups;

/// The steps that a control thread goes through.
const STEPS: [Step; 8] =
    [Step::Add, Step::Open, Step::Queues, Step::Start, Step::Recover, Step::Stop, Step::Join, Step::Delete];

#[derive(Debug, Default)]
struct Queues {
    wakeups: Vec<Arc<Wakeups>>,
    /// Also for queues that are yet to come.
    refuse_waits: bool,
}

/// Where the control thread is, and a handle on its queues.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    step: AtomicU8,
    queues: Mutex<Queues>,
}

impl Shared {
    /// What is being done now, or was done last.
    pub(crate) fn step(&self) -> Step {
        STEPS.get(usize::from(self.step.load(Ordering::SeqCst))).copied().unwrap_or(Step::Add)
    }

    pub(crate) fn set_step(&self, step: Step) {
        let at = STEPS.iter().position(|s| *s == step).and_then(|at| u8::try_from(at).ok());
        self.step.store(at.unwrap_or(0), Ordering::SeqCst);
    }

    /// Whether requests that would wait for the engine fail from now on, on all queues.
    pub(crate) fn set_refuse_waits(&self, refuse: bool) {
        let mut queues = self.queues();
        queues.refuse_waits = refuse;
        queues.wakeups.iter().for_each(|w| w.set_refuse_waits(refuse));
    }

    /// All queues are to end.
    pub(crate) fn leave_queues(&self) {
        self.queues().wakeups.iter().for_each(|w| w.set_leave());
    }

    /// The queues are known now.
    pub(crate) fn set_wakeups(&self, wakeups: Vec<Arc<Wakeups>>) {
        let mut queues = self.queues();
        wakeups.iter().for_each(|w| w.set_refuse_waits(queues.refuse_waits));
        queues.wakeups = wakeups;
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_before_the_queues_came_holds_for_them() {
        let shared = Shared::default();
        shared.set_refuse_waits(true);
        let wakeups = Wakeups::new(1).unwrap();
        shared.set_wakeups(vec![Arc::clone(&wakeups)]);
        assert!(wakeups.refuses_waits());
        shared.set_refuse_waits(false);
        assert!(!wakeups.refuses_waits());
    }

    #[test]
    fn the_step_is_told_as_it_was_set() {
        let shared = Shared::default();
        for step in STEPS {
            shared.set_step(step);
            assert_eq!(shared.step(), step);
        }
    }
}
