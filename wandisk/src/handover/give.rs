//! The source's end: the table goes ahead while writes go on, then writes are held for the last rows, then the disk
//! is released and granted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::AbortHandle;
use uuid::Uuid;
use wandisk_store::{Attempt, AttemptId, SiteId};

use super::apply::{Failed, apply, apply_named, named};
use super::rules;
use super::send::{Ahead, Sent};
use super::steps::{self, Committed};
use crate::engine::{Access, MetaError};
use crate::keeper::{Keeper, Report, not_frozen};
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::facts::learn;
use crate::peer::message::{Answer, Ask, Facts, MoveReport, PrepareReport, Progress, Standing, SyncTimes};

/// Passes over changed rows before writes are held.
const PASSES_MAX: u32 = 4;
/// So few rows go with the final message.
const FEW_ROWS: usize = 4096;
/// How long the grant is offered again before the command gives up (the release stands, `move` finishes it later).
const GRANT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a `move` waits for the end of one that was begun before, perhaps by itself over a link that broke.
const EARLIER_PATIENCE: Duration = Duration::from_secs(40);
/// Longest lease that a caller may ask for.
pub const LEASE_MAX: Duration = Duration::from_secs(600);

/// An attempt whose target answered *prepared*: writes are held until commit, abort or the end of the lease.
#[derive(Debug)]
pub struct Prepared {
    /// The attempt; its id is the caller's token.
    pub attempt: Attempt,
    frozen: Instant,
    began: Instant,
    sent: Sent,
    /// Bytes of rows that went before writes were held.
    bytes_before: u64,
    told: PrepareReport,
    lease: Option<AbortHandle>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.abort();
        }
    }
}

impl Keeper {
    /// Prepares a hand-over to `to` and holds writes; at most one attempt at a time. As soon as `to` has a replica, so that a standby
    /// can be attached there, that is reported. `name` is the caller's for this try ([`super::tries`]).
    ///
    /// # Errors
    /// A [`Refusal`]; writes go on then.
    pub async fn prepare(
        self: &std::sync::Arc<Self>,
        to: SiteId,
        lease: Duration,
        name: Option<Uuid>,
        report: &Report,
    ) -> Result<PrepareReport, Refusal> {
        let mut giving = self.giving.try_lock().map_err(|_| busy())?;
        if giving.is_some() {
            return Err(busy());
        }
        // Under the lock: an abort that comes from now on waits for it, and finds what this has prepared.
        self.is_not_over(name)?;
        let mut prepared = self.prepare_again(to, report).await?;
        let (id, told) = (prepared.attempt.id, prepared.told.clone());
        let keeper = std::sync::Arc::clone(self);
        let lease = lease.min(LEASE_MAX);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(lease).await;
            tracing::warn!(attempt = %id, "the lease of a prepared hand-over ended: it is aborted");
            if let Err(e) = keeper.abort(Some(id)).await {
                tracing::warn!(attempt = %id, error = %e, "a hand-over could not be aborted");
            }
        });
        prepared.lease = Some(timer.abort_handle());
        *giving = Some(prepared);
        Ok(told)
    }

    /// Releases and grants the prepared attempt; without a token, any. That it is released, which nothing takes back, is reported.
    /// With `standby` the front-end stays for whoever has it open: a VM that may have to go on here after all.
    ///
    /// # Errors
    /// A [`Refusal`] if nothing is prepared under that token, or the target did not answer (the release stands).
    pub async fn commit(
        self: &std::sync::Arc<Self>,
        token: Option<AttemptId>,
        standby: bool,
        report: &Report,
    ) -> Result<MoveReport, Refusal> {
        let mut giving = self.giving.lock().await;
        if let Some(prepared) = giving.take_if(|p| token.is_none_or(|t| t == p.attempt.id)) {
            return self.commit_attempt(prepared, standby, report).await;
        }
        // Repeating a commit that took effect is success.
        let attempt = match steps::commit_again(&self.engine.meta(), token) {
            Committed::GrantAgain(attempt) => {
                self.grant(attempt).await?;
                attempt
            }
            Committed::Before(attempt) => attempt,
            Committed::Nothing => {
                return Err(Refusal::new(Code::Rules, "no hand-over is prepared under that token")
                    .hint("prepare again: an attempt ends with its lease"));
            }
        };
        Ok(MoveReport { to: self.site_name(attempt.to), epoch: attempt.epoch.0, ..MoveReport::default() })
    }

    /// Gives a prepared attempt up; writes go on. Without a token, any. Nothing prepared is success too.
    ///
    /// # Errors
    /// A [`Refusal`] if the disk was released already.
    pub async fn abort(self: &std::sync::Arc<Self>, token: Option<AttemptId>) -> Result<(), Refusal> {
        let mut giving = self.giving.lock().await;
        if let Some(attempt) = steps::beyond_abort(&self.engine.meta(), token) {
            let to = self.site_name(attempt.to);
            return Err(Refusal::new(
                Code::Rules,
                format!("the disk was released to {to} already and cannot be kept"),
            )
            .hint("finish the hand-over with `wandisk move`, then move the disk back"));
        }
        let Some(mut prepared) = giving.take_if(|p| token.is_none_or(|t| t == p.attempt.id)) else {
            return Ok(());
        };
        // The timer may be the one who calls: it must not abort itself half-way.
        prepared.lease = None;
        self.give_up(&prepared).await;
        Ok(())
    }

    /// Waits until no hand-over is at work here: one goes on to its end though its command was interrupted or its link broke.
    pub(crate) async fn earlier_hand_over(&self) {
        tokio::time::timeout(EARLIER_PATIENCE, self.giving.lock()).await.ok();
    }

    /// Hands the disk over to `to` in one go.
    ///
    /// # Errors
    /// A [`Refusal`]; before the release the disk stays usable here.
    pub async fn give(
        self: &std::sync::Arc<Self>,
        to: SiteId,
        force: bool,
        report: &Report,
    ) -> Result<MoveReport, Refusal> {
        let giving = self.giving.try_lock().map_err(|_| busy())?;
        if giving.is_some() {
            return Err(busy());
        }
        if !force {
            self.refuse_if_in_use().await?;
        }
        let prepared = self.prepare_from(to, None, report).await?;
        if !force && let Err(in_use) = self.refuse_if_in_use().await {
            // Somebody came while the table was on its way (law L15).
            self.give_up(&prepared).await;
            return Err(in_use);
        }
        self.commit_attempt(prepared, false, &crate::keeper::no_report()).await
    }

    /// Writes go on, and the target is told.
    async fn give_up(&self, prepared: &Prepared) {
        self.engine.thaw().await;
        let abort = Ask::Abort { attempt: prepared.attempt.id };
        if let Err(e) = self.peers.ask(prepared.attempt.to, abort, Bytes::new()).await {
            tracing::info!(error = %e, "the target was not told of an abort; a later attempt replaces this one");
        }
    }

    /// For a VM manager, who sent the table ahead by an attempt that it aborted: its VM stands now, and each round trip counts.
    async fn prepare_again(&self, to: SiteId, report: &Report) -> Result<Prepared, Refusal> {
        let ahead = self.ahead().take();
        let upto = ahead.and_then(|ahead| ahead.upto(to, &self.engine.meta()));
        // Writes are held before that site says a word: it must at least be there.
        if let Some(upto) = upto.filter(|_| self.peers.rtt(to).is_some()) {
            match self.prepare_from(to, Some(upto), report).await {
                Err(e) if e.code != Code::Rules => {
                    tracing::info!(error = %e, "another site did not take the rest of the table: it is asked how it stands");
                }
                prepared => return prepared,
            }
        }
        self.prepare_from(to, None, report).await
    }

    /// Sends the table and holds writes; `upto`: the target has all rows up to that version, so that nothing is asked of it first.
    async fn prepare_from(
        &self,
        to: SiteId,
        upto: Option<u64>,
        report: &Report,
    ) -> Result<Prepared, Refusal> {
        let began = Instant::now();
        rules::begin(&self.engine.meta(), AttemptId::random(), to, wandisk_store::TableDigest::default())
            .map_err(|e| named(&self.engine.meta(), e))?;
        let mut sent = Sent::default();
        if let Some(upto) = upto {
            sent.upto = upto;
        } else {
            let standing = self.offer(to).await?;
            report(Progress { phase: "replica".to_owned(), total: 1, done: 1, bytes: 0 });
            if standing.facts.lineages == self.engine.meta().lineages {
                sent.upto = standing.counter;
            }
        }
        // What is partly written here becomes versions while writes still go on.
        self.engine.settle().await.map_err(|e| not_frozen(&e))?;
        for _ in 0..PASSES_MAX {
            // Rows leave only when they are durable here.
            self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
            if upto.is_some() && self.engine.rows_since(sent.upto, 0, FEW_ROWS + 1).len() <= FEW_ROWS {
                break;
            }
            let before = sent.rows;
            self.push_rows(to, &mut sent, report).await?;
            if sent.rows - before <= FEW_ROWS as u64 {
                break;
            }
        }
        let (frozen, bytes_before) = (Instant::now(), sent.bytes);
        self.freeze_for_hand_over().await?;
        let held = Instant::now();
        match self.send_final(to, &mut sent, report).await {
            Ok(attempt) => {
                *self.ahead() = Some(Ahead::new(to, &self.engine.meta()));
                let told = PrepareReport {
                    token: attempt.id,
                    ahead: upto.is_some(),
                    before_ms: ms(frozen - began),
                    freeze_ms: ms(held - frozen),
                    answer_ms: ms(held.elapsed()),
                    bytes: sent.bytes,
                };
                Ok(Prepared { attempt, frozen, began, sent, bytes_before, told, lease: None })
            }
            Err(e) => {
                self.engine.thaw().await;
                Err(e)
            }
        }
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, Option<Ahead>> {
        self.ahead.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells `to` of the disk, creating a replica there if it has none, and learns how it stands there.
    pub async fn offer(&self, to: SiteId) -> Result<Standing, Refusal> {
        let facts = Facts::of(&self.engine.meta(), self.engine.dir().name());
        self.peers.ensure_replica(to, &facts).await?;
        let mut tries = 0;
        let standing = loop {
            let facts = Facts::of(&self.engine.meta(), self.engine.dir().name());
            match self.peers.ask(to, Ask::Offer { facts }, Bytes::new()).await {
                Ok((Answer::Standing(standing), _)) => break *standing,
                Ok(_) => return Err(Refusal::failed(&PeerError::Confused { site: self.site_name(to) })),
                // A replica that has to grow is opened anew.
                Err(e) if e.code() == Some(Code::Again) && tries < 5 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(e) => return Err(Refusal::failed(&e)),
            }
        };
        // It may know of a later epoch: then this site's store was set back, and says so.
        learn(&self.engine, &standing.facts).await?;
        rules::believable(&self.engine.meta()).map_err(|e| named(&self.engine.meta(), e))?;
        // Holders and owners are numbered by sites that the table knows.
        let (id, name) = (standing.site, standing.name.clone());
        let address = self.peers.address_for_others(id);
        let known = self
            .engine
            .meta()
            .sites
            .iter()
            .any(|s| s.id == id && (address.is_none() || s.address == address));
        if !known {
            let learnt = self.engine.change_meta(move |meta| {
                let number = meta.learn_site(id, &name, address.as_deref());
                number.map(drop).ok_or_else(|| MetaError::Refused("the disk knows too many sites".to_owned()))
            });
            learnt.await.map_err(|e| Refusal::failed(&e))?;
        }
        Ok(standing)
    }

    async fn commit_attempt(
        &self,
        prepared: Prepared,
        standby: bool,
        report: &Report,
    ) -> Result<MoveReport, Refusal> {
        let attempt = prepared.attempt;
        // From here no request gets through; the release makes that final.
        if let Err(e) = self.engine.set_access(Access::Closed).await {
            // Nothing was released: the disk goes on here.
            self.engine.thaw().await;
            return Err(Refusal::failed(&e));
        }
        let released = apply(&self.engine, move |meta| {
            rules::release(meta, attempt)?;
            // The table and what is held of it are of this moment, until a sync mixes a later one in.
            meta.consistent_at = Some(crate::sync::now_ms());
            Ok(())
        });
        match released.await {
            Ok(()) => report(Progress { phase: "released".to_owned(), total: 1, done: 1, bytes: 0 }),
            Err(e @ Failed::Refused(_)) => {
                self.engine.thaw().await;
                return Err(e.named(&self.engine.meta()));
            }
            // Whether it is durable is not known: the disk stays shut until its next keeper reads what is.
            Err(e) => return Err(e.named(&self.engine.meta())),
        }
        // It is the target's now; what is noted here after that keeps nobody waiting.
        let granting = async {
            let granted = self.offer_grant(attempt).await;
            let syncs_ms = self.engine.syncs().since(prepared.frozen).into_iter().map(ms).collect();
            (granted, ms(prepared.frozen.elapsed()), syncs_ms)
        };
        // Beside the grant, not after it (law L15): its answer may be lost, and the disk be back and attached anew before another comes.
        let ending = async {
            if standby {
                self.device_stays().await;
            } else {
                self.device_is_dead().await;
            }
        };
        let ((granted, freeze_ms, syncs_ms), ()) = tokio::join!(granting, ending);
        let far_syncs = granted?;
        self.note_granted(attempt).await?;
        let sent = &prepared.sent;
        Ok(MoveReport {
            to: self.site_name(attempt.to),
            epoch: attempt.epoch.0,
            rows: sent.rows,
            bytes: sent.bytes,
            freeze_ms,
            total_ms: ms(prepared.began.elapsed()),
            held_bytes: sent.bytes - prepared.bytes_before,
            syncs_ms,
            far_syncs_ms: sent.far_syncs.ms().chain(far_syncs.ms()).collect(),
        })
    }

    /// Offers the grant until it is taken, and notes that; it may be repeated for ever.
    pub async fn grant(&self, attempt: Attempt) -> Result<(), Refusal> {
        self.offer_grant(attempt).await.map(drop)?;
        self.note_granted(attempt).await
    }

    /// What the target's syncs for it took.
    async fn offer_grant(&self, attempt: Attempt) -> Result<SyncTimes, Refusal> {
        let patience = Instant::now() + GRANT_PATIENCE;
        loop {
            let asked = self.peers.ask(attempt.to, Ask::Grant { attempt }, Bytes::new()).await;
            match asked {
                Ok((Answer::Done { syncs_us }, _)) => return Ok(syncs_us),
                Ok(_) => {
                    return Err(Refusal::failed(&PeerError::Confused { site: self.site_name(attempt.to) }));
                }
                // Its table changed since: rows of an older attempt, or a sync. Ours is what was released.
                Err(e) if e.code() == Some(Code::NotPrepared) && Instant::now() < patience => {
                    if let Err(e) = self.send_again(attempt).await {
                        tracing::info!(error = %e, "a released table could not be sent again yet");
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                }
                Err(PeerError::Refused { refusal, .. }) => return Err(refusal),
                Err(e) if Instant::now() >= patience => {
                    let to = self.site_name(attempt.to);
                    return Err(Refusal::new(
                        Code::Failed,
                        format!("the disk was released to {to}, but {to} could not be told ({e})"),
                    )
                    .hint(
                        "run the same `wandisk move` again at any site once it can be reached: it finishes",
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        }
    }

    async fn note_granted(&self, attempt: Attempt) -> Result<(), Refusal> {
        apply_named(&self.engine, move |meta| {
            rules::done(meta, &attempt);
            Ok(())
        })
        .await
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn busy() -> Refusal {
    Refusal::new(Code::Rules, "another hand-over of this disk is under way")
        .hint("wait for it, or end a prepared one with `wandisk abort`")
}
