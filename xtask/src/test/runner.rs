//! Runs steps beside each other as the [`schedule`](super::schedule) lets them, and reports each whole.
//!
//! The tests of the host are shown as they come; what ends beside them is told when they have ended, or the words of two
//! would mix. A step that fails, or panics, keeps no other from running.
//!
//! Invariant: each step has a thread of its own that lives until the step has ended, so that what is killed with the thread
//! that started it (QEMU) is killed when this process dies, and never before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::output::Output;
use super::report::{Ended, Report};
use super::schedule::{Kind, Needs, Schedule};

/// Only what nobody else wants of the processors: a compiler hurries for nobody, and tests have deadlines.
const LOWEST_PRIORITY: i32 = 19;

/// What a step does: it is passed when it says `true`.
type Run<'a> = Box<dyn FnOnce(&mut Output) -> Result<bool> + Send + 'a>;

/// One step.
pub(super) struct Step<'a> {
    name: String,
    needs: Needs,
    run: Run<'a>,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        name: impl Into<String>,
        needs: Needs,
        run: impl FnOnce(&mut Output) -> Result<bool> + Send + 'a,
    ) -> Self {
        Self { name: name.into(), needs, run: Box::new(run) }
    }
}

/// Runs all; those that shall begin first are at the front. What runs at once takes at most `memory_mib`.
pub(super) fn run(steps: Vec<Step<'_>>, memory_mib: u64, report: &mut Report) {
    let mut schedule = Schedule::new(steps.iter().map(|step| step.needs), memory_mib);
    let mut waiting: Vec<_> = steps.into_iter().map(Some).collect();
    let (sender, receiver) = mpsc::channel();
    let mut running = 0_usize;
    // The step that is shown as it comes, and those that have ended beside it.
    let mut shown = None;
    let mut untold = Vec::new();
    thread::scope(|scope| {
        loop {
            while let Some(place) = schedule.begin() {
                let Some(step) = waiting[place].take() else { continue };
                let live = matches!(step.needs.kind, Kind::Host | Kind::Alone);
                if live {
                    shown = Some(place);
                }
                running += 1;
                let sender = sender.clone();
                // The receiver is there until every step has ended.
                scope.spawn(move || drop(sender.send((place, perform(step, live)))));
            }
            if running == 0 {
                break;
            }
            let Ok((place, ended)) = receiver.recv() else { break };
            running -= 1;
            schedule.end(place);
            if shown == Some(place) {
                shown = None;
                report.ended(ended);
            } else {
                untold.push(ended);
            }
            if shown.is_none() {
                for ended in untold.drain(..) {
                    report.ended(ended);
                }
            }
        }
    });
}

fn perform(step: Step<'_>, live: bool) -> Ended {
    if step.needs.kind == Kind::Compiles {
        // Of this thread and what it starts. Where it cannot be had it is slower, no more.
        rustix::process::setpriority_process(None, LOWEST_PRIORITY).ok();
    }
    let began = Instant::now();
    let mut output = Output::new(live);
    let result = catch_unwind(AssertUnwindSafe(|| (step.run)(&mut output)));
    let result = result.unwrap_or_else(|_| Err(anyhow!("the step panicked")));
    Ended { name: step.name, took: began.elapsed(), result, output }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn step<'a>(
        name: &str,
        kind: Kind,
        run: impl FnOnce(&mut Output) -> Result<bool> + Send + 'a,
    ) -> Step<'a> {
        Step::new(name, Needs { kind, memory_mib: 1 }, run)
    }

    #[test]
    fn a_step_that_fails_or_panics_is_named_and_keeps_no_other_from_running() {
        let (guest_runs, host_hears) = mpsc::channel();
        let (host_ends, guest_hears) = mpsc::channel();
        let order = Mutex::new(Vec::new());
        let note = |name| order.lock().unwrap().push(name);
        let steps = vec![
            step("host", Kind::Host, move |_| {
                // Both run at once, or this is never heard.
                host_hears.recv_timeout(LONG)?;
                note("host");
                host_ends.send(())?;
                Ok(false)
            }),
            step("guest", Kind::Guest, move |output| {
                guest_runs.send(())?;
                guest_hears.recv_timeout(LONG)?;
                output.line("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured");
                Ok(true)
            }),
            step("compiler", Kind::Compiles, |_| panic!("on purpose")),
            step("next compiler", Kind::Compiles, |_| Err(anyhow!("it is missing"))),
            step("alone", Kind::Alone, move |_| {
                note("alone");
                Ok(true)
            }),
        ];
        let mut report = Report::new();
        run(steps, 100, &mut report);
        let mut failed = report.failed().to_vec();
        failed.sort();
        assert_eq!(failed, ["compiler", "host", "next compiler"]);
        assert_eq!(report.summary(), "tests: 2 passed; 0 failed; 0 ignored; steps: 3 of 5 failed");
        assert_eq!(order.into_inner().unwrap(), ["host", "alone"]);
    }

    #[test]
    fn compilers_alone_stand_back() {
        let own = rustix::process::getpriority_process(None).unwrap();
        let has = |wanted| {
            move |_: &mut Output| -> Result<bool> {
                Ok(rustix::process::getpriority_process(None)? == wanted)
            }
        };
        let mut report = Report::new();
        let steps = vec![
            step("compiler", Kind::Compiles, has(LOWEST_PRIORITY)),
            step("host", Kind::Host, has(own)),
            step("guest", Kind::Guest, has(own)),
        ];
        run(steps, 100, &mut report);
        assert!(report.failed().is_empty(), "{:?}", report.failed());
    }
}
