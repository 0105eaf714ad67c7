//! From any state, with every site up and able to talk: what `wandisk move` comes to.
//!
//! The steps are the real ones (`handover::steps`); what is asked of another site is answered at once.

use wandisk::handover::rules::{self, Refused};
use wandisk::handover::steps::{self, Step};
use wandisk_store::{Attempt, Residency};

use crate::world::{Phase, World, attempt_id, digest, site_id, site_of};

const HOPS: usize = 6;

/// Every `move`, run at every site to every site.
pub fn from_anywhere(world: &World) -> Result<(), String> {
    let sites = 0..world.sites.len();
    for at in sites.clone() {
        for to in sites.clone() {
            let mut copy = world.clone();
            let outcome = copy.finish(at, to);
            copy.judge(at, to, outcome).map_err(|e| format!("move at {at} to {to}: {e}"))?;
        }
    }
    Ok(())
}

impl World {
    fn judge(&self, at: usize, to: usize, outcome: Result<(), Refused>) -> Result<(), String> {
        match outcome {
            Ok(()) if !self.is_resident(to) => Err("it ended without a resident there".to_owned()),
            Ok(()) if self.last[&self.lineage(to)] != self.sites[to].durable.row => {
                Err("a write is lost".to_owned())
            }
            Ok(()) => Ok(()),
            // A person must decide, and is told what: the lineages or the copied site are named.
            Err(Refused::Diverged { .. }) => {
                let lineages: Vec<_> = (0..self.sites.len()).map(|s| self.lineage(s)).collect();
                let differ = lineages.iter().any(|l| *l != lineages[0]);
                if differ { Ok(()) } else { Err("diverged from nobody".to_owned()) }
            }
            Err(refused) => Err(format!("at {at}: {refused}")),
        }
    }

    fn finish(&mut self, at: usize, to: usize) -> Result<(), Refused> {
        // Attempts that somebody left in the middle end with their lease.
        for site in 0..self.sites.len() {
            let (Phase::Waiting(attempt) | Phase::Ready(attempt)) = self.sites[site].phase else { continue };
            self.sites[site].phase = Phase::Idle;
            self.apply(site_of(attempt.to), |meta| {
                rules::abort(meta, attempt.id);
                Ok(())
            })?;
        }
        for _ in 0..HOPS {
            match steps::next(&self.meta(at), site_id(to)) {
                Step::Here => return Ok(()),
                Step::Give => return self.give(at, to),
                Step::Grant(attempt) => self.grant(at, attempt)?,
                Step::AskSource(attempt) => {
                    let source = site_of(attempt.from);
                    let there = self.news(source);
                    self.hear(at, there)?;
                    if steps::was_released(&attempt, &self.sites[source].durable.residency) {
                        self.take_grant(at, attempt)?;
                    } else if self.ask_around(at, to)? {
                        return Ok(());
                    }
                }
                Step::AskResident(_) => {
                    if self.ask_around(at, to)? {
                        return Ok(());
                    }
                }
                Step::Overtaken { epoch, resident } => return Err(Refused::Overtaken { epoch, resident }),
            }
        }
        let durable = &self.sites[at].durable;
        Err(Refused::NotResident { resident: durable.resident, epoch: durable.epoch })
    }

    /// Asks the resident that is known at `at`, then whoever seems to have the disk. Was it given, or there already?
    fn ask_around(&mut self, at: usize, to: usize) -> Result<bool, Refused> {
        if self.ask_resident(at, site_of(self.sites[at].durable.resident), to)? {
            return Ok(true);
        }
        let mut diverged = None;
        let mut standings = Vec::new();
        for site in (0..self.sites.len()).filter(|site| *site != at) {
            let there = self.news(site);
            match self.hear(at, there) {
                Ok(()) => {
                    standings.push((site_id(site), self.sites[site].durable.residency.clone(), there.epoch));
                }
                Err(e) => diverged = Some(e),
            }
        }
        match steps::ask_instead(standings.iter().map(|(site, residency, epoch)| (*site, residency, *epoch)))
        {
            Some(instead) => self.ask_resident(at, site_of(instead), to),
            None => diverged.map_or(Ok(false), Err),
        }
    }

    /// What a site answers to `HandOver`; `false`: it is not the resident.
    fn ask_resident(&mut self, at: usize, asked: usize, to: usize) -> Result<bool, Refused> {
        let (here, there) = (self.lineage(asked), self.lineage(at));
        if here != there {
            return Err(Refused::Diverged { here, there });
        }
        match self.sites[asked].durable.residency.clone() {
            Residency::Resident => {
                if asked != to {
                    self.give(asked, to)?;
                }
                Ok(true)
            }
            Residency::Released { attempt } => self.grant(asked, attempt).map(|()| false),
            _ => Ok(false),
        }
    }

    fn give(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let row = self.sites[from].durable.row;
        let attempt = rules::begin(&self.meta(from), attempt_id(0), site_id(to), digest(row))?;
        let news = self.news(from);
        self.take_final(to, attempt, news, row)?;
        self.apply(from, |meta| rules::release(meta, attempt))?;
        self.grant(from, attempt)
    }

    fn grant(&mut self, from: usize, attempt: Attempt) -> Result<(), Refused> {
        let to = site_of(attempt.to);
        if let Err(e) = self.take_grant(to, attempt) {
            let Refused::NotPrepared { .. } = e else { return Err(e) };
            let (news, row) = (self.news(from), self.sites[from].durable.row);
            self.take_final(to, attempt, news, row)?;
            self.take_grant(to, attempt)?;
        }
        self.apply(from, |meta| {
            rules::done(meta, &attempt);
            Ok(())
        })
    }
}
