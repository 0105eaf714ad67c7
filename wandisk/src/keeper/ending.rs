//! A keeper's end is bounded in time, and says what it waits for.
//!
//! A keeper that ends has no socket any more but holds its disk's lock, so nobody can use the disk until it is gone. Each step of
//! its end has its own deadline; this is for what has none, or waits in a way that no deadline can end (a lock, a thread). It
//! watches from a thread of its own, which needs neither the executor nor any lock but its own.
//!
//! Fault model: a step may never end. Then the process is killed: as after any death, nothing that was promised is lost, and
//! the next keeper recovers.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often a step that takes long is told of.
const TELL: Duration = Duration::from_secs(5);

/// A step of the end: its name, for people, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    name: &'static str,
    most: Duration,
}

impl Step {
    /// Commands and peers' requests that are under way; they have 20 s.
    pub(super) const REQUESTS: Step =
        Step { name: "what is under way to be done", most: Duration::from_secs(60) };
    /// The front-end, whose requests have 20 s, and then what is dirty, which the medium may take its time for.
    pub(super) const FRONT_END: Step = Step { name: "the front-end to stop", most: Duration::from_secs(300) };
    /// The sessions' last words, which have a second.
    pub(super) const SESSIONS: Step =
        Step { name: "the other sites to be told", most: Duration::from_secs(20) };
    /// What is dirty, and the marks.
    pub(super) const STORE: Step =
        Step { name: "the disk's files to be made durable", most: Duration::from_secs(300) };
    /// The executor and its threads.
    pub(super) const PROCESS: Step = Step { name: "its threads to end", most: Duration::from_secs(20) };
}

/// The end of a keeper, watched until it is dropped or the process is gone.
#[derive(Debug)]
pub(super) struct Ending {
    steps: Sender<Step>,
}

impl Ending {
    /// Begins to watch; the process is killed if a step takes too long.
    pub(super) fn watched() -> Ending {
        Ending::watched_by(TELL, || {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
        })
    }

    fn watched_by(tell: Duration, kill: impl FnOnce() + Send + 'static) -> Ending {
        let (steps, hear) = mpsc::channel();
        let watch = move || {
            let Ok(mut step) = hear.recv() else { return };
            loop {
                step = match watch(step, tell, &hear) {
                    Watched::Next(next) => next,
                    Watched::Over => return,
                    Watched::Hangs => return kill(),
                };
            }
        };
        if let Err(e) = std::thread::Builder::new().name("wandisk-ending".to_owned()).spawn(watch) {
            tracing::warn!(error = %e, "the keeper ends unwatched");
        }
        Ending { steps }
    }

    /// The next step begins.
    pub(super) fn step(&self, step: Step) {
        self.steps.send(step).ok();
    }

    /// The last step begins, which ends with the process.
    pub(super) fn last(self, step: Step) {
        self.step(step);
        std::mem::forget(self.steps);
    }
}

enum Watched {
    Next(Step),
    Over,
    Hangs,
}

fn watch(step: Step, tell: Duration, next: &mpsc::Receiver<Step>) -> Watched {
    let began = Instant::now();
    loop {
        match next.recv_timeout(tell.min(step.most.saturating_sub(began.elapsed()))) {
            Ok(next) => return Watched::Next(next),
            Err(RecvTimeoutError::Disconnected) => return Watched::Over,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let (so_far_s, most_s) = (began.elapsed().as_secs(), step.most.as_secs());
        if began.elapsed() >= step.most {
            tracing::error!(
                step = step.name,
                so_far_s,
                "the keeper's end hangs: it is killed, and the next one recovers"
            );
            return Watched::Hangs;
        }
        tracing::warn!(step = step.name, so_far_s, most_s, "the keeper ends, and waits for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn step(most: Duration) -> Step {
        Step { name: "a test", most }
    }

    #[test]
    fn an_end_that_hangs_in_a_step_is_cut_short() {
        let (tell, hear) = mpsc::channel();
        let ending = Ending::watched_by(Duration::from_millis(1), move || tell.send(()).unwrap());
        ending.step(step(LONG));
        ending.step(step(Duration::from_millis(20)));
        hear.recv_timeout(LONG).unwrap();
        drop(ending);
    }

    #[test]
    fn an_end_whose_last_step_hangs_is_cut_short_too() {
        let (tell, hear) = mpsc::channel();
        Ending::watched_by(LONG, move || tell.send(()).unwrap()).last(step(Duration::from_millis(20)));
        hear.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn an_end_that_goes_on_is_left_alone_and_one_that_is_over_is_watched_no_more() {
        let (tell, hear) = mpsc::channel::<()>();
        let ending = Ending::watched_by(Duration::from_millis(1), move || tell.send(()).unwrap());
        (0..50).for_each(|_| ending.step(step(LONG)));
        drop(ending);
        // The watcher has ended, and its order to kill with it.
        assert_eq!(hear.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }
}
