//! The target's end: rows are stored as they come, the last ones durably with the attempt, and the grant opens the
//! disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wandisk_store::{Attempt, AttemptId, SiteId};

use super::apply::{Failed, apply, apply_named, named};
use super::rules::{self, Granted, Refused};
use super::steps::{self, Step};
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::facts::{learn, numbers_of};
use crate::peer::message::{Answer, Ask, Facts, MoveReport, Standing, SyncTimes, WholeTable};
use crate::peer::rows;

/// Sites that a `move` asks one after the other for where the disk is.
const HOPS_MAX: usize = 6;

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
        let numbers = numbers_of(&self.engine, facts).await?;
        let rows = rows::unpack(body, &numbers).ok_or_else(senseless)?;
        self.receive(facts).await?;
        self.engine.adopt_rows_of(self.lineage_of(facts), &rows).await.map_err(|e| Refusal::failed(&e))?;
        Ok(Answer::done())
    }

    /// Makes this site fit to take rows in; a table of an epoch that has passed is not the table (law L1).
    async fn receive(&self, facts: &Facts) -> Result<(), Refusal> {
        let (lineage, epoch) = (self.lineage_of(facts), facts.epoch);
        let before = self.engine.meta();
        let mut after = before.clone();
        let ready = rules::receive(&mut after, lineage, epoch).is_ok() && after == before;
        if ready {
            return Ok(());
        }
        apply_named(&self.engine, move |meta| rules::receive(meta, lineage, epoch)).await
    }

    /// Answers [`Ask::Final`]: durable and compared before *prepared* is said.
    pub(crate) async fn take_final(
        &self,
        attempt: Attempt,
        facts: &Facts,
        whole: Option<WholeTable>,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        let began = Instant::now();
        if whole.is_some() {
            self.receive(facts).await?;
            let theirs = rows::unpack_ranges(body, self.engine.meta().chunks()).ok_or_else(senseless)?;
            let ours = self.engine.ranges_with_rows();
            let keep: BTreeSet<u64> = rows::common(&ours, &theirs).collect();
            self.engine.forget_rows_except(&keep).await.map_err(|e| Refusal::failed(&e))?;
        } else {
            self.take_rows(facts, body).await?;
        }
        let (engine, counter) = (&self.engine, facts.counter);
        // The digest is taken where no other rows can come in between.
        let prepared = apply(engine, move |meta| {
            rules::prepare(meta, attempt, engine.table_mark().0)?;
            meta.counter = meta.counter.max(counter);
            // The whole table of one moment, whatever of it is held.
            meta.consistent_at = Some(crate::sync::now_ms());
            Ok(())
        });
        match prepared.await {
            Ok(()) => Ok(Answer::Prepared {
                attempt: attempt.id,
                digest: attempt.digest,
                syncs_us: self.syncs_since(began),
            }),
            Err(Failed::Refused(Refused::OtherTable { here })) => Ok(Answer::Differs { digest: here }),
            Err(e) => Err(e.named(&self.engine.meta())),
        }
    }

    fn lineage_of(&self, facts: &Facts) -> wandisk_store::LineageId {
        facts.lineages.last().copied().unwrap_or_else(|| self.engine.meta().lineage())
    }

    /// Answers [`Ask::Grant`]: resident, durably, before *done* is said.
    pub(crate) async fn take_grant(self: &Arc<Self>, attempt: Attempt) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let engine = &self.engine;
        let granted = apply_named(engine, move |meta| {
            let granted = rules::grant(meta, attempt, engine.table_mark().0)?;
            if granted == Granted::Now {
                meta.consistent_at = None;
            }
            Ok(granted)
        });
        if granted.await? == Granted::Now {
            self.engine.drop_moment().await.map_err(|e| Refusal::failed(&e))?;
            self.engine.thaw().await;
            self.promote().await;
        }
        Ok(Answer::Done { syncs_us: self.syncs_since(began) })
    }

    /// For whoever waits with writes held.
    fn syncs_since(&self, moment: Instant) -> SyncTimes {
        SyncTimes::of(&self.engine.syncs().since(moment))
    }

    /// Answers [`Ask::Abort`].
    pub(crate) async fn take_abort(&self, id: AttemptId) -> Result<Answer, Refusal> {
        apply_named(&self.engine, move |meta| {
            rules::abort(meta, id);
            Ok(())
        })
        .await?;
        Ok(Answer::done())
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
        self.earlier_hand_over().await;
        for _ in 0..HOPS_MAX {
            let meta = self.engine.meta();
            match steps::next(&meta, to) {
                Step::Here => return Err(self.already_at(to)),
                Step::Give => return self.give(to, force, report).await,
                Step::Grant(attempt) => {
                    self.grant(attempt).await?;
                    if attempt.to == to {
                        return Ok(self.finished(attempt));
                    }
                }
                Step::AskSource(attempt) if self.finish_prepared(attempt).await? => {
                    if to == meta.here {
                        return Ok(self.finished(attempt));
                    }
                }
                Step::AskSource(_) | Step::AskResident(_) => {
                    // Asked anew: a source may have told of a later resident.
                    let resident = self.engine.meta().resident;
                    let refused = match self.ask_resident_to_give(resident, to, force, report).await {
                        Err(e) if !is_final(&e) => e,
                        outcome => return outcome.map_err(into_refusal),
                    };
                    // It is not the resident, or does not answer: another site may know better.
                    let Some(instead) = self.look_everywhere(&refused).await? else {
                        if self.engine.meta().resident != resident {
                            continue;
                        }
                        return Err(into_refusal(refused));
                    };
                    match self.ask_resident_to_give(instead, to, force, report).await {
                        Err(e) if !is_final(&e) => {}
                        outcome => return outcome.map_err(into_refusal),
                    }
                }
                Step::Overtaken { epoch, resident } => {
                    return Err(named(&meta, Refused::Overtaken { epoch, resident }));
                }
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

    /// This site prepared and heard no more: was it released? Then it is resident now.
    async fn finish_prepared(self: &Arc<Self>, attempt: Attempt) -> Result<bool, Refusal> {
        // Where it does not answer, the disk may be elsewhere by now.
        let Ok(there) = self.peers.standing_of(attempt.from).await else { return Ok(false) };
        learn(&self.engine, &there.facts).await?;
        if steps::was_released(&attempt, &there.residency) {
            self.take_grant(attempt).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Asks every site how the disk stands there, learns from it, and finds whom to ask.
    ///
    /// # Errors
    /// If nobody can be asked and a site is in another lineage: a person has to decide.
    pub(crate) async fn look_everywhere(
        &self,
        why: &(dyn std::fmt::Display + Sync),
    ) -> Result<Option<SiteId>, Refusal> {
        tracing::info!(%why, "the resident that is known here cannot help: every site is asked");
        let meta = self.engine.meta();
        let others = meta.sites.iter().map(|s| s.id).filter(|s| *s != meta.here);
        let asked = others.map(|site| async move { (site, self.peers.standing_of(site).await) });
        let (mut standings, mut diverged) = (Vec::new(), None);
        for (site, asked) in futures::future::join_all(asked).await {
            let Ok(there) = asked else { continue };
            match learn(&self.engine, &there.facts).await {
                Ok(()) => standings.push((site, there)),
                Err(e) if e.code == Code::Diverged => diverged = Some(e),
                Err(e) => tracing::info!(%site, error = %e, "a site's facts were not taken"),
            }
        }
        let known = standings.iter().map(|(site, there)| (*site, &there.residency, there.facts.epoch));
        match (steps::ask_instead(known), diverged) {
            (Some(site), _) => Ok(Some(site)),
            (None, Some(diverged)) => Err(diverged),
            (None, None) => Ok(None),
        }
    }

    async fn ask_resident_to_give(
        &self,
        resident: SiteId,
        to: SiteId,
        force: bool,
        report: &Report,
    ) -> Result<MoveReport, PeerError> {
        let ask = Ask::HandOver { to, lineage: self.engine.meta().lineage(), force };
        let asked = self.peers.ask_reporting(resident, ask, Bytes::new(), report).await?;
        let Answer::Moved(done) = asked.0 else {
            return Err(PeerError::Confused { site: self.site_name(resident) });
        };
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
        self.grow_as_told(&there.facts).await
    }

    /// A replica whose disk has grown elsewhere grows, and is opened anew.
    ///
    /// # Errors
    /// [`Code::Again`] where it does.
    pub(crate) async fn grow_as_told(&self, facts: &Facts) -> Result<(), Refusal> {
        let meta = self.engine.meta();
        if facts.size_counter > meta.size_counter && facts.size_bytes > meta.size_bytes {
            self.grow_and_restart(facts.size_bytes, facts.size_counter).await?;
            return Err(
                Refusal::new(Code::Again, "the replica grows and is opened anew").hint("run it again")
            );
        }
        Ok(())
    }
}

/// Is there nothing to be gained by asking another site?
fn is_final(error: &PeerError) -> bool {
    matches!(error, PeerError::Refused { refusal, .. } if refusal.code != Code::NotResident)
        || matches!(error, PeerError::Confused { .. })
}

fn into_refusal(error: PeerError) -> Refusal {
    match error {
        PeerError::Refused { refusal, .. } => refusal,
        other => Refusal::failed(&other),
    }
}

fn senseless() -> Refusal {
    Refusal::new(Code::Senseless, "the far side said something that makes no sense")
}
