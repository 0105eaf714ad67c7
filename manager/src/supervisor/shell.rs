//! The supervisor's loop: takes what happens, asks the rules, keeps the journal, answers who asked.
//!
//! Invariants: a step is in the journal before its first action is begun; actions are done one after the other, by one task
//! ([`super::hands`]); if the journal cannot be written the supervisor ends, and the next one goes on from what is there.

mod told;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use self::told::written;
use super::event::{Action, Event};
use super::journey::Journey;
use super::phase::{Attempt, Leave, Machine, Phase, Suspend};
use super::senses::{self, Threads};
use super::why::Why;
use crate::agent::Agent;
use crate::agent::store::{Store, StoreError};
use crate::control::{Request, done, failed};
use crate::net::teller::Teller;
use crate::qmp::{self, MigrationStatus};

/// A supervisor of an agent that is not here ends when nobody has asked for so long.
const IDLE: Duration = Duration::from_secs(3);
/// How long memory may be copied, and how long the rest of it may take while the agent stands (law M3).
const COPYING: Duration = Duration::from_secs(30 * 60);
const SWITCHING: Duration = Duration::from_secs(30);
/// News of a migration are told so often.
const NEWS: Duration = Duration::from_secs(1);

/// What comes to the loop.
#[derive(Debug)]
pub(super) enum Input {
    /// For the rules.
    Event(Event),
    /// From QEMU.
    Qemu(qmp::Event),
    /// Its processors are these threads.
    Threads(Threads),
    /// A look at a migration from here.
    Looked { status: MigrationStatus, news: Value },
    /// What was found when it was over.
    Account(Value),
    /// QEMU answered that it sends the rest.
    Continued,
    /// The disk's hand-over is prepared: what wandisk says of it.
    Prepared(Value),
    /// So many bytes of the disk's table went ahead.
    TableAhead(u64),
    /// QEMU's account of memory on its way to a file.
    Written(Value),
    /// How its machine is, in QEMU's word.
    RunState(String),
    /// What this site could give when an agent came.
    Room(Value),
    /// What whoever moves it is to know; a sentence.
    Warning(String),
    /// What is being done takes its time.
    Still,
    /// Somebody asks. The connection ends when the sender is dropped.
    Ask { request: Request, reply: UnboundedSender<String> },
    /// Somebody has gone.
    Gone,
}

/// What somebody waits for.
#[derive(Debug)]
enum Wish {
    Nothing,
    Running,
    Off,
    Moved,
    Suspended,
    NotMoving,
    CdChanged,
    Loaded(Attempt),
    /// Told of each change.
    Following,
    Listening(Attempt),
    Verdict(Attempt),
}

#[derive(Debug)]
struct Waiter {
    wish: Wish,
    reply: UnboundedSender<String>,
}

/// The loop's state.
#[derive(Debug)]
pub(super) struct Shell {
    agent: Agent,
    site: String,
    store: Store,
    machine: Machine,
    net: Teller,
    queue: UnboundedSender<Action>,
    /// Actions that have not ended.
    underway: usize,
    waiters: Vec<Waiter>,
    /// The last [`Action::Run`] worked, and the phase has not changed since.
    confirmed: bool,
    /// The last try to start what has come failed so.
    not_started: Option<Why>,
    /// What the last [`Action::Loaded`] gave, since it was asked for.
    loaded: Option<Result<(), Why>>,
    /// The same of [`Action::ChangeCd`].
    cd_changed: Option<Result<(), Why>>,
    journey: Option<Journey>,
    /// How much of its memory is in its file, of a suspension.
    written: Value,
    /// What this site could give when the agent came.
    room: Value,
    /// How its machine was heard of last, in QEMU's word.
    run_state: Option<String>,
    deadline: Option<Instant>,
    asking: usize,
    threads: Option<Threads>,
    /// Where it is being moved to, for those who hear of its processors.
    moving: watch::Sender<Option<String>>,
    /// What those who follow it were told last: where it stands, and whether the machine does.
    followed: (Phase, bool),
}

impl Shell {
    pub(super) fn new(
        agent: Agent,
        site: String,
        store: Store,
        machine: Machine,
        net: Teller,
        queue: UnboundedSender<Action>,
    ) -> Shell {
        let moving = watch::channel(leads_to(&machine.phase)).0;
        let followed = (machine.phase.clone(), false);
        Shell {
            agent,
            site,
            store,
            machine,
            net,
            queue,
            underway: 0,
            waiters: Vec::new(),
            confirmed: false,
            not_started: None,
            loaded: None,
            cd_changed: None,
            journey: None,
            written: Value::Null,
            room: Value::Null,
            run_state: None,
            deadline: None,
            asking: 0,
            threads: None,
            moving,
            followed,
        }
    }

    /// Runs until there is nothing to supervise and nobody asks.
    pub(super) async fn run(mut self, mut inputs: UnboundedReceiver<Input>) -> Result<(), StoreError> {
        let mut last = Instant::now();
        loop {
            let away = matches!(self.machine.phase, Phase::Off(_) | Phase::Suspended { .. });
            let idle = away && self.underway == 0 && self.asking == 0;
            let end = if idle { Some(last + IDLE) } else { None };
            let wake = [end, self.deadline].into_iter().flatten().min();
            let input = tokio::select! {
                input = inputs.recv() => input,
                () = sleep_until(wake) => {
                    if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        self.deadline = None;
                        self.step(Event::Late)?;
                        continue;
                    }
                    return Ok(());
                }
            };
            last = Instant::now();
            match input {
                None => return Ok(()),
                Some(Input::Event(event)) => self.happened(event)?,
                Some(Input::Qemu(event)) => self.qemu_said(&event)?,
                Some(Input::Looked { status, news }) => self.looked(&status, &news)?,
                Some(Input::Account(news)) => self.note(|journey| drop(journey.news(&news, NEWS))),
                Some(Input::Continued) => self.note(Journey::continued),
                Some(Input::Prepared(told)) => self.note(|journey| journey.prepared_so(&told)),
                Some(Input::Room(room)) => self.room = room,
                Some(Input::Warning(warning)) => self.warn(&warning),
                Some(Input::Still) => self.tell_phase(&self.machine.phase),
                Some(Input::TableAhead(bytes)) => self.note(|journey| journey.table(bytes)),
                Some(Input::RunState(word)) => self.run_state = Some(word),
                Some(Input::Written(account)) => {
                    if let Some(news) = written(&account) {
                        self.tell_movers(&line_of(&news));
                        self.written = news;
                    }
                }
                Some(Input::Threads(threads)) => self.threads = Some(threads),
                Some(Input::Gone) => self.asking = self.asking.saturating_sub(1),
                Some(Input::Ask { request, reply }) => {
                    self.asking += 1;
                    self.asked(request, reply)?;
                }
            }
            self.settle();
        }
    }

    /// In the account of the move from here, if there is one.
    fn note(&mut self, note: impl FnOnce(&mut Journey)) {
        if let Some(journey) = &mut self.journey {
            note(journey);
        }
    }

    /// To whoever waits for the move, and into the log. (A line of it that is lost does no harm.)
    fn warn(&mut self, warning: &str) {
        self.store.note(self.agent.uuid, warning).ok();
        self.tell_movers(&line_of(&json!({ "phase": warning, "warning": true })));
        self.note(|journey| journey.warned(warning));
    }

    fn happened(&mut self, event: Event) -> Result<(), StoreError> {
        if let Event::Went { action, result } = &event {
            self.underway = self.underway.saturating_sub(1);
            if let (Action::Check | Action::Run, Err(why)) = (action, result) {
                self.not_started = Some(why.clone());
            }
            if *action == Action::Loaded {
                self.loaded = Some(result.clone().map(drop));
            }
            if matches!(action, Action::ChangeCd { .. }) {
                self.cd_changed = Some(result.clone().map(drop));
            }
            // (Why it is paused is in the line of the phase.)
            let quiet = matches!(action, Action::Retry | Action::AskDisk);
            // A line of the log that is lost (the file system is full) does no harm.
            if let (Err(why), false) = (result, quiet) {
                self.store.note(self.agent.uuid, &format!("could not {}: {why}", action.words())).ok();
            }
            if let (Some(journey), Ok(_)) = (&mut self.journey, result) {
                journey.went(action);
            }
        }
        let ran = matches!(&event, Event::Went { action: Action::Run, result: Ok(_) });
        self.step(event)?;
        self.confirmed |= ran;
        Ok(())
    }

    /// Events are not wishes: what they lead to cannot be refused.
    fn step(&mut self, event: Event) -> Result<(), StoreError> {
        self.wish(event).map(drop)
    }

    /// Takes an event through the rules, the journal, and to the hands; gives why a wish is refused.
    fn wish(&mut self, event: Event) -> Result<Option<super::phase::Refusal>, StoreError> {
        let mut next = self.machine.clone();
        let actions = match next.step(event) {
            Ok(actions) => actions,
            Err(refusal) => return Ok(Some(refusal)),
        };
        if next != self.machine {
            let text = serde_json::to_string(&next).map_err(crate::agent::AgentError::from)?;
            let mut line = next.phase.to_string();
            if let (Some(failure), true) = (&next.failure, next.failure != self.machine.failure) {
                line = format!("{line} ({failure})");
            }
            self.store.set_phase(self.agent.uuid, &text, &line)?;
            if next.phase != self.machine.phase {
                self.phase_changes(&next.phase);
            }
            self.machine = next;
        }
        for action in actions {
            self.underway += 1;
            self.queue.send(action).ok();
        }
        Ok(None)
    }

    fn phase_changes(&mut self, next: &Phase) {
        self.confirmed = false;
        self.written = Value::Null;
        self.moving.send_replace(leads_to(next));
        self.net.phase(next);
        self.deadline = match next {
            Phase::Leaving { at: Leave::Copying, .. } | Phase::Suspending { at: Suspend::Writing, .. } => {
                Some(Instant::now() + COPYING)
            }
            Phase::Leaving { at: Leave::Switching { .. }, .. } => Some(Instant::now() + SWITCHING),
            _ => None,
        };
        self.tell_phase(next);
    }

    fn tell_phase(&self, phase: &Phase) {
        self.tell_movers(&line_of(&json!({ "phase": phase.to_string() })));
    }

    /// To whoever waits for what may take its time.
    fn tell_movers(&self, line: &str) {
        let waits = |wish: &Wish| matches!(wish, Wish::Moved | Wish::Suspended | Wish::Running);
        for waiter in self.waiters.iter().filter(|waiter| waits(&waiter.wish)) {
            waiter.reply.send(line.to_owned()).ok();
        }
    }

    fn tell_followers(&self) {
        let mut following = self.waiters.iter().filter(|w| matches!(w.wish, Wish::Following)).peekable();
        if following.peek().is_none() {
            return;
        }
        let line = line_of(&self.status());
        for waiter in following {
            waiter.reply.send(line.clone()).ok();
        }
    }

    fn qemu_said(&mut self, event: &qmp::Event) -> Result<(), StoreError> {
        if let Some(word) = self.state_after(event) {
            self.run_state = Some(word.to_owned());
        }
        match event.name.as_str() {
            "STOP" => {
                self.net.stands();
                self.note(Journey::stopped);
                self.step(Event::Stopped)
            }
            "BLOCK_IO_ERROR" if event.data["action"] == json!("stop") => {
                self.step(Event::IoPaused { no_space: event.data["nospace"] == json!(true) })
            }
            "MIGRATION" => match event.migration() {
                Some(status) => self.migration_is(&status),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// QEMU's word for how its machine is after this, where it changes.
    fn state_after(&self, event: &qmp::Event) -> Option<&'static str> {
        match event.name.as_str() {
            "RESUME" => Some("running"),
            "BLOCK_IO_ERROR" if event.data["action"] == json!("stop") => Some("io-error"),
            // (That one stands for a request was said just before.)
            "STOP" if self.run_state.as_deref() == Some("io-error") => None,
            "STOP" if matches!(self.machine.phase, Phase::Leaving { .. }) => Some("finish-migrate"),
            "STOP" => Some("paused"),
            "MIGRATION" if event.migration() == Some(MigrationStatus::Completed) => {
                matches!(self.machine.phase, Phase::Leaving { .. }).then_some("postmigrate")
            }
            _ => None,
        }
    }

    fn migration_is(&mut self, status: &MigrationStatus) -> Result<(), StoreError> {
        match status {
            MigrationStatus::PreSwitchover => {
                self.note(Journey::drained);
                self.step(Event::PreSwitchover)
            }
            MigrationStatus::Completed => {
                self.note(Journey::completed);
                self.step(Event::Completed)
            }
            // Whoever writes a file of it tells why.
            _ if matches!(self.machine.phase, Phase::Suspending { .. }) => Ok(()),
            MigrationStatus::Failed | MigrationStatus::Cancelled => {
                self.step(Event::CopyFailed { why: "the link broke, or the other QEMU ended".into() })
            }
            _ => Ok(()),
        }
    }

    fn looked(&mut self, status: &MigrationStatus, news: &Value) -> Result<(), StoreError> {
        if let Some(journey) = &mut self.journey
            && let Some(progress) = journey.news(news, NEWS)
        {
            self.tell_movers(&line_of(&progress));
            self.tell_followers();
        }
        self.migration_is(status)
    }

    fn asked(&mut self, request: Request, reply: UnboundedSender<String>) -> Result<(), StoreError> {
        let (event, wish) = match request {
            Request::Status => {
                reply.send(done(&self.status())).ok();
                return Ok(());
            }
            Request::Sense { every_ms } => {
                self.sense(every_ms, reply);
                return Ok(());
            }
            Request::Follow => {
                reply.send(line_of(&self.status())).ok();
                self.waiters.push(Waiter { wish: Wish::Following, reply });
                return Ok(());
            }
            Request::Launch => (Event::Launch, Wish::Running),
            Request::LaunchHere => (Event::LaunchHere, Wish::Running),
            Request::Shutdown => (Event::PowerDown, Wish::Off),
            Request::Kill => (Event::Kill, Wish::Off),
            Request::Cd { file, force } => {
                self.cd_changed = None;
                (Event::Cd { file, force }, Wish::CdChanged)
            }
            // (One that is on its way is at neither site, and the rules say so.)
            Request::Migrate { to } if to == self.site && !self.machine.phase.is_move() => {
                reply.send(failed("the agent is there already", Some("see `snowbird status`"))).ok();
                return Ok(());
            }
            Request::Migrate { to } => (Event::Migrate { attempt: Uuid::new_v4(), to }, Wish::Moved),
            Request::Cancel => (Event::Cancel, Wish::NotMoving),
            Request::Suspend => (Event::Suspend { id: Uuid::new_v4() }, Wish::Suspended),
            Request::Resume { at: Some(to), force } if to != self.site => {
                (Event::ResumeAt { attempt: Uuid::new_v4(), to, force }, Wish::Moved)
            }
            Request::Resume { force, .. } => {
                (Event::Resume { attempt: Uuid::new_v4(), force }, Wish::Running)
            }
            Request::Loaded { attempt } => (Event::Loaded { attempt }, Wish::Loaded(attempt)),
            Request::Arrive { attempt, from, patience_s } => {
                (Event::Arrive { attempt, from, patience_s }, Wish::Listening(attempt))
            }
            Request::Go { attempt } => (Event::Go { attempt }, Wish::Verdict(attempt)),
            Request::GiveUp { attempt } => (Event::GiveUp { attempt }, Wish::Nothing),
        };
        self.not_started = None;
        self.loaded = None;
        let moves = match &event {
            Event::Migrate { to, .. } | Event::ResumeAt { to, .. } => Some(to.clone()),
            _ => None,
        };
        if let Some(refusal) = self.wish(event)? {
            reply.send(failed(&refusal.message, Some(refusal.hint))).ok();
            return Ok(());
        }
        if let Some(to) = moves {
            self.journey = Some(Journey::begin(&self.site, &to));
        }
        self.waiters.push(Waiter { wish, reply });
        Ok(())
    }

    /// Begins to tell what the agent's processors want.
    fn sense(&self, every_ms: u64, reply: UnboundedSender<String>) {
        let phase = &self.machine.phase;
        let here = !matches!(phase, Phase::Off(_) | Phase::Launching | Phase::Arriving { .. });
        match self.threads.clone().filter(|_| here) {
            Some(threads) => {
                tokio::spawn(senses::tell(threads, every_ms, self.moving.subscribe(), reply));
            }
            None => {
                let why = format!("the agent does not run here: it is {phase}");
                reply.send(failed(&why, Some("see `snowbird status`"))).ok();
            }
        }
    }

    /// Tells those who follow it what has changed, and answers those whose wish is decided.
    fn settle(&mut self) {
        let followed = (self.machine.phase.clone(), self.stands());
        if followed != self.followed {
            self.followed = followed;
            self.tell_followers();
        }
        let waiters = std::mem::take(&mut self.waiters);
        for waiter in waiters.into_iter().filter(|waiter| !waiter.reply.is_closed()) {
            match self.decided(&waiter.wish) {
                Some(line) => drop(waiter.reply.send(line)),
                None => self.waiters.push(waiter),
            }
        }
    }
}

/// Where it is being moved to.
fn leads_to(phase: &Phase) -> Option<String> {
    if let Phase::Leaving { to, .. } = phase { Some(to.clone()) } else { None }
}

/// A line of news.
fn line_of(value: &Value) -> String {
    format!("{}\n", json!({ "progress": value }))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::agent::small::{fill, on_a_small_file_system};
    use crate::agent::tests::example;
    use crate::control::Here;

    #[test]
    fn a_line_of_the_log_that_finds_no_room_does_not_end_the_supervisor() {
        let own =
            "supervisor::shell::tests::a_line_of_the_log_that_finds_no_room_does_not_end_the_supervisor";
        on_a_small_file_system(own, |folder| {
            let agent = example();
            let mut store = Store::open(folder).unwrap();
            store.put(&agent, &serde_json::to_string(&Machine::default()).unwrap(), "created").unwrap();
            fill(folder);
            // Until what is kept for phases is used up, too.
            while store.note(agent.uuid, &"x".repeat(1000)).is_ok() {}
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let here = Here { home: folder.to_owned(), wandisk: None };
                let net = Teller::new(here, &agent, "desk");
                let (queue, _actions) = unbounded_channel();
                let shell = Shell::new(agent, "desk".to_owned(), store, Machine::default(), net, queue);
                let (sender, inputs) = unbounded_channel();
                let went = Event::Went {
                    action: Action::Sweep { keep: None },
                    result: Err("x".repeat(1000).into()),
                };
                sender.send(Input::Event(went)).unwrap();
                sender.send(Input::Warning("its disk may not find room".to_owned())).unwrap();
                let (reply, mut answer) = unbounded_channel();
                sender.send(Input::Ask { request: Request::Status, reply }).unwrap();
                drop(sender);
                shell.run(inputs).await.unwrap();
                assert!(answer.recv().await.unwrap().contains("\"state\":\"off\""));
            });
        });
    }
}
