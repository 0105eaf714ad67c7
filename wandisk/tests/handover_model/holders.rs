//! Sites that fetch, drop and ask each other for promises while the disk moves: the last write is always held by somebody.

use std::collections::BTreeSet;

use stateright::{Model, Property};
use wandisk::handover::holding;
use wandisk::handover::rules::{self, Refused};
use wandisk_store::{DiskMeta, Residency, Row, Version};

use crate::world::{Limits, World, attempt_id, digest, site_id};

/// What may happen: writes, moves, rounds of asking, crashes.
pub struct Holders {
    pub writes: u8,
    pub moves: u8,
    pub rounds: u8,
    pub crashes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    residency: Residency,
    epoch: u64,
    resident: usize,
    leaving: bool,
    version: u64,
    held: u64,
    /// What it asks now, in memory: the round, the version, and whether somebody promised it.
    asking: Option<(u8, u64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    Ask { from: usize, to: usize, version: u64, round: u8 },
    Promise { to: usize, round: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    sites: Vec<Site>,
    sent: BTreeSet<Message>,
    last: u64,
    writes: u8,
    moves: u8,
    rounds: u8,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Write(usize),
    /// A replica pulls the resident's row.
    Pull(usize),
    Fetch(usize),
    Move(usize, usize),
    Leave(usize),
    Drop(usize),
    Stay(usize),
    Crash(usize),
    Arrive(Message),
}

const SITES: usize = 3;

impl Disk {
    fn meta(&self, at: usize) -> DiskMeta {
        let limits = Limits { sites: SITES, attempts: 0, writes: 0, crashes: 0, late_rows: 0, takeovers: 0 };
        let site = &self.sites[at];
        DiskMeta {
            residency: site.residency.clone(),
            epoch: wandisk_store::Epoch(site.epoch),
            resident: site_id(site.resident),
            leaving: site.leaving,
            ..World::new(&limits).meta(at)
        }
    }

    fn apply<T>(
        &mut self,
        at: usize,
        rule: impl FnOnce(&mut DiskMeta) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let mut meta = self.meta(at);
        let done = rule(&mut meta)?;
        let site = &mut self.sites[at];
        site.residency = meta.residency;
        site.epoch = meta.epoch.0;
        site.resident = crate::world::site_of(meta.resident);
        site.leaving = meta.leaving;
        Ok(done)
    }

    fn row(&self, at: usize) -> Row {
        let version = |counter: u64| if counter == 0 { Version::NONE } else { Version::new(0, counter) };
        let site = &self.sites[at];
        Row { version: version(site.version), held: version(site.held), ..Row::default() }
    }

    fn hand_over(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let table = digest(self.sites[from].version);
        let attempt = rules::begin(&self.meta(from), attempt_id(self.moves), site_id(to), table)?;
        self.apply(to, |meta| {
            rules::receive(meta, attempt.lineage, wandisk_store::Epoch(attempt.epoch.0 - 1))
        })?;
        self.sites[to].version = self.sites[from].version;
        self.apply(to, |meta| rules::prepare(meta, attempt, table))?;
        self.apply(from, |meta| rules::release(meta, attempt))?;
        self.apply(to, |meta| rules::grant(meta, attempt, table))?;
        self.apply(from, |meta| {
            rules::done(meta, &attempt);
            Ok(())
        })
    }

    fn resident(&self) -> usize {
        (0..SITES).find(|s| self.sites[*s].residency == Residency::Resident).unwrap()
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Write(at) => {
                self.writes += 1;
                self.last += 1;
                self.sites[at].version = self.last;
                self.sites[at].held = self.last;
            }
            Action::Pull(at) => self.sites[at].version = self.sites[self.resident()].version,
            Action::Fetch(at) => self.sites[at].held = self.sites[at].version,
            Action::Move(from, to) => {
                self.moves += 1;
                if self.clone().hand_over(from, to).is_ok() {
                    self.hand_over(from, to).unwrap();
                }
            }
            Action::Leave(at) => {
                self.rounds += 1;
                if self.apply(at, holding::leave).is_ok() {
                    let (round, version) = (self.rounds, self.sites[at].held);
                    self.sites[at].asking = Some((round, version, false));
                    let asks = (0..SITES).filter(|to| *to != at);
                    self.sent.extend(asks.map(|to| Message::Ask { from: at, to, version, round }));
                }
            }
            Action::Drop(at) => {
                self.sites[at].held = 0;
                self.sites[at].asking = None;
            }
            Action::Stay(at) => {
                self.sites[at].asking = None;
                self.apply(at, |meta| {
                    holding::stay(meta);
                    Ok(())
                })
                .unwrap();
            }
            Action::Crash(at) => {
                self.crashes += 1;
                self.sites[at].asking = None;
            }
            Action::Arrive(Message::Ask { from, to, version, round }) => {
                let (meta, row) = (self.meta(to), self.row(to));
                let asked = Version::new(0, version);
                if holding::promises(&meta, &self.meta(from).lineages, &row, asked) == Ok(true) {
                    self.sent.insert(Message::Promise { to: from, round });
                }
            }
            Action::Arrive(Message::Promise { to, round }) => {
                if let Some((now, _, promised)) = &mut self.sites[to].asking
                    && *now == round
                {
                    *promised = true;
                }
            }
        }
    }
}

impl Model for Holders {
    type State = Disk;
    type Action = Action;

    fn init_states(&self) -> Vec<Disk> {
        let site = |n: usize| Site {
            residency: if n == 0 { Residency::Resident } else { Residency::Replica },
            epoch: 1,
            resident: 0,
            leaving: false,
            version: 1,
            held: u64::from(n < 2),
            asking: None,
        };
        let sites = (0..SITES).map(site).collect();
        vec![Disk { sites, sent: BTreeSet::new(), last: 1, writes: 0, moves: 0, rounds: 0, crashes: 0 }]
    }

    fn actions(&self, disk: &Disk, actions: &mut Vec<Action>) {
        let resident = disk.resident();
        for at in 0..SITES {
            let site = &disk.sites[at];
            if at == resident {
                if disk.writes < self.writes {
                    actions.push(Action::Write(at));
                }
                if disk.moves < self.moves {
                    actions.extend((0..SITES).filter(|to| *to != at).map(|to| Action::Move(at, to)));
                }
            } else if site.version != disk.sites[resident].version {
                actions.push(Action::Pull(at));
            }
            let somebody = disk.sites.iter().any(|s| s.version == site.version && s.held == site.version);
            if site.held != site.version && somebody {
                actions.push(Action::Fetch(at));
            }
            if disk.rounds < self.rounds && site.held != 0 && site.asking.is_none() {
                actions.push(Action::Leave(at));
            }
            if site.asking.is_some_and(|(_, version, promised)| promised && version == site.held) {
                actions.push(Action::Drop(at));
            }
            if site.leaving {
                actions.push(Action::Stay(at));
            }
            if disk.crashes < self.crashes {
                actions.push(Action::Crash(at));
            }
        }
        actions.extend(disk.sent.iter().map(|message| Action::Arrive(*message)));
    }

    fn next_state(&self, disk: &Disk, action: Action) -> Option<Disk> {
        let mut next = disk.clone();
        next.step(action);
        (next != *disk).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the last write is held by somebody", |_, disk: &Disk| {
                disk.sites.iter().any(|s| s.held == disk.last)
            }),
            Property::sometimes("the resident has dropped what another holds", |_, disk: &Disk| {
                disk.sites[disk.resident()].held == 0
            }),
            Property::sometimes("two sites have dropped theirs", |_, disk: &Disk| {
                disk.sites.iter().filter(|s| s.held == 0).count() == 2
            }),
        ]
    }
}
