//! Giving up what is here: a whole replica (`rm`), or local bytes (`evict`). Nothing that only this site holds goes without
//! force (law L14).

use std::sync::Arc;

use serde_json::{Value, json};
use wandisk_store::{Residency, SiteId, Tombstone, Version};

use super::{Keeper, Report};
use crate::handover::apply::apply_named;
use crate::handover::holding;
use crate::handover::promise::Purpose;
use crate::peer::error::{Code, Refusal};
use crate::peer::message::Progress;

/// Chunks that are evicted under one commit.
const EVICT_BATCH: usize = 1024;

/// This site has said that it leaves. Dropped (the caller went away, or nobody promised), it takes that back.
struct Leaving(Option<Arc<Keeper>>);

impl Leaving {
    /// Says so, durably, before anybody is asked: two sites cannot both lean on each other.
    async fn say(keeper: &Arc<Keeper>) -> Result<Leaving, Refusal> {
        keeper.say_leaving(true).await?;
        Ok(Leaving(Some(Arc::clone(keeper))))
    }

    async fn take_back(mut self) -> Result<(), Refusal> {
        // Given up only when it is done: the caller may go away in the middle of this, too.
        if let Some(keeper) = &self.0 {
            keeper.say_leaving(false).await?;
        }
        self.0 = None;
        Ok(())
    }

    /// It does leave.
    fn for_good(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(keeper) = self.0.take() else { return };
        tokio::spawn(async move {
            let _busy = keeper.busy();
            if let Err(e) = keeper.say_leaving(false).await {
                tracing::warn!(error = %e, "a removal that was given up could not be taken back: sync or attach does it");
            }
        });
    }
}

impl Keeper {
    /// May the replica's files go? Then this keeper ends, so that they can; the answer has the tombstone.
    pub(super) async fn release_files(
        self: &Arc<Self>,
        force: bool,
        replica_only: bool,
    ) -> Result<Value, Refusal> {
        self.refuse_in_a_hand_over()?;
        if self.attached_as().await.is_some() {
            return Err(Refusal::new(Code::InUse, "the disk is attached").hint("run `wandisk detach` first"));
        }
        let _giving = self.giving.lock().await;
        let meta = self.engine.meta();
        if replica_only && meta.is_resident() {
            return Err(Refusal::new(
                Code::Rules,
                "the disk is resident here: removing only this replica would stop it",
            )
            .hint("move it to another site first"));
        }
        if meta.is_resident() && meta.sites.len() > 1 && !force {
            return Err(Refusal::new(
                Code::Rules,
                "the disk is resident here, and other sites have replicas of it",
            )
            .hint("move it to another site first, or use --force to end it"));
        }
        let leaving = Leaving::say(self).await?;
        let only_here = if force { 0 } else { self.held_by_nobody_else().await };
        if only_here > 0 {
            leaving.take_back().await?;
            return Err(Refusal::new(
                Code::Rules,
                format!("{only_here} chunks are held by this site alone and would be lost"),
            )
            .hint("sync another site first, or use --force to give them up"));
        }
        let tombstone = Tombstone {
            uuid: meta.uuid,
            name: self.engine.dir().name().to_owned(),
            lineages: meta.lineages,
            epoch: meta.epoch,
            released_to: if meta.resident == meta.here { None } else { Some(meta.resident) },
            at: crate::sync::now_ms(),
        };
        leaving.for_good();
        self.tell_dropped(None, &self.others()).await;
        self.quit();
        Ok(json!({"only_here": only_here, "tombstone": tombstone}))
    }

    /// Nothing is dropped while it is not sure where the disk is (interleaving 14).
    fn refuse_in_a_hand_over(&self) -> Result<(), Refusal> {
        let prepared_here = self.giving.try_lock().map_or(true, |giving| giving.is_some());
        let disk = self.engine.dir().name();
        let (why, hint) = match self.engine.meta().residency {
            Residency::Released { attempt } => {
                let to = self.site_name(attempt.to);
                let why = format!("the disk was released to {to}, which does not know it yet");
                (why, format!("finish with `wandisk move {disk} --to {to}` first"))
            }
            Residency::Prepared { attempt } => {
                let (from, here) = (self.site_name(attempt.from), self.home.name());
                let why = format!("a hand-over from {from} is prepared here and may have been released");
                (
                    why,
                    format!("finish with `wandisk move {disk} --to {here}`, or `wandisk abort` it at {from}"),
                )
            }
            Residency::Resident if prepared_here => {
                let why = "a hand-over of the disk is under way".to_owned();
                (why, "wait for it, or end a prepared one with `wandisk abort`".to_owned())
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(Code::Rules, why).hint(hint))
    }

    async fn say_leaving(&self, leaving: bool) -> Result<(), Refusal> {
        apply_named(&self.engine, move |meta| {
            if leaving {
                return holding::leave(meta);
            }
            holding::stay(meta);
            Ok(())
        })
        .await
    }

    /// The replica is wanted: a removal that was cut is off.
    pub(super) async fn stay(&self) -> Result<(), Refusal> {
        if self.engine.meta().leaving { self.say_leaving(false).await } else { Ok(()) }
    }

    fn others(&self) -> Vec<SiteId> {
        let meta = self.engine.meta();
        meta.sites.iter().map(|s| s.id).filter(|s| *s != meta.here).collect()
    }

    /// Chunks held here that no other site promises to hold.
    async fn held_by_nobody_else(&self) -> u64 {
        let held = self.engine.held_versions();
        let promised = self.held_elsewhere(&held, &self.others(), Purpose::Drop).await;
        // What is written of chunks whose rest is elsewhere, nobody else has at all.
        (held.len() - promised.len() + self.engine.overlaid_chunks()) as u64
    }

    /// Gives local bytes up, of chunks that another site promises to hold, until at most `keep_bytes` are held here.
    pub(super) async fn evict(self: &Arc<Self>, keep_bytes: u64, report: &Report) -> Result<Value, Refusal> {
        self.refuse_in_a_hand_over()?;
        // No hand-over and no second eviction meanwhile.
        let _giving = self.giving.lock().await;
        let chunk_size = u64::from(self.engine.hot_chunk_size());
        let held = self.engine.held_versions();
        let goes = held.len() as u64 - (keep_bytes / chunk_size).min(held.len() as u64);
        // The end of the disk first, for want of a better order: boot and metadata are at its beginning.
        let wanted: Vec<(u64, Version)> =
            held.iter().rev().take(usize::try_from(goes).unwrap_or(usize::MAX)).copied().collect();
        let leaving = Leaving::say(self).await?;
        // It shares the blocks that are to be freed.
        self.engine.drop_moment().await.map_err(|e| Refusal::failed(&e))?;
        let result = self.evict_promised(&wanted, goes, report).await;
        leaving.take_back().await?;
        let evicted = result?;
        let left = goes - evicted;
        Ok(json!({
            "evicted": evicted, "bytes": evicted * chunk_size, "kept": held.len() as u64 - evicted,
            "not_promised": left,
        }))
    }

    async fn evict_promised(
        &self,
        wanted: &[(u64, Version)],
        total: u64,
        report: &Report,
    ) -> Result<u64, Refusal> {
        let others = self.others();
        let mut evicted = 0;
        for part in wanted.chunks(EVICT_BATCH) {
            let promised = self.held_elsewhere(part, &others, Purpose::Drop).await;
            let mut going: Vec<(u64, Version)> =
                part.iter().filter(|(chunk, _)| promised.contains(chunk)).copied().collect();
            let gone = self.engine.evict(&going).await.map_err(|e| Refusal::failed(&e))?;
            going.retain(|(chunk, _)| gone.contains(chunk));
            self.tell_dropped(Some(&going), &others).await;
            evicted += going.len() as u64;
            report(Progress { phase: "evict".to_owned(), total, done: evicted, bytes: 0 });
        }
        Ok(evicted)
    }
}
