//! The model's state: sites, what was ever sent, and an oracle that knows which write is the last.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wandisk_store::{
    Attempt, AttemptId, DiskId, DiskMeta, Epoch, KnownSite, LineageId, Residency, SiteId, TableDigest,
};

/// How much may happen in one run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub sites: usize,
    pub attempts: u8,
    pub writes: u8,
    pub crashes: u8,
    /// Tables that are sent outside an attempt's last message (ahead of it, or to a sync), to arrive whenever.
    pub late_rows: u8,
    pub takeovers: u8,
}

/// The version that the table has for the one chunk: who wrote how often. 0: as created.
pub type Row = u64;

/// What survives a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Durable {
    pub lineages: Vec<LineageId>,
    pub epoch: Epoch,
    pub resident: SiteId,
    pub residency: Residency,
    pub row: Row,
}

/// What the source of an attempt has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Idle,
    /// Writes are held, the last message is out.
    Waiting(Attempt),
    /// The target answered; its caller may commit.
    Ready(Attempt),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    pub durable: Durable,
    pub phase: Phase,
    /// What the front-end may do: only an open device is written.
    pub open: bool,
}

/// Whatever was ever sent can arrive any number of times, in any order, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// Rows ahead of an attempt.
    Push {
        to: usize,
        news: News,
        row: Row,
    },
    /// Rows that a sync asked for.
    Pulled {
        to: usize,
        news: News,
        row: Row,
    },
    Final {
        attempt: Attempt,
        news: News,
        row: Row,
    },
    Prepared {
        attempt: Attempt,
    },
    Grant {
        attempt: Attempt,
    },
    NotPrepared {
        attempt: Attempt,
    },
    Done {
        attempt: Attempt,
    },
    Abort {
        attempt: Attempt,
    },
    /// What some site told of the disk as a whole; anybody may hear it.
    News(News),
}

/// The facts that decide anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct News {
    pub lineage: LineageId,
    pub epoch: Epoch,
    pub resident: SiteId,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub sites: Vec<Site>,
    pub sent: BTreeSet<Message>,
    /// The last acknowledged write of each lineage.
    pub last: BTreeMap<LineageId, Row>,
    pub attempts: u8,
    pub writes: u8,
    pub crashes: u8,
    pub late_rows: u8,
    pub takeovers: u8,
    /// A step did what no step may do.
    pub broken: Option<&'static str>,
}

pub fn site_id(site: usize) -> SiteId {
    SiteId(Uuid::from_u128(site as u128 + 1))
}

pub fn site_of(id: SiteId) -> usize {
    usize::try_from(id.0.as_u128() - 1).unwrap()
}

pub fn lineage_id(n: u8) -> LineageId {
    LineageId(Uuid::from_u128(0x100 + u128::from(n)))
}

pub fn attempt_id(n: u8) -> AttemptId {
    AttemptId(Uuid::from_u128(0x200 + u128::from(n)))
}

pub fn digest(row: Row) -> TableDigest {
    TableDigest([row, 0, 0, 0])
}

impl World {
    pub fn new(limits: &Limits) -> World {
        let site = |n: usize| Site {
            durable: Durable {
                lineages: vec![lineage_id(0)],
                epoch: Epoch(1),
                resident: site_id(0),
                residency: if n == 0 { Residency::Resident } else { Residency::Replica },
                row: 0,
            },
            phase: Phase::Idle,
            open: n == 0,
        };
        World {
            sites: (0..limits.sites).map(site).collect(),
            sent: BTreeSet::new(),
            last: BTreeMap::from([(lineage_id(0), 0)]),
            attempts: 0,
            writes: 0,
            crashes: 0,
            late_rows: 0,
            takeovers: 0,
            broken: None,
        }
    }

    /// A site's facts as the rules want them.
    pub fn meta(&self, site: usize) -> DiskMeta {
        let durable = &self.sites[site].durable;
        let known = |n: usize| KnownSite::named(site_id(n), "");
        DiskMeta {
            lineages: durable.lineages.clone(),
            epoch: durable.epoch,
            resident: durable.resident,
            residency: durable.residency.clone(),
            counter: durable.row,
            sites: (0..self.sites.len()).map(known).collect(),
            ..DiskMeta::new(DiskId(Uuid::nil()), 4096, 4096, durable.lineages[0], known(site))
        }
    }

    pub fn lineage(&self, site: usize) -> LineageId {
        *self.sites[site].durable.lineages.last().unwrap()
    }

    pub fn is_resident(&self, site: usize) -> bool {
        self.sites[site].durable.residency == Residency::Resident
    }

    pub fn news(&self, site: usize) -> News {
        let durable = &self.sites[site].durable;
        News { lineage: self.lineage(site), epoch: durable.epoch, resident: durable.resident }
    }

    /// Applies a rule to a site as the engine does: all or nothing, the device shut where the disk is not resident.
    pub fn apply<T, E>(
        &mut self,
        site: usize,
        rule: impl FnOnce(&mut DiskMeta) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.meta(site);
        let mut meta = before.clone();
        let done = rule(&mut meta)?;
        if meta.lineages == before.lineages && meta.epoch < before.epoch {
            self.broken = Some("an epoch went backwards");
        }
        let at = &mut self.sites[site];
        at.open &= meta.is_resident();
        let row = at.durable.row;
        at.durable = Durable {
            lineages: meta.lineages,
            epoch: meta.epoch,
            resident: meta.resident,
            residency: meta.residency,
            row,
        };
        if at.durable.residency == Residency::Resident && before.residency != Residency::Resident {
            at.open = true;
        }
        // Whatever is durable may be told to anybody.
        self.sent.insert(Message::News(self.news(site)));
        Ok(done)
    }
}
