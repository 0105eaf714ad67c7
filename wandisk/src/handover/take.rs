//! The target's end: rows are stored as they come, the last ones durably with the attempt, and the grant opens the
//! disk.

use std::collections::BTreeSet;

use bytes::Bytes;
use wandisk_store::{Attempt, AttemptId, Residency, SiteId};

use super::rules::{self, Granted};
use crate::engine::MetaError;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, Refusal};
use crate::peer::facts::{learn, numbers_of};
use crate::peer::message::{Answer, Ask, Facts, MoveReport, Standing, WholeTable};
use crate::peer::rows;

/// Sites that a `move` asks one after the other for where the disk is.
const HOPS_MAX: usize = 4;

impl Keeper {
    /// How the disk stands here.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let meta = self.engine.meta();
        let (digest, _) = self.engine.table_mark();
        Standing {
            site: meta.here,
            name: self.home.name().to_owned(),
            facts: Facts::of(&meta, self.engine.dir().name()),
            residency: meta.residency,
            counter: meta.counter,
            digest,
            missing_chunks: self.engine.missing_count().0,
            consistent_at: meta.consistent_at,
        }
    }

    /// Answers [`Ask::Offer`].
    pub(crate) async fn take_offer(&self, facts: &Facts) -> Result<Answer, Refusal> {
        learn(&self.engine, facts).await?;
        let meta = self.engine.meta();
        if facts.size_counter > meta.size_counter && facts.size_bytes > meta.size_bytes {
            self.grow_and_restart(facts.size_bytes, facts.size_counter).await?;
            return Err(Refusal::new(Code::Again, "the replica grows and is opened anew"));
        }
        Ok(Answer::Standing(Box::new(self.standing())))
    }

    /// Answers [`Ask::Push`].
    pub(crate) async fn take_rows(&self, facts: &Facts, body: &[u8]) -> Result<Answer, Refusal> {
        self.refuse_rows_from_a_loser(facts)?;
        let numbers = numbers_of(&self.engine, facts).await.ok_or_else(senseless)?;
        let rows = rows::unpack(body, &numbers).ok_or_else(senseless)?;
        if !rows.is_empty() {
            self.mixing().await?;
        }
        self.engine.adopt_rows(&rows).await.map_err(|e| Refusal::failed(&e))?;
        Ok(Answer::Done)
    }

    /// A table of an epoch that has passed is not the table (law L1).
    fn refuse_rows_from_a_loser(&self, facts: &Facts) -> Result<(), Refusal> {
        let meta = self.engine.meta();
        if meta.is_resident() || facts.epoch < meta.epoch {
            let text = format!(
                "epoch {} of {} is over: the disk is resident at {} since epoch {}",
                facts.epoch,
                self.site_name(facts.resident),
                self.site_name(meta.resident),
                meta.epoch
            );
            return Err(Refusal::new(Code::Rules, text));
        }
        Ok(())
    }

    /// Answers [`Ask::Final`]: durable and compared before *prepared* is said.
    pub(crate) async fn take_final(
        &self,
        attempt: Attempt,
        facts: &Facts,
        whole: Option<WholeTable>,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        self.refuse_rows_from_a_loser(facts)?;
        if whole.is_some() {
            let theirs = rows::unpack_ranges(body, self.engine.meta().chunks()).ok_or_else(senseless)?;
            let ours = self.engine.ranges_with_rows();
            let keep: BTreeSet<u64> = rows::common(&ours, &theirs).collect();
            self.engine.forget_rows_except(&keep).await.map_err(|e| Refusal::failed(&e))?;
        } else {
            self.take_rows(facts, body).await?;
        }
        let (digest, _) = self.engine.table_mark();
        if digest != attempt.digest {
            return Ok(Answer::Differs { digest });
        }
        let (lineage, counter) = (self.lineage_of(facts), facts.counter);
        let prepared = self.engine.change_meta(move |meta| {
            rules::prepare(meta, attempt, lineage).map_err(|e| MetaError::Refused(e.to_string()))?;
            meta.counter = meta.counter.max(counter);
            Ok(())
        });
        prepared.await.map_err(|e| match e {
            MetaError::Refused(why) => Refusal::new(Code::Rules, why),
            MetaError::Engine(e) => Refusal::failed(&e),
        })?;
        Ok(Answer::Prepared { attempt: attempt.id, digest })
    }

    fn lineage_of(&self, facts: &Facts) -> wandisk_store::LineageId {
        facts.lineages.last().copied().unwrap_or_else(|| self.engine.meta().lineage())
    }

    /// Answers [`Ask::Grant`]: resident, durably, before *done* is said.
    pub(crate) async fn take_grant(&self, attempt: Attempt) -> Result<Answer, Refusal> {
        let mut outcome = None;
        let changed = {
            let outcome = &mut outcome;
            self.engine
                .change_meta(move |meta| {
                    let granted =
                        rules::grant(meta, attempt).map_err(|e| MetaError::Refused(e.to_string()))?;
                    if granted == Granted::Now {
                        meta.consistent_at = None;
                    }
                    *outcome = Some(granted);
                    Ok(())
                })
                .await
        };
        changed.map_err(|e| match e {
            MetaError::Refused(why) => Refusal::new(Code::Rules, why),
            MetaError::Engine(e) => Refusal::failed(&e),
        })?;
        if outcome == Some(Granted::Now) {
            self.engine.thaw().await;
            self.promote().await;
        }
        Ok(Answer::Done)
    }

    /// Answers [`Ask::Abort`].
    pub(crate) async fn take_abort(&self, id: AttemptId) -> Result<Answer, Refusal> {
        let changed = self.engine.change_meta(move |meta| {
            rules::abort(meta, id);
            Ok(())
        });
        changed.await.map_err(|e| Refusal::failed(&e))?;
        Ok(Answer::Done)
    }

    /// Moves the disk to a site, from wherever it is; finishes what an earlier `move` began.
    ///
    /// # Errors
    /// A [`Refusal`] that says where the disk is and what to do.
    pub async fn move_to(
        self: &std::sync::Arc<Self>,
        to: SiteId,
        force: bool,
        report: &Report,
    ) -> Result<MoveReport, Refusal> {
        for _ in 0..HOPS_MAX {
            let meta = self.engine.meta();
            match meta.residency {
                Residency::Resident if to == meta.here => {
                    return Err(self.already_at(to));
                }
                Residency::Resident => return self.give(to, force, report).await,
                Residency::Released { attempt } => {
                    self.grant(attempt).await?;
                    if attempt.to == to {
                        return Ok(self.finished(attempt));
                    }
                }
                Residency::Prepared { attempt } => {
                    if let Some(done) = self.finish_prepared(attempt, to).await? {
                        return Ok(done);
                    }
                    return self.ask_resident_to_give(meta.resident, to, force, report).await;
                }
                Residency::Replica => match self.ask_resident_to_give(meta.resident, to, force, report).await
                {
                    Err(e) if e.code == Code::NotResident => self.look_for_resident(meta.resident).await?,
                    other => return other,
                },
            }
        }
        let meta = self.engine.meta();
        Err(Refusal::new(
            Code::NotResident,
            format!("the disk's resident was not found (last heard of at {})", self.site_name(meta.resident)),
        )
        .hint("run `wandisk status` at each site"))
    }

    pub(crate) fn already_at(&self, to: SiteId) -> Refusal {
        Refusal::new(Code::Rules, format!("the disk is resident at {} already", self.site_name(to)))
    }

    fn finished(&self, attempt: Attempt) -> MoveReport {
        MoveReport { to: self.site_name(attempt.to), epoch: attempt.epoch.0, ..MoveReport::default() }
    }

    /// This site prepared and heard no more: was it released?
    async fn finish_prepared(&self, attempt: Attempt, to: SiteId) -> Result<Option<MoveReport>, Refusal> {
        let (answer, _) = self
            .peers
            .ask(attempt.from, Ask::Standing, Bytes::new())
            .await
            .map_err(|e| Refusal::failed(&e))?;
        let Answer::Standing(there) = answer else { return Err(senseless()) };
        let released = there.residency == (Residency::Released { attempt });
        if released {
            self.take_grant(attempt).await?;
            return Ok((to == self.engine.meta().here).then(|| self.finished(attempt)));
        }
        Ok(None)
    }

    async fn ask_resident_to_give(
        &self,
        resident: SiteId,
        to: SiteId,
        force: bool,
        report: &Report,
    ) -> Result<MoveReport, Refusal> {
        let asked =
            self.peers.ask_reporting(resident, Ask::HandOver { to, force }, Bytes::new(), report).await;
        let (answer, _) = asked.map_err(|e| match e {
            crate::peer::error::PeerError::Refused { refusal, .. } => refusal,
            other => Refusal::failed(&other),
        })?;
        let Answer::Moved(done) = answer else { return Err(senseless()) };
        // So that this site, too, knows where it is now.
        if to != self.engine.meta().here
            && let Err(e) = self.look_for_resident(to).await
        {
            tracing::debug!(error = %e, "the new resident was not asked");
        }
        Ok(done)
    }

    /// Asks a site how the disk stands there and learns from it.
    pub(crate) async fn look_for_resident(&self, site: SiteId) -> Result<(), Refusal> {
        let (answer, _) =
            self.peers.ask(site, Ask::Standing, Bytes::new()).await.map_err(|e| Refusal::failed(&e))?;
        let Answer::Standing(there) = answer else { return Err(senseless()) };
        learn(&self.engine, &there.facts).await?;
        let (facts, meta) = (there.facts, self.engine.meta());
        if facts.size_counter > meta.size_counter && facts.size_bytes > meta.size_bytes {
            self.grow_and_restart(facts.size_bytes, facts.size_counter).await?;
            return Err(
                Refusal::new(Code::Again, "the replica grows and is opened anew").hint("run it again")
            );
        }
        Ok(())
    }
}

fn senseless() -> Refusal {
    Refusal::new(Code::Senseless, "the far side said something that makes no sense")
}
