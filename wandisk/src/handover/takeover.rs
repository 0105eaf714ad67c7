//! `takeover`: the resident is lost for good, and a person says so. What would be given up is told first.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wandisk_store::{DiskMeta, LineageId, Residency, SiteId};

use super::apply::{apply_named, named};
use super::lineage;
use super::promise::Purpose;
use super::rules::Refused;
use crate::keeper::Keeper;
use crate::peer::error::{Code, Refusal, chain};
use crate::peer::message::Standing;

/// A site that does not answer by then counts as lost.
const ASK_SITE: Duration = Duration::from_secs(10);
/// Runs of chunks that a report names one by one.
const RANGES_MAX: usize = 4096;

/// How to take over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeoverOptions {
    /// A person has said that the resident is lost.
    pub force: bool,
    /// Only tell what would be.
    pub dry_run: bool,
    /// Where current bytes are lost, take the older ones here.
    pub accept_old: bool,
    /// Even if the replica here mixes two moments.
    pub accept_mixed: bool,
}

/// What a takeover does, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeoverReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// The new lineage; none if none was begun.
    pub lineage: Option<LineageId>,
    /// The lineage that is left.
    pub parent: Option<LineageId>,
    /// Its highest epoch known here.
    pub epoch: u64,
    /// Its resident, as far as known here.
    pub resident: String,
    /// The moment of the table here (ms since 1970); null: it mixes two, or never was complete.
    pub consistent_at: Option<u64>,
    /// The kept moment that the replica goes back to first (`--accept-mixed`: it does not); null: none.
    #[serde(default)]
    pub goes_back_to: Option<u64>,
    /// Sites that answer.
    pub reachable: Vec<String>,
    /// Sites that count as lost.
    pub unreachable: Vec<String>,
    /// Reachable sites that know of a newer table than this one.
    pub newer_at: Vec<String>,
    /// Reachable sites that are in another lineage.
    pub diverged: Vec<String>,
    /// Chunks whose current bytes are here.
    pub held: u64,
    /// Chunks that reachable sites hold.
    pub elsewhere: u64,
    /// Chunks that nobody reachable holds: reading them is an error.
    pub lost: u64,
    /// Runs of those, first and last chunk.
    pub lost_chunks: Vec<(u64, u64)>,
    /// Lost chunks of which older bytes are here.
    pub old: u64,
    /// Runs of those.
    pub old_chunks: Vec<(u64, u64)>,
    /// Lost chunks whose older bytes were made current (`--accept-old`).
    pub accepted: u64,
}

/// Runs of ascending chunks.
#[must_use]
pub fn runs(chunks: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *chunk => *last = *chunk,
            _ => runs.push((*chunk, *chunk)),
        }
    }
    runs.truncate(RANGES_MAX);
    runs
}

impl Keeper {
    /// Makes this site resident of a new lineage, or tells what that would mean.
    ///
    /// # Errors
    /// A [`Refusal`] that says why not and what to do instead.
    pub async fn take_over(self: &Arc<Self>, options: TakeoverOptions) -> Result<TakeoverReport, Refusal> {
        let _giving = self.giving.lock().await;
        let meta = self.engine.meta();
        if meta.is_resident() && options.accept_old {
            return self.accept_old_afterwards(options).await;
        }
        // Asked of a copy first: a no costs nobody a question.
        let mut probe = meta.clone();
        lineage::take_over(&mut probe, meta.lineage(), self.engine.table_mark().0, &[], 0)
            .map_err(|e| named(&meta, e))?;
        let standings = self.ask_everybody(&meta).await;
        refuse_if_a_move_would_do(self, &meta, &standings)?;
        let (mut report, lost, reachable) = self.what_would_be(&meta, &standings).await;
        let is_mixed = report.consistent_at.is_none() && !options.accept_mixed;
        report.goes_back_to = meta.kept_moment.filter(|_| is_mixed);
        if options.dry_run {
            report.dry_run = true;
            return Ok(report);
        }
        if !options.force {
            return Err(Refusal::new(
                Code::Rules,
                "a takeover begins a new lineage, and what the old one wrote since is never merged",
            )
            .hint("see what it means with --dry-run, then say --force"));
        }
        if report.goes_back_to.is_some() {
            // This keeper's files are about to be others: the next one takes over.
            self.go_back().await?;
            return Ok(report);
        }
        if is_mixed {
            return Err(Refusal::new(
                Code::Rules,
                "the replica here is not of one moment: a sync was under way, or none was ever complete",
            )
            .hint(
                "take over at another site (`wandisk status` says from when each is), or say --accept-mixed",
            ));
        }
        let (engine, at) = (&self.engine, crate::sync::now_ms());
        let begun = apply_named(engine, move |meta| {
            lineage::take_over(meta, LineageId::random(), engine.table_mark().0, &reachable, at)
        });
        let fork = begun.await?;
        tracing::warn!(lineage = %fork.lineage, parent = %fork.parent, "the disk was taken over");
        report.lineage = Some(fork.lineage);
        if options.accept_old {
            report.accepted = self.accept_old(&lost).await?;
        }
        self.engine.drop_moment().await.map_err(|e| Refusal::failed(&e))?;
        self.engine.thaw().await;
        self.promote().await;
        Ok(report)
    }

    /// The takeover was before; a person decides about the lost chunks now.
    async fn accept_old_afterwards(&self, options: TakeoverOptions) -> Result<TakeoverReport, Refusal> {
        let meta = self.engine.meta();
        let absent = self.engine.lost_chunks();
        if absent.is_empty() || !options.force && !options.dry_run {
            return Err(named(&meta, Refused::AlreadyHere).hint("no chunk is lost that has older bytes here"));
        }
        let standings = self.ask_everybody(&meta).await;
        let (mut report, lost, _) = self.what_would_be(&meta, &standings).await;
        report.dry_run = options.dry_run;
        if !options.dry_run {
            report.accepted = self.accept_old(&lost).await?;
        }
        Ok(report)
    }

    /// This keeper ends, and the next one finds the replica as it was at its kept moment.
    async fn go_back(&self) -> Result<(), Refusal> {
        if self.attached_as().await.is_some() {
            return Err(Refusal::new(
                Code::InUse,
                "the disk is attached here, and an attached disk cannot go back to its last consistent moment",
            )
            .hint("detach it first, or say --accept-mixed to take the newer bytes"));
        }
        self.engine.tell_to_go_back(lineage::gone_back).await.map_err(|e| {
            Refusal::new(Code::Failed, format!("the replica cannot go back: {}", chain(&e)))
                .hint("say --accept-mixed to take the newer bytes, which are not of one moment")
        })?;
        self.quit();
        Ok(())
    }

    async fn accept_old(&self, lost: &[u64]) -> Result<u64, Refusal> {
        let accepted = self.engine.accept_older_bytes(lost).await.map_err(|e| Refusal::failed(&e))?;
        for (first, last) in runs(&accepted) {
            tracing::warn!(first, last, "older bytes were accepted in place of lost ones");
        }
        Ok(accepted.len() as u64)
    }

    /// How the disk stands at each other site; none where one does not answer within [`ASK_SITE`].
    pub(crate) async fn ask_everybody(&self, meta: &DiskMeta) -> Vec<(SiteId, Option<Standing>)> {
        let others = meta.sites.iter().map(|s| s.id).filter(|s| *s != meta.here);
        let asked = others.map(|site| async move {
            let answer = tokio::time::timeout(ASK_SITE, self.peers.standing_of(site)).await;
            (site, answer.ok().and_then(Result::ok))
        });
        futures::future::join_all(asked).await
    }

    async fn what_would_be(
        &self,
        meta: &DiskMeta,
        standings: &[(SiteId, Option<Standing>)],
    ) -> (TakeoverReport, Vec<u64>, Vec<SiteId>) {
        let name = |site: &SiteId| self.site_name(*site);
        let here: Vec<(SiteId, &Standing)> =
            standings.iter().filter_map(|(site, there)| Some((*site, there.as_ref()?))).collect();
        let same = |there: &Standing| there.facts.lineages == meta.lineages;
        let reachable: Vec<SiteId> = here.iter().map(|(site, _)| *site).collect();
        let newer =
            |there: &Standing| same(there) && (there.facts.epoch, there.counter) > (meta.epoch, meta.counter);
        let absent = self.engine.absent_versions();
        let found = self.held_elsewhere(&absent, &reachable, Purpose::Know).await;
        let lost: Vec<u64> =
            absent.iter().map(|(chunk, _)| *chunk).filter(|chunk| !found.contains(chunk)).collect();
        let old = self.engine.with_older_bytes(&lost);
        let report = TakeoverReport {
            dry_run: false,
            lineage: None,
            parent: Some(meta.lineage()),
            epoch: meta.epoch.0,
            resident: self.site_name(meta.resident),
            consistent_at: meta.consistent_at,
            goes_back_to: None,
            reachable: reachable.iter().map(name).collect(),
            unreachable: standings.iter().filter(|(_, s)| s.is_none()).map(|(site, _)| name(site)).collect(),
            newer_at: here.iter().filter(|(_, s)| newer(s)).map(|(site, _)| name(site)).collect(),
            diverged: here.iter().filter(|(_, s)| !same(s)).map(|(site, _)| name(site)).collect(),
            held: self.engine.tally().counts.held,
            elsewhere: found.len() as u64,
            lost: lost.len() as u64,
            lost_chunks: runs(&lost),
            old: old.len() as u64,
            old_chunks: runs(&old),
            accepted: 0,
        };
        (report, lost, reachable)
    }
}

/// While a hand-over can still bring the disk here in its own lineage, a takeover would only make two of one.
fn refuse_if_a_move_would_do(
    keeper: &Keeper,
    meta: &DiskMeta,
    standings: &[(SiteId, Option<Standing>)],
) -> Result<(), Refusal> {
    let answers =
        |site: SiteId| site == meta.here || standings.iter().any(|(s, there)| *s == site && there.is_some());
    for (site, there) in standings {
        let Some(there) = there.as_ref().filter(|there| there.facts.lineages == meta.lineages) else {
            continue;
        };
        let why = match there.residency {
            Residency::Resident => {
                format!("the disk is resident at {}, which answers", keeper.site_name(*site))
            }
            Residency::Released { attempt } if answers(attempt.to) => {
                let (from, to) = (keeper.site_name(*site), keeper.site_name(attempt.to));
                format!("{from} released the disk to {to}, and both answer")
            }
            _ => continue,
        };
        let (disk, here) = (keeper.engine.dir().name(), keeper.home.name());
        return Err(Refusal::new(Code::Rules, why).hint(format!("run `wandisk move {disk} --to {here}`")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn chunks_are_named_in_runs() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
        assert_eq!(runs(&[]), []);
    }
}
