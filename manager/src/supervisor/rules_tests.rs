//! Both sides of a migration as a model over the real rules: every order of what may happen, failures included, is walked.
//!
//! The world has two machines (the rules), two QEMUs, and the disk as `wandisk` keeps it: resident at one site, perhaps
//! prepared. An action's effect and its answer are two things: the effect may happen and the answer be lost. At every step
//! either supervisor may die, either QEMU may die, a stage may take too long, the user may cancel, and
//! a message of an attempt may come twice or late. A supervisor that died is started again by whoever asks it: the other one, where it
//! has something to say, or a user at the agent's home, who is here or there and asks when nothing goes on any more.
//!
//! What must hold in every state: never two machines run; a machine runs only where the disk is resident; and from every
//! state in which nothing more fails the story ends: one runs, or none is left and its end is told; and no QEMU waits for what
//! does not come. Time passes when nothing else happens, and as a failure at any moment.

use uuid::Uuid;

use super::super::event::{Action, Event, Yield};
use super::super::phase::{Arrive, End, Leave, Machine, Phase};
use super::super::walk::{Model, settle, walk};
use super::super::why::Why;

const ATTEMPT: Uuid = Uuid::from_u128(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Qemu {
    None,
    Running,
    /// Memory goes out; it runs.
    Sending,
    /// Stopped before the last.
    PreSwitchover,
    /// All was sent.
    Sent,
    /// Waits for what comes.
    Waiting,
    /// All has come.
    Loaded,
}

impl Qemu {
    fn runs(self) -> bool {
        matches!(self, Qemu::Running | Qemu::Sending)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Disk {
    AtA { prepared: bool },
    AtB,
}

/// One side: the machine and what it has yet to do, first to last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Side {
    machine: Machine,
    queue: Vec<Action>,
    retry: bool,
    /// Its supervisor has died, and nobody has asked for it since.
    dead: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    a: Side,
    b: Side,
    qemu_a: Qemu,
    qemu_b: Qemu,
    disk: Disk,
    /// Failures that may still happen.
    faults: u8,
    cancelled: bool,
    /// The destination's clock goes; and the one by which it asks its source.
    patience: bool,
    overdue: bool,
    /// The agent's home is the destination.
    homewards: bool,
    /// The source's QEMU was told to send the rest.
    goes_on: bool,
}

fn arrives(attempt: Uuid) -> Event {
    Event::Arrive { attempt, from: "a".to_owned(), patience_s: 1 }
}

fn machine(phase: Phase) -> Machine {
    Machine { phase, ..Machine::default() }
}

impl World {
    fn begin(faults: u8, homewards: bool) -> World {
        let side = |phase| Side { machine: machine(phase), queue: Vec::new(), retry: false, dead: false };
        let away = if homewards { End::Left { to: "a".to_owned() } } else { End::Never };
        let mut world = World {
            a: side(Phase::Running),
            b: side(Phase::Off(away)),
            qemu_a: Qemu::Running,
            qemu_b: Qemu::None,
            disk: Disk::AtA { prepared: false },
            faults,
            cancelled: false,
            patience: false,
            overdue: false,
            homewards,
            goes_on: false,
        };
        world.tell_a(Event::Migrate { attempt: ATTEMPT, to: "b".to_owned() });
        world
    }

    /// Nobody hears it where the supervisor is dead.
    fn tell_a(&mut self, event: Event) {
        if !self.a.dead {
            self.a.queue.extend(self.a.machine.step(event).unwrap_or_default());
        }
    }

    fn tell_b(&mut self, event: Event) {
        if !self.b.dead {
            self.b.queue.extend(self.b.machine.step(event).unwrap_or_default());
        }
    }

    /// Whoever asks a supervisor begins it where there is none.
    fn wake_a(&mut self) {
        if std::mem::take(&mut self.a.dead) {
            let alive = self.qemu_a != Qemu::None;
            self.tell_a(Event::Recovered { alive });
        }
    }

    fn wake_b(&mut self) {
        if std::mem::take(&mut self.b.dead) {
            let alive = self.qemu_b != Qemu::None;
            self.tell_b(Event::Recovered { alive });
        }
    }

    fn ask_b(&mut self, event: Event) {
        self.wake_b();
        self.tell_b(event);
    }

    /// A user asks at home how the agent stands: there, or where home's journal says that it is.
    fn user_asks(&mut self) {
        let home = if self.homewards { &self.b } else { &self.a };
        let left = matches!(home.machine.phase, Phase::Off(End::Left { .. }));
        if self.homewards == left { self.wake_a() } else { self.wake_b() }
    }

    /// What its source says to whoever asks: that it is there, and not on its way.
    fn a_is_here(&self) -> bool {
        matches!(self.a.machine.phase, Phase::Running | Phase::Paused { .. } | Phase::Off(End::Failed { .. }))
    }

    /// The last of memory goes.
    fn all_is_sent(&mut self) {
        (self.qemu_a, self.qemu_b) = (Qemu::Sent, Qemu::Loaded);
        self.tell_b(Event::Completed);
    }

    /// The first action of a side: what it does, and what it says.
    fn act_a(&mut self) -> (Action, Result<Yield, Why>) {
        let action = self.a.queue.remove(0);
        let no = || Err("no".into());
        let result = match &action {
            Action::Run => match (self.disk, self.qemu_a) {
                (Disk::AtB, _) | (_, Qemu::None) => no(),
                _ => {
                    self.qemu_a = Qemu::Running;
                    Ok(Yield::Done)
                }
            },
            Action::Quit => {
                self.qemu_a = Qemu::None;
                Ok(Yield::Done)
            }
            Action::Presend { .. }
            | Action::Quiesce { .. }
            | Action::PowerDown
            | Action::ChangeCd { .. }
            | Action::Launch
            | Action::Sweep { .. } => Ok(Yield::Done),
            Action::AskDisk => {
                if self.disk == Disk::AtB {
                    no()
                } else {
                    Ok(Yield::Done)
                }
            }
            Action::Open { attempt, .. } => {
                self.ask_b(arrives(*attempt));
                // Its own queue is done before it answers.
                while !self.b.queue.is_empty() {
                    self.step_b();
                }
                let ready =
                    matches!(self.b.machine.phase, Phase::Arriving { at: Arrive::Listening { .. }, .. });
                if ready { Ok(Yield::Done) } else { no() }
            }
            Action::Copy { .. } if self.qemu_a == Qemu::Running => {
                self.qemu_a = Qemu::Sending;
                Ok(Yield::Done)
            }
            Action::Prepare { .. } => match self.disk {
                Disk::AtA { .. } => {
                    self.disk = Disk::AtA { prepared: true };
                    Ok(Yield::Token("t".to_owned()))
                }
                Disk::AtB => no(),
            },
            Action::Continue if self.qemu_a == Qemu::PreSwitchover => {
                self.goes_on = true;
                Ok(Yield::Done)
            }
            Action::Copy { .. } | Action::Continue => no(),
            Action::Commit { .. } => match self.disk {
                Disk::AtA { prepared: true } | Disk::AtB => {
                    self.disk = Disk::AtB;
                    Ok(Yield::Done)
                }
                Disk::AtA { prepared: false } => Ok(Yield::StillHere),
            },
            Action::Go { attempt, .. } => {
                self.ask_b(Event::Go { attempt: *attempt });
                while !self.b.queue.is_empty() {
                    self.step_b();
                }
                self.b.machine.verdict(*attempt).ok_or_else(|| "no".into())
            }
            Action::Free { .. } => {
                if let Disk::AtA { .. } = self.disk {
                    self.disk = Disk::AtA { prepared: false };
                    Ok(Yield::Done)
                } else {
                    no()
                }
            }
            Action::StopCopy => {
                if matches!(self.qemu_a, Qemu::Sending | Qemu::PreSwitchover) {
                    self.qemu_a = Qemu::Running;
                    self.b_stream_breaks();
                }
                Ok(Yield::Done)
            }
            Action::MoveBack => {
                self.disk = Disk::AtA { prepared: false };
                Ok(Yield::Done)
            }
            Action::GiveUp { attempt, .. } => {
                self.ask_b(Event::GiveUp { attempt: *attempt });
                Ok(Yield::Done)
            }
            Action::Retry | Action::Wait => {
                self.a.retry = true;
                Ok(Yield::Done)
            }
            Action::Listen
            | Action::Patience { .. }
            | Action::Hark { .. }
            | Action::Await { .. }
            | Action::Rouse { .. }
            | Action::Check
            | Action::Save { .. }
            | Action::Load { .. }
            | Action::Carry { .. }
            | Action::Loaded => panic!("not the source's: {action:?}"),
        };
        (action, result)
    }

    fn act_b(&mut self) -> (Action, Result<Yield, Why>) {
        let action = self.b.queue.remove(0);
        let no = || Err("no".into());
        let result = match &action {
            Action::Listen => {
                self.qemu_b = Qemu::Waiting;
                Ok(Yield::Done)
            }
            Action::Patience { .. } => {
                self.patience = true;
                Ok(Yield::Done)
            }
            Action::Hark { .. } if self.stream_stands() || self.disk == Disk::AtB => Ok(Yield::Done),
            Action::Hark { .. } => Ok(Yield::NeverWill),
            Action::Check if self.qemu_b == Qemu::Loaded && self.disk == Disk::AtB => Ok(Yield::Done),
            Action::Run if self.disk == Disk::AtB && matches!(self.qemu_b, Qemu::Loaded | Qemu::Running) => {
                self.qemu_b = Qemu::Running;
                Ok(Yield::Done)
            }
            Action::Check if self.disk == Disk::AtB => Ok(Yield::NeverWill),
            Action::Check | Action::Run => no(),
            Action::Quit => {
                self.qemu_b = Qemu::None;
                Ok(Yield::Done)
            }
            Action::Sweep { .. } => Ok(Yield::Done),
            Action::Await { .. } => {
                self.overdue = true;
                Ok(Yield::Done)
            }
            Action::Rouse { attempt, .. } => {
                self.wake_a();
                if self.a_is_here() {
                    self.tell_b(Event::GiveUp { attempt: *attempt });
                }
                self.overdue = true;
                Ok(Yield::Done)
            }
            Action::AskDisk if self.disk == Disk::AtB => Ok(Yield::Done),
            Action::AskDisk => no(),
            Action::Retry | Action::Wait => {
                self.b.retry = true;
                Ok(Yield::Done)
            }
            _ => panic!("not the destination's: {action:?}"),
        };
        (action, result)
    }

    fn step_a(&mut self) {
        let (action, result) = self.act_a();
        self.tell_a(Event::Went { action, result });
    }

    fn step_b(&mut self) {
        let (action, result) = self.act_b();
        self.tell_b(Event::Went { action, result });
    }

    fn stream_stands(&self) -> bool {
        matches!(self.qemu_a, Qemu::Sending | Qemu::PreSwitchover) && self.qemu_b == Qemu::Waiting
    }

    fn b_stream_breaks(&mut self) {
        if self.qemu_b == Qemu::Waiting {
            self.qemu_b = Qemu::None;
            self.tell_b(Event::Ended { orderly: false });
        }
    }

    fn a_dies(&mut self) {
        self.a.queue.clear();
        self.a.retry = false;
        // The stream was carried by it; QEMU goes on by itself where it has not sent all.
        if matches!(self.qemu_a, Qemu::Sending | Qemu::PreSwitchover) {
            self.qemu_a = Qemu::Running;
            self.b_stream_breaks();
        }
        self.a.dead = true;
    }

    fn b_dies(&mut self) {
        self.b.queue.clear();
        (self.b.retry, self.patience, self.overdue) = (false, false, false);
        self.b.dead = true;
    }
}

impl Model for World {
    fn check(&self) {
        assert!(!(self.qemu_a.runs() && self.qemu_b.runs()), "two run: {self:#?}");
        assert!(!self.qemu_b.runs() || self.disk == Disk::AtB, "b runs without its disk: {self:#?}");
        assert!(!self.qemu_a.runs() || self.disk != Disk::AtB, "a runs without its disk: {self:#?}");
    }

    /// What may happen next when nothing fails; the first that applies.
    fn progress(&self) -> Option<World> {
        let mut next = self.clone();
        if !next.b.queue.is_empty() {
            next.step_b();
        } else if !next.a.queue.is_empty() {
            next.step_a();
        } else if next.qemu_a == Qemu::Sending && next.qemu_b == Qemu::Waiting {
            next.qemu_a = Qemu::PreSwitchover;
            next.tell_a(Event::PreSwitchover);
        } else if next.qemu_a == Qemu::PreSwitchover && next.goes_on && next.qemu_b == Qemu::Waiting {
            next.all_is_sent();
            next.tell_a(Event::Completed);
        } else if matches!(next.qemu_a, Qemu::Sending | Qemu::PreSwitchover) && next.qemu_b != Qemu::Waiting {
            next.qemu_a = Qemu::Running;
            next.tell_a(Event::CopyFailed { why: "broken".into() });
        } else if next.b.retry {
            // (The source tries for as long as the destination has not: its turn is the later one.)
            next.b.retry = false;
            next.tell_b(Event::Again);
        } else if next.a.retry {
            next.a.retry = false;
            next.tell_a(Event::Again);
        } else if next.overdue && (next.a.dead || next.a_is_here()) {
            // (Of another one nothing is learnt by it.)
            next.overdue = false;
            next.tell_b(Event::Overdue { attempt: ATTEMPT });
        } else if next.patience {
            next.patience = false;
            next.tell_b(Event::Unheard { attempt: ATTEMPT });
        } else if !next.settled() {
            next.user_asks();
            if next == *self {
                return None;
            }
        } else {
            return None;
        }
        Some(next)
    }

    /// What else may happen.
    fn troubles(&self) -> Vec<World> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        if !self.cancelled {
            with(&|w| {
                w.cancelled = true;
                w.wake_a();
                w.tell_a(Event::Cancel);
            });
        }
        // The word to start travels beside the disk's.
        let committing = matches!(self.a.machine.phase, Phase::Leaving { at: Leave::Committing { .. }, .. });
        if self.disk == Disk::AtB && committing && self.b.queue.is_empty() {
            with(&|w| w.ask_b(Event::Go { attempt: ATTEMPT }));
        }
        // Somebody asks at any time.
        if self.a.dead {
            with(&World::wake_a);
        }
        if self.b.dead {
            with(&World::wake_b);
        }
        if self.overdue {
            with(&|w| {
                w.overdue = false;
                w.tell_b(Event::Overdue { attempt: ATTEMPT });
            });
        }
        // The rest of memory may be there before the table is.
        if self.goes_on && self.qemu_a == Qemu::PreSwitchover && self.qemu_b == Qemu::Waiting {
            with(&|w| {
                w.all_is_sent();
                w.tell_a(Event::Completed);
            });
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
        // (A timer of its own process cannot be lost.)
        if !self.a.queue.is_empty() && !matches!(self.a.queue[0], Action::Retry | Action::Wait) {
            // The answer is lost; then the whole action is.
            fault(&|w| {
                let (action, _) = w.act_a();
                w.tell_a(Event::Went { action, result: Err("lost".into()) });
            });
            fault(&|w| {
                let action = w.a.queue.remove(0);
                w.tell_a(Event::Went { action, result: Err("lost".into()) });
            });
            // It dies after the effect, before it has heard of it.
            fault(&|w| {
                drop(w.act_a());
                w.a_dies();
            });
        }
        if self.goes_on && self.qemu_a == Qemu::PreSwitchover && self.qemu_b == Qemu::Waiting {
            // All is sent, and the supervisor dies before it hears so.
            fault(&|w| {
                w.all_is_sent();
                w.a_dies();
            });
        }
        if !self.a.dead {
            fault(&World::a_dies);
        }
        if !self.b.dead {
            fault(&World::b_dies);
        }
        if !self.b.queue.is_empty() {
            fault(&|w| {
                drop(w.act_b());
                w.b_dies();
            });
            let clock = matches!(self.b.queue[0], Action::Patience { .. } | Action::Await { .. });
            if matches!(self.b.queue[0], Action::Rouse { .. }) {
                // Nobody answers now.
                fault(&|w| {
                    w.b.queue.remove(0);
                    w.overdue = true;
                });
            } else if !clock && !matches!(self.b.queue[0], Action::Retry | Action::Wait) {
                fault(&|w| {
                    let action = w.b.queue.remove(0);
                    w.tell_b(Event::Went { action, result: Err("lost".into()) });
                });
            }
        }
        if self.qemu_a != Qemu::None {
            fault(&|w| {
                let sending = matches!(w.qemu_a, Qemu::Sending | Qemu::PreSwitchover);
                w.qemu_a = Qemu::None;
                if sending {
                    w.b_stream_breaks();
                }
                w.tell_a(Event::Ended { orderly: false });
            });
        }
        if self.qemu_b != Qemu::None {
            fault(&|w| {
                w.qemu_b = Qemu::None;
                w.tell_b(Event::Ended { orderly: false });
            });
        }
        fault(&|w| w.tell_a(Event::Late));
        if self.patience {
            fault(&|w| {
                w.patience = false;
                w.tell_b(Event::Unheard { attempt: ATTEMPT });
            });
        }
        // The disk's lease ends.
        if self.disk == (Disk::AtA { prepared: true }) {
            fault(&|w| w.disk = Disk::AtA { prepared: false });
        }
        // Messages that come twice, or after their attempt.
        fault(&|w| w.ask_b(arrives(ATTEMPT)));
        if self.disk == Disk::AtB
            && matches!(self.a.machine.phase, Phase::Leaving { at: Leave::Asking, .. } | Phase::Off(_))
        {
            fault(&|w| w.ask_b(Event::Go { attempt: ATTEMPT }));
        }
        all
    }

    /// Is this an end that may stay?
    fn settled(&self) -> bool {
        let a_runs = self.a.machine.phase == Phase::Running && self.qemu_a == Qemu::Running;
        let b_runs = self.b.machine.phase == Phase::Running && self.qemu_b == Qemu::Running;
        let ended = |side: &Side| matches!(&side.machine.phase, Phase::Off(End::Failed { .. }));
        let off = matches!(self.b.machine.phase, Phase::Off(_));
        // (Where the supervisor is dead, QEMU listens until somebody asks.)
        let listens =
            matches!(self.b.machine.phase, Phase::Arriving { .. }) || off && self.qemu_b != Qemu::None;
        let waits = listens && !self.b.dead;
        !waits && (a_runs != b_runs || ended(&self.a) || ended(&self.b))
    }
}

#[test]
fn whatever_fails_at_whatever_step_one_runs_or_its_end_is_told_and_never_two() {
    for homewards in [false, true] {
        let states = walk(World::begin(3, homewards));
        assert!(states > 5000, "only {states} states: the walk is too narrow to mean anything");
    }
}

/// Its supervisor dies when all of memory is there, which no QEMU goes back from: the agent stands, and nobody at home asks the site
/// where it was.
#[test]
fn a_source_that_dies_when_all_is_sent_is_begun_anew_by_the_destination() {
    let mut world = World::begin(0, true);
    while !(world.qemu_a == Qemu::PreSwitchover && world.goes_on) {
        world = world.progress().unwrap();
    }
    world.all_is_sent();
    world.a_dies();
    while world.a.dead {
        assert_ne!(world.b.machine.phase, Phase::Running);
        world = world.progress().unwrap();
        assert!(world.qemu_b != Qemu::None, "it had given up before it asked: {world:#?}");
    }
    assert_eq!(settle(world).a.machine.phase, Phase::Running);
}

#[test]
fn a_move_without_trouble_ends_at_the_other_site() {
    let world = settle(World::begin(0, false));
    assert_eq!(world.a.machine.phase, Phase::Off(End::Left { to: "b".to_owned() }));
    assert_eq!(
        (world.b.machine.phase, world.qemu_b, world.qemu_a),
        (Phase::Running, Qemu::Running, Qemu::None)
    );
}

#[test]
fn the_journal_is_read_as_it_was_written() {
    let mut world = World::begin(0, false);
    while let Some(next) = world.progress() {
        for machine in [&next.a.machine, &next.b.machine] {
            let text = serde_json::to_string(machine).unwrap();
            assert_eq!(&serde_json::from_str::<Machine>(&text).unwrap(), machine);
        }
        world = next;
    }
}
