//! The hub: carries out what [`Rehome`] says, and passes input on to the server that is shown.
//!
//! Invariant: one task owns both machines; links, viewers and `ctl` only send to it, over bounded queues.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::address::Address;
use crate::input::Input;
use crate::link::{self, Means, Order, Told};
use crate::rehome::{Action, Event, LinkId, Phase, Rehome};
use crate::viewer::Said;

/// Words that wait in each queue.
const QUEUE: usize = 256;
/// Time between attempts to reach a server that is not there.
const AGAIN: Duration = Duration::from_millis(200);

/// What `ctl` can ask.
#[derive(Debug)]
pub enum Ask {
    /// How it stands.
    Status,
    /// Keep input back; a change that is waited for goes on.
    Hold,
    /// A change; answered when it is done.
    Change(Event),
}

/// How it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Where the machine stands.
    pub phase: Phase,
    /// The server that is shown or waited for.
    pub upstream: String,
    /// The one that is prepared.
    pub prepared: Option<String>,
    /// Servers that were shown so far after the first.
    pub rehomes: u64,
    /// Input is held back until the next server is shown.
    pub held: bool,
    /// Input that waits for a server.
    pub waiting: usize,
    /// Input that was forgotten because too much waited.
    pub lost: u64,
    /// The last change: from the order to the new server's picture on its way to viewers, in milliseconds.
    pub last_ms: Option<f64>,
    /// Why the last link ended.
    pub last_end: Option<String>,
}

/// The answer: how it stands after it was done, or why it was not.
pub type Answer = Result<Status, String>;
/// A question with the place for its answer.
pub type Question = (Ask, oneshot::Sender<Answer>);

struct Link {
    id: LinkId,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The hub.
pub struct Hub {
    machine: Rehome,
    input: Input,
    means: Means,
    links: Vec<Link>,
    tell: mpsc::Sender<(LinkId, Told)>,
    told: mpsc::Receiver<(LinkId, Told)>,
    /// When a server that is not there is tried again: a moment, which no other event puts off.
    again: Option<Instant>,
    waits: Option<oneshot::Sender<Answer>>,
    shown: u64,
    asked: Instant,
    last: Option<Duration>,
    end: Option<String>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("machine", &self.machine).finish_non_exhaustive()
    }
}

/// The ways to a hub that runs.
#[derive(Debug, Clone)]
pub struct Ways {
    /// For viewers.
    pub said: mpsc::Sender<Said>,
    /// For `ctl`.
    pub ask: mpsc::Sender<Question>,
}

impl Hub {
    /// Starts a hub that shows the server at `upstream`, or waits for it; it ends with the runtime or when
    /// both its ways are dropped.
    #[must_use]
    pub fn start(upstream: Address, means: Means) -> Ways {
        let (said, heard) = mpsc::channel(QUEUE);
        let (ask, asked) = mpsc::channel(QUEUE);
        let (tell, told) = mpsc::channel(QUEUE);
        let mut hub = Self {
            machine: Rehome::new(upstream),
            input: Input::default(),
            means,
            links: Vec::new(),
            tell,
            told,
            again: None,
            waits: None,
            shown: 0,
            asked: Instant::now(),
            last: None,
            end: None,
        };
        tokio::spawn(async move {
            hub.step(Event::Again).await;
            hub.run(heard, asked).await;
        });
        Ways { said, ask }
    }

    async fn run(&mut self, mut heard: mpsc::Receiver<Said>, mut asked: mpsc::Receiver<Question>) {
        loop {
            let live = self.machine.hears().filter(|_| self.input.waits());
            let orders = self.links.iter().find(|link| Some(link.id) == live).map(|link| link.orders.clone());
            tokio::select! {
                said = heard.recv() => match said {
                    Some(Said::Message(viewer, message)) => {
                        self.means.tap.input(&message);
                        self.input.hear(viewer, message);
                    }
                    Some(Said::Clipboard) => self.input.clipboard(),
                    Some(Said::Gone(viewer)) => self.input.gone(viewer),
                    None => return,
                },
                question = asked.recv() => match question {
                    Some((ask, answer)) => self.answer(ask, answer).await,
                    None => return,
                },
                told = self.told.recv() => if let Some((id, told)) = told {
                    self.told(id, told).await;
                },
                () = sleep_until(self.again.unwrap_or_else(Instant::now).into()), if self.again.is_some() => {
                    self.again = None;
                    self.step(Event::Again).await;
                }
                permit = room(orders.as_ref()), if orders.is_some() => {
                    if let Some(permit) = permit && let Some(word) = self.input.take() {
                        permit.send(Order::Say(word));
                    }
                }
            }
        }
    }

    async fn answer(&mut self, ask: Ask, answer: oneshot::Sender<Answer>) {
        match ask {
            Ask::Status => drop(answer.send(Ok(self.status()))),
            Ask::Hold => {
                self.step(Event::Hold).await;
                drop(answer.send(Ok(self.status())));
            }
            Ask::Change(event) => {
                self.settle(Err("another command came".to_owned()));
                self.asked = Instant::now();
                self.waits = Some(answer);
                self.step(event).await;
            }
        }
    }

    async fn told(&mut self, id: LinkId, told: Told) {
        match told {
            Told::Loaded => self.step(Event::Loaded(id)).await,
            Told::Shown => {
                self.shown += 1;
                self.last = Some(self.asked.elapsed());
                self.input.new_server();
                self.step(Event::Shown(id)).await;
            }
            Told::Gone(why) => {
                self.links.retain(|link| link.id != id);
                self.end = Some(why.to_string());
                self.step(Event::Gone(id)).await;
            }
        }
    }

    async fn step(&mut self, event: Event) {
        for action in self.machine.step(event) {
            match action {
                Action::Connect(id, address) => {
                    let (orders, taken) = mpsc::channel(QUEUE);
                    let run = link::run(id, address, self.means.clone(), taken, self.tell.clone());
                    self.links.push(Link { id, orders, task: tokio::spawn(run) });
                }
                Action::Show(id) => {
                    if let Some(link) = self.links.iter().find(|link| link.id == id) {
                        let _ended = link.orders.send(Order::Show).await;
                    }
                }
                Action::Close(id) => self.links.retain(|link| link.id != id),
                Action::Wait => self.again = Some(Instant::now() + AGAIN),
                Action::Done => {
                    let status = self.status();
                    self.settle(Ok(status));
                }
                Action::Failed(why) => {
                    let end = self.end.as_deref().unwrap_or("unknown");
                    let why = format!("{why}: {end}");
                    self.settle(Err(why));
                }
            }
        }
    }

    fn settle(&mut self, answer: Answer) {
        if let Some(waits) = self.waits.take() {
            drop(waits.send(answer));
        }
    }

    fn status(&self) -> Status {
        Status {
            phase: self.machine.phase(),
            upstream: self.machine.address().to_string(),
            prepared: self.machine.prepared().map(ToString::to_string),
            rehomes: self.shown.saturating_sub(1),
            held: self.machine.held(),
            waiting: self.input.len(),
            lost: self.input.lost(),
            last_ms: self.last.map(|last| last.as_secs_f64() * 1e3),
            last_end: self.end.clone(),
        }
    }
}

async fn room(orders: Option<&mpsc::Sender<Order>>) -> Option<mpsc::Permit<'_, Order>> {
    orders?.reserve().await.ok()
}
