//! What can happen next, and what must always hold.

use stateright::{Model, Property};
use wandisk::handover::lineage;
use wandisk::handover::rules::{self, Granted, Refused};
use wandisk_store::{Attempt, Residency};

use crate::finish;
use crate::world::{Limits, Message, Phase, Site, World, attempt_id, digest, lineage_id, site_id, site_of};

pub struct Handover(pub Limits);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Write(usize),
    /// The table goes ahead of an attempt, or to a sync that asked.
    Ahead {
        from: usize,
        to: usize,
        pulled: bool,
    },
    /// Writes are held, the last message goes out.
    Begin {
        from: usize,
        to: usize,
    },
    Commit(usize),
    /// The lease ran out, or the caller gave up: writes go on.
    GiveUp(usize),
    /// The process dies; what is durable is read again.
    Crash(usize),
    /// The source offers its grant (again), or its whole table where the target asked for it.
    OfferGrant(usize),
    SendAgain(usize),
    Arrive {
        message: Message,
        at: usize,
    },
    TakeOver(usize),
}

impl Model for Handover {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.0)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let limits = &self.0;
        let sites = 0..world.sites.len();
        for at in sites.clone() {
            let others = sites.clone().filter(|to| *to != at);
            let Site { phase, open, durable } = &world.sites[at];
            if *open && *phase == Phase::Idle && world.writes < limits.writes {
                actions.push(Action::Write(at));
            }
            if world.is_resident(at) && world.late_rows < limits.late_rows {
                for to in others.clone() {
                    actions.push(Action::Ahead { from: at, to, pulled: false });
                    actions.push(Action::Ahead { from: at, to, pulled: true });
                }
            }
            if *phase == Phase::Idle && world.attempts < limits.attempts && world.is_resident(at) {
                actions.extend(others.map(|to| Action::Begin { from: at, to }));
            }
            if matches!(phase, Phase::Ready(_)) {
                actions.push(Action::Commit(at));
            }
            if *phase != Phase::Idle {
                actions.push(Action::GiveUp(at));
            }
            if world.crashes < limits.crashes {
                actions.push(Action::Crash(at));
            }
            if let Residency::Released { attempt } = durable.residency {
                actions.push(Action::OfferGrant(at));
                if world.sent.contains(&Message::NotPrepared { attempt }) {
                    actions.push(Action::SendAgain(at));
                }
            }
            if world.takeovers < limits.takeovers && !world.is_resident(at) {
                actions.push(Action::TakeOver(at));
            }
        }
        for message in &world.sent {
            let arrive = |at: usize| Action::Arrive { message: *message, at };
            match message {
                Message::News(_) => actions.extend(sites.clone().map(arrive)),
                Message::Push { to, .. } | Message::Pulled { to, .. } => actions.push(arrive(*to)),
                Message::Final { attempt, .. } | Message::Grant { attempt } | Message::Abort { attempt } => {
                    actions.push(arrive(site_of(attempt.to)));
                }
                Message::Prepared { attempt } | Message::Done { attempt } => {
                    actions.push(arrive(site_of(attempt.from)));
                }
                // Heard when its table is sent again.
                Message::NotPrepared { .. } => {}
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("never two residents of one lineage", |_, world: &World| {
                let residents = (0..world.sites.len()).filter(|s| world.is_resident(*s));
                let mut lineages: Vec<_> = residents.map(|s| world.lineage(s)).collect();
                let all = lineages.len();
                lineages.sort_unstable();
                lineages.dedup();
                lineages.len() == all
            }),
            Property::always(
                "a resident's epoch is the highest that anybody knows of",
                |_, world: &World| {
                    let sites = 0..world.sites.len();
                    let epoch = |s: usize| world.sites[s].durable.epoch;
                    sites.clone().filter(|s| world.is_resident(*s)).all(|r| {
                        sites.clone().all(|s| world.lineage(s) != world.lineage(r) || epoch(s) <= epoch(r))
                    })
                },
            ),
            Property::always("only a resident's device is open", |_, world: &World| {
                (0..world.sites.len()).all(|s| !world.sites[s].open || world.is_resident(s))
            }),
            Property::always("the resident's table names the last acknowledged write", |_, world: &World| {
                (0..world.sites.len())
                    .filter(|s| world.is_resident(*s))
                    .all(|s| world.last[&world.lineage(s)] == world.sites[s].durable.row)
            }),
            Property::always("what was released does not change", |_, world: &World| {
                world.sites.iter().all(|s| match s.durable.residency {
                    Residency::Released { attempt } => attempt.digest == digest(s.durable.row),
                    _ => true,
                })
            }),
            Property::always("no step does what none may do", |_, world: &World| world.broken.is_none()),
            Property::always(
                "once the sites can talk, a move finishes or names what to decide",
                |_, world: &World| finish::from_anywhere(world).is_ok(),
            ),
        ];
        // What has to be met for the above to mean anything.
        if self.0.attempts > 1 {
            properties.push(Property::sometimes(
                "the disk goes to another site and comes back",
                |_, world: &World| {
                    world.is_resident(0)
                        && world.sites[0].durable.epoch.0 == 3
                        && world.lineage(0) == lineage_id(0)
                },
            ));
        }
        if self.0.late_rows > 0 {
            properties
                .push(Property::sometimes("a grant finds its preparation withdrawn", |_, world: &World| {
                    world.sent.iter().any(|m| matches!(m, Message::NotPrepared { .. }))
                }));
        }
        if self.0.takeovers > 0 {
            properties.push(Property::sometimes("two lineages have a resident each", |_, world: &World| {
                (0..world.sites.len()).filter(|s| world.is_resident(*s)).count() == 2
            }));
        }
        properties
    }
}

impl World {
    fn step(&mut self, action: Action) {
        match action {
            Action::Write(at) => {
                self.writes += 1;
                let row = u64::from(self.writes);
                self.sites[at].durable.row = row;
                self.last.insert(self.lineage(at), row);
            }
            Action::Ahead { from, to, pulled } => {
                self.late_rows += 1;
                let (news, row) = (self.news(from), self.sites[from].durable.row);
                self.sent.insert(if pulled {
                    Message::Pulled { to, news, row }
                } else {
                    Message::Push { to, news, row }
                });
            }
            Action::Begin { from, to } => {
                self.attempts += 1;
                let (meta, row) = (self.meta(from), self.sites[from].durable.row);
                let begun = rules::begin(&meta, attempt_id(self.attempts), site_id(to), digest(row));
                let Ok(attempt) = begun else { return };
                self.sites[from].phase = Phase::Waiting(attempt);
                self.send_final(from, attempt);
            }
            Action::Commit(at) => {
                let Phase::Ready(attempt) = self.sites[at].phase else { return };
                self.sites[at].phase = Phase::Idle;
                if self.apply(at, |meta| rules::release(meta, attempt)).is_ok() {
                    self.sent.insert(Message::Grant { attempt });
                }
            }
            Action::GiveUp(at) => {
                let (Phase::Waiting(attempt) | Phase::Ready(attempt)) = self.sites[at].phase else { return };
                self.sites[at].phase = Phase::Idle;
                self.sent.insert(Message::Abort { attempt });
            }
            Action::Crash(at) => {
                self.crashes += 1;
                self.sites[at].phase = Phase::Idle;
                self.sites[at].open = self.is_resident(at);
            }
            Action::OfferGrant(at) => {
                if let Residency::Released { attempt } = self.sites[at].durable.residency {
                    self.sent.insert(Message::Grant { attempt });
                }
            }
            Action::SendAgain(at) => {
                if let Residency::Released { attempt } = self.sites[at].durable.residency {
                    self.send_final(at, attempt);
                }
            }
            Action::Arrive { message, at } => self.arrive(message, at),
            Action::TakeOver(at) => {
                self.takeovers += 1;
                let (lineage, row) = (lineage_id(self.takeovers), self.sites[at].durable.row);
                if self.apply(at, |meta| lineage::take_over(meta, lineage, digest(row), &[], 0)).is_ok() {
                    self.last.insert(lineage, row);
                }
            }
        }
    }

    fn send_final(&mut self, from: usize, attempt: Attempt) {
        let (news, row) = (self.news(from), self.sites[from].durable.row);
        self.sent.insert(Message::Final { attempt, news, row });
    }

    fn arrive(&mut self, message: Message, at: usize) {
        match message {
            Message::News(news) => self.hear(at, news).unwrap_or(()),
            Message::Push { news, row, .. } => {
                if self.receive(at, news).is_ok() {
                    self.adopt(at, row);
                }
            }
            Message::Pulled { news, row, .. } => {
                // Asked for some time ago: it withdraws nothing, and an older row is left out.
                let newer = row >= self.sites[at].durable.row;
                if self.hear(at, news).is_ok() && newer {
                    self.adopt(at, row);
                }
            }
            Message::Final { attempt, news, row } => {
                let prepared = self.take_final(at, attempt, news, row);
                if prepared.is_ok() {
                    self.sent.insert(Message::Prepared { attempt });
                }
            }
            Message::Prepared { attempt } => {
                if let Phase::Waiting(waiting) = self.sites[at].phase
                    && rules::answers(&waiting, attempt.id, attempt.digest)
                {
                    self.sites[at].phase = Phase::Ready(waiting);
                }
            }
            Message::Grant { attempt } => {
                let answer = match self.take_grant(at, attempt) {
                    Ok(_) => Message::Done { attempt },
                    Err(Refused::NotPrepared { .. }) => Message::NotPrepared { attempt },
                    Err(_) => return,
                };
                self.sent.insert(answer);
            }
            Message::Done { attempt } => {
                let done = self.apply(at, |meta| {
                    rules::done(meta, &attempt);
                    Ok::<(), Refused>(())
                });
                done.unwrap();
            }
            Message::Abort { attempt } => {
                let aborted = self.apply(at, |meta| {
                    rules::abort(meta, attempt.id);
                    Ok::<(), Refused>(())
                });
                aborted.unwrap();
            }
            Message::NotPrepared { .. } => {}
        }
    }

    pub fn hear(&mut self, at: usize, news: crate::world::News) -> Result<(), Refused> {
        self.apply(at, |meta| rules::hear(meta, news.lineage, news.epoch, news.resident))
    }

    pub fn receive(&mut self, at: usize, news: crate::world::News) -> Result<(), Refused> {
        self.hear(at, news)?;
        self.apply(at, |meta| rules::receive(meta, news.lineage, news.epoch))
    }

    /// As the engine does: rows are a replica's to take.
    pub fn adopt(&mut self, at: usize, row: u64) {
        if self.sites[at].durable.residency == Residency::Replica {
            self.sites[at].durable.row = row;
        }
    }

    pub fn take_final(
        &mut self,
        at: usize,
        attempt: Attempt,
        news: crate::world::News,
        row: u64,
    ) -> Result<(), Refused> {
        self.receive(at, news)?;
        self.adopt(at, row);
        let table = digest(self.sites[at].durable.row);
        self.apply(at, |meta| rules::prepare(meta, attempt, table))
    }

    pub fn take_grant(&mut self, at: usize, attempt: Attempt) -> Result<Granted, Refused> {
        let table = digest(self.sites[at].durable.row);
        self.apply(at, |meta| rules::grant(meta, attempt, table))
    }
}
