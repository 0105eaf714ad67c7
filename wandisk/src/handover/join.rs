//! `join`: a replica that has diverged leaves its lineage for the one that a person chose. Nothing is merged: it keeps
//! only what the new lineage's table names, and what it gives up is counted first.

use serde::{Deserialize, Serialize};
use wandisk_store::{LineageId, Residency, SiteId};

use super::apply::named as named_refusal;
use super::lineage::{self, Theirs};
use crate::engine::Access;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, Refusal};
use crate::peer::facts;
use crate::peer::message::{Facts, SyncOptions, SyncReport};

/// How to join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinOptions {
    /// Give up what only this lineage has.
    pub force: bool,
    /// Only tell what would be given up.
    pub dry_run: bool,
}

/// What a join did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// The lineage that is joined.
    pub lineage: LineageId,
    /// Chunks that were written here, or came here, after the two parted: given up.
    pub given_up: u64,
    /// What the sync that followed brought.
    pub synced: Option<SyncReport>,
}

impl Keeper {
    /// Leaves this site's lineage for that of `site`, which is resident in it, and syncs.
    ///
    /// # Errors
    /// A [`Refusal`]; run again, it goes on where it was cut.
    pub async fn join(
        self: &std::sync::Arc<Self>,
        site: SiteId,
        options: JoinOptions,
        report: &Report,
    ) -> Result<JoinReport, Refusal> {
        if self.attached_as().await.is_some() {
            return Err(Refusal::new(Code::InUse, "the disk is attached here").hint("detach it first"));
        }
        let _giving = self.giving.lock().await;
        let there = self.peers.standing_of(site).await.map_err(|e| Refusal::failed(&e))?;
        let theirs = there.facts;
        facts::check(&theirs)?;
        let meta = self.engine.meta();
        if theirs.uuid != meta.uuid || theirs.chunk_size != meta.chunk_size {
            return Err(Refusal::new(Code::Senseless, "the other site tells of another disk"));
        }
        let joined = *theirs.lineages.last().unwrap_or(&meta.lineage());
        if theirs.lineages == meta.lineages {
            let synced = if options.dry_run { None } else { Some(self.sync_joined(report).await?) };
            return Ok(JoinReport { dry_run: options.dry_run, lineage: joined, given_up: 0, synced });
        }
        if there.residency != Residency::Resident {
            let name = self.site_name(site);
            return Err(Refusal::new(
                Code::NotResident,
                format!("{name} is not resident in its lineage, so its table is not the newest"),
            )
            .hint("join at the site where that lineage is resident"));
        }
        let given_up = self.given_up_for(&theirs);
        if options.dry_run {
            return Ok(JoinReport { dry_run: true, lineage: joined, given_up, synced: None });
        }
        if (given_up > 0 || meta.is_resident()) && !options.force {
            return Err(Refusal::new(
                Code::Rules,
                format!("{given_up} chunks were written in this lineage since the two parted and would be given up"),
            )
            .hint("save them with `wandisk export` first, then say --force"));
        }
        {
            // No sync meanwhile: what it fetches is of the lineage that is left.
            let _syncing = self.syncing.lock().await;
            self.leave_for(theirs).await?;
        }
        let synced = Some(self.sync_joined(report).await?);
        Ok(JoinReport { dry_run: false, lineage: joined, given_up, synced })
    }

    /// Chunks whose version the other ancestry does not name.
    fn given_up_for(&self, theirs: &Facts) -> u64 {
        let named = self.names(theirs);
        let mut given_up = 0;
        self.engine.each_version(|version| given_up += u64::from(!named(version)));
        // Parts of chunks that are no version yet are of this lineage alone.
        given_up + self.engine.overlaid_chunks() as u64
    }

    /// Does the ancestry of `theirs` name a version of ours?
    fn names(&self, theirs: &Facts) -> impl Fn(wandisk_store::Version) -> bool + use<> {
        let ours = self.engine.meta().lineages;
        let shared = lineage::common(&ours, &theirs.lineages);
        let counter = lineage::parted(&ours, &theirs.lineages, &theirs.forks).map(|fork| fork.counter);
        move |version| lineage::is_shared(version, shared, counter)
    }

    async fn leave_for(&self, theirs: Facts) -> Result<(), Refusal> {
        let failed = |e: crate::engine::EngineError| Refusal::failed(&e);
        if self.engine.access() == Access::Open {
            // Everything durable and unmarked: from here on this site recovers as a replica.
            self.freeze_to_leave().await?;
        }
        // Of the lineage that is left.
        self.engine.drop_moment().await.map_err(|e| Refusal::failed(&e))?;
        self.engine.set_access(Access::Closed).await.map_err(failed)?;
        let named = self.names(&theirs);
        let shared = lineage::common(&self.engine.meta().lineages, &theirs.lineages);
        let left = self.engine.leave_lineage(
            |meta| {
                for site in &theirs.sites {
                    meta.learn_site(site.id, &site.name, site.address.as_deref());
                }
                let theirs = Theirs {
                    lineages: &theirs.lineages,
                    forks: &theirs.forks,
                    epoch: theirs.epoch,
                    resident: theirs.resident,
                };
                lineage::join(meta, &theirs)
            },
            named,
            |held| usize::from(held.lineage()) < shared,
        );
        match left.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => {
                self.engine.thaw().await;
                Err(named_refusal(&self.engine.meta(), refused))
            }
            // What is durable is read by the next keeper.
            Err(e) => {
                self.quit();
                Err(failed(e).hint("run the same command again"))
            }
        }
    }

    async fn sync_joined(self: &std::sync::Arc<Self>, report: &Report) -> Result<SyncReport, Refusal> {
        let options = SyncOptions { verify: false, no_freeze: false, rate: None };
        self.sync_here(crate::sync::Order::of_command(options), report).await
    }
}
