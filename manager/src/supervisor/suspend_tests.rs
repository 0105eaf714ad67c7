//! Suspended agents as a model over the real rules: every order of what may happen, failures included, is walked.
//!
//! As the model of a move ([`super::super::rules`]' tests), with memory as a number: the moment at which the agent last ran. Each
//! time a machine begins to run that moment passes, and every older memory, in a QEMU or in a file, is of no use any more.
//!
//! What must hold in every state: never two machines run; a machine runs only where the disk is resident, and only with the
//! newest memory; the file that a journal counts on is there. From every state in which nothing more fails the story ends: one
//! runs and no file is left, or it is suspended with the newest memory, or its end is told.

use uuid::Uuid;

use super::super::event::{Action, Event, Yield};
use super::super::phase::{Arrive, End, Image, Leave, Machine, Phase, Resume, Suspend};
use super::super::walk::{Model, settle, walk};
use super::super::why::Why;

const IMAGE: Uuid = Uuid::from_u128(7);
const SITES: [&str; 2] = ["a", "b"];
const A: usize = 0;
const B: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Qemu {
    None,
    Running,
    /// It stands with this memory.
    Stands(u8),
    /// It waits for what comes.
    Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Side {
    machine: Machine,
    queue: Vec<Action>,
    retry: bool,
    qemu: Qemu,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    sides: [Side; 2],
    /// The file at `a`.
    file: Option<u8>,
    saving: bool,
    carrying: bool,
    disk_at: usize,
    prepared: bool,
    /// The moment at which the agent last ran.
    now: u8,
    faults: u8,
    cancels: u8,
    resumes: u8,
    kills: u8,
    /// The clock of `b` goes, for this try.
    patience: Option<Uuid>,
}

fn image() -> Image {
    Image { id: IMAGE, len_bytes: 1, blake3: String::new(), unpacked_bytes: 1, epoch: Some(1), at_ms: 0 }
}

fn no() -> Result<Yield, Why> {
    Err("no".into())
}

impl World {
    fn begin(faults: u8) -> World {
        let side = |phase, qemu| Side {
            machine: Machine { phase, ..Machine::default() },
            queue: Vec::new(),
            retry: false,
            qemu,
        };
        let mut world = World {
            sides: [side(Phase::Running, Qemu::Running), side(Phase::Off(End::Never), Qemu::None)],
            file: None,
            saving: false,
            carrying: false,
            disk_at: A,
            prepared: false,
            now: 0,
            faults,
            cancels: 1,
            resumes: 2,
            kills: 1,
            patience: None,
        };
        world.tell(A, Event::Suspend { id: IMAGE });
        world
    }

    fn tell(&mut self, i: usize, event: Event) {
        let actions = self.sides[i].machine.step(event).unwrap_or_default();
        self.sides[i].queue.extend(actions);
    }

    fn phase(&self, i: usize) -> &Phase {
        &self.sides[i].machine.phase
    }

    /// The first action of a side: what it does, and what it says.
    fn act(&mut self, i: usize) -> (Action, Result<Yield, Why>) {
        let action = self.sides[i].queue.remove(0);
        let other = 1 - i;
        let done = Ok(Yield::Done);
        let result = match &action {
            Action::Run => match self.sides[i].qemu {
                _ if self.disk_at != i => no(),
                Qemu::Running => done,
                Qemu::Stands(moment) => {
                    assert_eq!(moment, self.now, "old memory runs: {self:#?}");
                    self.now += 1;
                    self.sides[i].qemu = Qemu::Running;
                    done
                }
                Qemu::None | Qemu::Waiting => no(),
            },
            Action::Quit => {
                self.sides[i].qemu = Qemu::None;
                if i == A {
                    (self.saving, self.carrying) = (false, false);
                }
                done
            }
            Action::Sweep { keep } => {
                if i == A && *keep != Some(IMAGE) {
                    self.file = None;
                }
                done
            }
            Action::Save { .. } if self.sides[i].qemu == Qemu::Running => {
                self.sides[i].qemu = Qemu::Stands(self.now);
                self.saving = true;
                done
            }
            Action::Load { .. } if self.disk_at == i => match self.file {
                Some(moment) => {
                    self.sides[i].qemu = Qemu::Stands(moment);
                    done
                }
                None => no(),
            },
            Action::Carry { .. } if self.file.is_some() => {
                self.carrying = true;
                done
            }
            Action::Save { .. } | Action::Load { .. } | Action::Carry { .. } => no(),
            Action::StopCopy => {
                (self.saving, self.carrying) = (false, false);
                done
            }
            Action::Quiesce { .. } => done,
            Action::Presend { .. } if self.disk_at == i => done,
            Action::Prepare { .. } if self.disk_at == i => {
                self.prepared = true;
                Ok(Yield::Token("t".to_owned()))
            }
            Action::Presend { .. } | Action::Prepare { .. } => no(),
            Action::Commit { .. } => {
                if self.disk_at == i && !self.prepared {
                    Ok(Yield::StillHere)
                } else {
                    (self.disk_at, self.prepared) = (other, false);
                    done
                }
            }
            Action::Open { attempt, .. } => {
                self.tell(
                    other,
                    Event::Arrive { attempt: *attempt, from: SITES[i].to_owned(), patience_s: 1 },
                );
                self.drain(other);
                let ready = matches!(self.phase(other), Phase::Arriving { at: Arrive::Listening { .. }, .. });
                if ready { done } else { no() }
            }
            Action::Go { attempt, .. } => {
                self.tell(other, Event::Go { attempt: *attempt });
                self.drain(other);
                self.sides[other].machine.verdict(*attempt).ok_or_else(|| "no".into())
            }
            Action::GiveUp { attempt, .. } => {
                self.tell(other, Event::GiveUp { attempt: *attempt });
                done
            }
            Action::Free { .. } => {
                if self.disk_at == i {
                    self.prepared = false;
                    done
                } else {
                    no()
                }
            }
            Action::MoveBack => {
                (self.disk_at, self.prepared) = (i, false);
                Ok(Yield::Epoch(Some(3)))
            }
            Action::Listen => {
                self.sides[i].qemu = Qemu::Waiting;
                done
            }
            Action::Patience { attempt, .. } => {
                self.patience = Some(*attempt);
                done
            }
            Action::Hark { .. } if self.carrying || self.disk_at == i => done,
            Action::Hark { .. } => Ok(Yield::NeverWill),
            Action::Await { .. } | Action::Rouse { .. } => done,
            Action::Check if self.disk_at != i => no(),
            Action::Check if matches!(self.sides[i].qemu, Qemu::Stands(_)) => done,
            Action::Check => Ok(Yield::NeverWill),
            Action::AskDisk if self.disk_at == i => done,
            Action::AskDisk => no(),
            Action::Retry | Action::Wait => {
                self.sides[i].retry = true;
                done
            }
            Action::Launch
            | Action::PowerDown
            | Action::ChangeCd { .. }
            | Action::Copy { .. }
            | Action::Continue
            | Action::Loaded => {
                panic!("not of this story: {action:?}")
            }
        };
        (action, result)
    }

    fn step(&mut self, i: usize) {
        let (action, result) = self.act(i);
        self.tell(i, Event::Went { action, result });
    }

    fn drain(&mut self, i: usize) {
        while !self.sides[i].queue.is_empty() {
            self.step(i);
        }
    }

    fn dies(&mut self, i: usize) {
        self.sides[i].queue.clear();
        self.sides[i].retry = false;
        if i == A {
            // What it wrote or sent ends with it.
            (self.saving, self.carrying) = (false, false);
        } else {
            self.patience = None;
        }
        let alive = self.sides[i].qemu != Qemu::None;
        self.tell(i, Event::Recovered { alive });
    }

    /// All of the image is in its file, and nobody has heard of it.
    fn file_is_whole(&mut self) {
        if let Qemu::Stands(moment) = self.sides[A].qemu {
            self.file = Some(moment);
        }
        self.saving = false;
    }
}

impl Model for World {
    fn check(&self) {
        let runs = |i: usize| self.sides[i].qemu == Qemu::Running;
        assert!(!(runs(A) && runs(B)), "two run: {self:#?}");
        for i in [A, B] {
            assert!(!runs(i) || self.disk_at == i, "it runs without its disk: {self:#?}");
        }
        let may_have_run = matches!(self.phase(A), Phase::Resuming { at: Resume::Starting, .. });
        if self.phase(A).image().is_some() && !may_have_run {
            assert!(self.file.is_some(), "the journal counts on a file that is gone: {self:#?}");
        }
        assert!(self.phase(B).image().is_none(), "nothing is kept at b: {self:#?}");
    }

    /// What may happen next when nothing fails; the first that applies.
    fn progress(&self) -> Option<World> {
        let mut next = self.clone();
        let broken = || Event::CopyFailed { why: "broken".into() };
        if !next.sides[B].queue.is_empty() {
            next.step(B);
        } else if !next.sides[A].queue.is_empty() {
            next.step(A);
        } else if next.saving && matches!(next.sides[A].qemu, Qemu::Stands(_)) {
            next.file_is_whole();
            next.tell(A, Event::Saved { image: image() });
        } else if next.saving {
            next.saving = false;
            next.tell(A, broken());
        } else if next.carrying {
            next.carrying = false;
            if let (Qemu::Waiting, Some(moment)) = (next.sides[B].qemu, next.file) {
                next.sides[B].qemu = Qemu::Stands(moment);
                next.tell(A, Event::PreSwitchover);
            } else {
                next.tell(A, broken());
            }
        } else if let Some(i) = [B, A].into_iter().find(|i| next.sides[*i].retry) {
            // (The source tries for as long as the destination has not: its turn is the later one.)
            next.sides[i].retry = false;
            next.tell(i, Event::Again);
        } else if let Some(attempt) = next.patience.take() {
            next.tell(B, Event::Unheard { attempt });
        } else if next.file.is_some() && next.phase(A).image().is_none() {
            // A file that could not be removed goes when the next supervisor begins.
            next.dies(A);
        } else {
            return None;
        }
        Some(next)
    }

    /// What users want, and what fails.
    fn troubles(&self) -> Vec<World> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        if self.cancels > 0 {
            with(&|w| {
                w.cancels -= 1;
                w.tell(A, Event::Cancel);
            });
        }
        if matches!(self.phase(A), Phase::Suspended { .. }) {
            if self.resumes > 0 {
                with(&|w| {
                    w.resumes -= 1;
                    let attempt = Uuid::from_u128(100 + u128::from(w.resumes));
                    w.tell(A, Event::Resume { attempt, force: false });
                });
                with(&|w| {
                    w.resumes -= 1;
                    let attempt = Uuid::from_u128(100 + u128::from(w.resumes));
                    w.tell(A, Event::ResumeAt { attempt, to: "b".to_owned(), force: false });
                });
            }
            if self.kills > 0 {
                with(&|w| {
                    w.kills -= 1;
                    w.tell(A, Event::Kill);
                });
            }
        }
        if self.faults == 0 {
            return all;
        }
        let mut fault = |change: &dyn Fn(&mut World)| {
            with(&|w| {
                w.faults -= 1;
                change(w);
            });
        };
        for i in [A, B] {
            fault(&|w| w.dies(i));
            let timer = |action: &Action| {
                let (patience, asks) =
                    (matches!(action, Action::Patience { .. }), matches!(action, Action::Await { .. }));
                patience || asks || matches!(action, Action::Retry | Action::Wait)
            };
            if self.sides[i].queue.first().is_some_and(|action| !timer(action)) {
                let lost = || Err("lost".into());
                fault(&|w| {
                    let (action, _) = w.act(i);
                    w.tell(i, Event::Went { action, result: lost() });
                });
                fault(&|w| {
                    let action = w.sides[i].queue.remove(0);
                    w.tell(i, Event::Went { action, result: lost() });
                });
                fault(&|w| {
                    drop(w.act(i));
                    w.dies(i);
                });
            }
            if self.sides[i].qemu != Qemu::None {
                fault(&|w| {
                    w.sides[i].qemu = Qemu::None;
                    w.tell(i, Event::Ended { orderly: false });
                });
            }
        }
        if self.saving && matches!(self.sides[A].qemu, Qemu::Stands(_)) {
            fault(&|w| {
                w.file_is_whole();
                w.dies(A);
            });
            // QEMU has ended, and what it wrote was whole.
            fault(&|w| {
                w.file_is_whole();
                w.sides[A].qemu = Qemu::None;
                w.tell(A, Event::Ended { orderly: false });
                w.tell(A, Event::Saved { image: image() });
            });
        }
        if self.saving || self.carrying {
            fault(&|w| {
                (w.saving, w.carrying) = (false, false);
                w.tell(A, Event::CopyFailed { why: "no room".into() });
            });
        }
        if self.carrying && self.sides[B].qemu == Qemu::Waiting {
            // It has come, and nobody heard of it.
            fault(&|w| {
                if let Some(moment) = w.file {
                    w.sides[B].qemu = Qemu::Stands(moment);
                }
                w.carrying = false;
                w.tell(A, Event::CopyFailed { why: "lost".into() });
            });
        }
        fault(&|w| w.tell(A, Event::Late));
        if let Some(attempt) = self.patience {
            fault(&|w| {
                w.patience = None;
                w.tell(B, Event::Unheard { attempt });
            });
        }
        fault(&|w| w.tell(A, Event::Again));
        if self.prepared {
            fault(&|w| w.prepared = false);
        }
        // Messages of the newest attempt come twice or late.
        if self.resumes < 2 {
            let attempt = Uuid::from_u128(100 + u128::from(self.resumes));
            fault(&|w| w.tell(B, Event::Arrive { attempt, from: "a".to_owned(), patience_s: 1 }));
            let after = matches!(
                self.phase(A),
                Phase::Leaving { at: Leave::Asking, .. } | Phase::Off(End::Left { .. })
            );
            if self.disk_at == B && after {
                fault(&|w| w.tell(B, Event::Go { attempt }));
            }
        }
        all
    }

    /// Is this an end that may stay?
    fn settled(&self) -> bool {
        let runs = |i: usize| *self.phase(i) == Phase::Running && self.sides[i].qemu == Qemu::Running;
        let nobody = self.sides.iter().all(|side| side.qemu != Qemu::Running);
        let ended =
            |i: usize| matches!(self.phase(i), Phase::Off(End::Failed { .. } | End::Killed)) && nobody;
        let suspended = matches!(self.phase(A), Phase::Suspended { .. })
            && self.disk_at == A
            && self.file == Some(self.now)
            && nobody;
        let off = matches!(self.phase(B), Phase::Off(_));
        let waits =
            matches!(self.phase(B), Phase::Arriving { .. }) || off && self.sides[B].qemu != Qemu::None;
        !waits && (suspended || self.file.is_none() && (runs(A) != runs(B) || ended(A) || ended(B)))
    }
}

#[test]
fn whatever_fails_memory_is_kept_until_it_runs_and_old_memory_never_does() {
    let states = walk(World::begin(3));
    assert!(states > 5000, "only {states} states: the walk is too narrow to mean anything");
}

#[test]
fn an_agent_without_trouble_is_suspended_and_resumed_here_and_there() {
    let suspended = settle(World::begin(0));
    assert_eq!(*suspended.phase(A), Phase::Suspended { image: image() });
    assert_eq!((suspended.sides[A].qemu, suspended.file), (Qemu::None, Some(0)));

    let mut here = suspended.clone();
    here.tell(A, Event::Resume { attempt: IMAGE, force: false });
    let here = settle(here);
    assert_eq!((here.phase(A), here.sides[A].qemu, here.file), (&Phase::Running, Qemu::Running, None));

    let mut there = suspended;
    let attempt = Uuid::from_u128(100);
    there.tell(A, Event::ResumeAt { attempt, to: "b".to_owned(), force: false });
    let there = settle(there);
    assert_eq!(*there.phase(A), Phase::Off(End::Left { to: "b".to_owned() }));
    assert_eq!((there.phase(B), there.sides[B].qemu, there.file), (&Phase::Running, Qemu::Running, None));
}

#[test]
fn a_suspended_agent_goes_on_by_no_other_way() {
    let suspended = Machine { phase: Phase::Suspended { image: image() }, ..Machine::default() };
    for event in [
        Event::Again,
        Event::IoPaused { no_space: false },
        Event::Late,
        Event::Completed,
        Event::PreSwitchover,
    ] {
        let mut after = suspended.clone();
        assert_eq!(after.step(event), Ok(Vec::new()));
        assert_eq!(after, suspended);
    }
    for event in [Event::Launch, Event::Migrate { attempt: IMAGE, to: "b".to_owned() }, Event::PowerDown] {
        let refusal = suspended.clone().step(event).unwrap_err();
        assert!(refusal.message.contains("suspended") && refusal.hint.contains("resume"), "{refusal:?}");
    }
}

#[test]
fn wishes_while_it_is_suspended_or_resumed_are_refused_in_a_sentence() {
    let machine = |phase| Machine { phase, ..Machine::default() };
    let writing = || machine(Phase::Suspending { id: IMAGE, at: Suspend::Writing, alive: true });
    let loading = || machine(Phase::Resuming { attempt: IMAGE, image: image(), at: Resume::Loading });
    let suspend = || Event::Suspend { id: Uuid::from_u128(8) };
    for (before, event, word) in [
        (writing(), suspend(), "being suspended"),
        (writing(), Event::Resume { attempt: IMAGE, force: false }, "being suspended"),
        (loading(), suspend(), "being resumed"),
        (loading(), Event::Launch, "being resumed"),
        (machine(Phase::Off(End::Never)), suspend(), "does not run"),
        (machine(Phase::Running), Event::Resume { attempt: IMAGE, force: false }, "not suspended"),
    ] {
        let mut after = before.clone();
        let refusal = after.step(event).unwrap_err();
        assert!(refusal.message.contains(word), "{refusal}");
        assert_eq!(after, before);
    }
}
