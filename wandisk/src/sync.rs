//! `sync`: makes the replica at this site complete and current (design §7).
//!
//! Passes: pull the rows that changed at the resident, fetch every chunk that is not here, again. When a pass leaves
//! little to do the resident holds its writes for a moment (unless told not to), the last chunks are fetched, and
//! the replica is of one consistent moment. Everything fetched stays: a sync that is cut goes on where it was.

mod fetch;
mod pull;
mod window;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Notify;
use wandisk_store::{DiskMeta, Residency, SiteId, TableDigest};

use crate::engine::MetaError;
use crate::handover::apply::{apply_named, named};
use crate::handover::rules;
use crate::keeper::to_the_end::{Asker, to_the_end};
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::message::{Answer, Ask, Complete, Progress, RowsAlong, SyncOptions, SyncReport};
use crate::verify::Look;

pub(crate) use fetch::hold_to_rate;
use pull::Pulled;

/// Passes before writes are held (or, with `--no-freeze`, before it gives up).
const PASSES_MAX: u32 = 8;
/// So few missing chunks are worth holding writes for.
const FREEZE_AT: u64 = 256;
/// How long writes are held at most; the resident thaws by itself after it.
const FREEZE_LEASE: Duration = Duration::from_secs(20);

/// What is to be done, and what came with that.
#[derive(Debug, Default)]
pub(crate) struct Order {
    options: SyncOptions,
    /// The site that asked, if it was another one.
    from: Option<SiteId>,
    rows: Option<(RowsAlong, Bytes)>,
    notes: bool,
}

impl Order {
    /// Of a command of this site.
    pub(crate) fn of_command(options: SyncOptions) -> Order {
        Order { options, ..Order::default() }
    }

    /// Of another site.
    pub(crate) fn of_site(
        from: SiteId,
        options: SyncOptions,
        rows: Option<(RowsAlong, Bytes)>,
        notes: bool,
    ) -> Order {
        Order { options, from: Some(from), rows, notes }
    }

    /// The rows that came along, if they are the resident's own answer to what it would be asked first.
    fn rows_of(&mut self, resident: SiteId, meta: &DiskMeta) -> Option<(Answer, Bytes)> {
        let fits = |rows: &RowsAlong| rows.lineage == meta.lineage() && rows.since == meta.counter;
        let (rows, body) = self.rows.take().filter(|(rows, _)| self.from == Some(resident) && fits(rows))?;
        Some((rows.answer, body))
    }

    /// Does the resident note by the report what it would be told?
    fn is_noted_by(&self, resident: SiteId) -> bool {
        self.notes && self.from == Some(resident)
    }
}

impl Keeper {
    /// Makes this site's replica complete.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is left; nothing that arrived is lost.
    pub(crate) async fn sync_here(
        self: &Arc<Self>,
        order: Order,
        report: &Report,
    ) -> Result<SyncReport, Refusal> {
        let asker = Asker::default();
        let _waiting = asker.waits();
        let (keeper, report) = (Arc::clone(self), Arc::clone(report));
        to_the_end(async move {
            let _busy = keeper.busy();
            keeper.sync_for(&asker, order, &report).await
        })
        .await
    }

    async fn sync_for(
        self: &Arc<Self>,
        asker: &Asker,
        order: Order,
        report: &Report,
    ) -> Result<SyncReport, Refusal> {
        let options = order.options;
        // One at a time: one whose asker went away may not have stopped yet.
        let _turn = match self.syncing.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                report(Progress { phase: "waiting for another sync".to_owned(), ..Progress::default() });
                self.syncing.lock().await
            }
        };
        asker.is_there()?;
        rules::believable(&self.engine.meta()).map_err(|e| named(&self.engine.meta(), e))?;
        let began = Instant::now();
        let bytes_before = self.engine.fetch_stats().bytes_in.load(Ordering::Relaxed);
        let mut done = SyncReport { site: self.home.name().to_owned(), ..SyncReport::default() };
        let resident = self.engine.meta().resident;
        let result = if self.engine.meta().is_resident() {
            self.sync_resident(asker, options, &mut done, report).await
        } else {
            self.sync_replica(resident, (asker, order), &mut done, report).await
        };
        done.bytes = self.engine.fetch_stats().bytes_in.load(Ordering::Relaxed) - bytes_before;
        done.missing = self.engine.missing_count().0;
        done.total_ms = began.elapsed().as_secs_f64() * 1e3;
        result?;
        if options.verify {
            let resident = self.engine.meta().resident;
            self.verify_after_sync(resident, &mut done, report).await?;
        }
        Ok(done)
    }

    /// The resident's table is the table; it only lacks chunks.
    async fn sync_resident(
        &self,
        asker: &Asker,
        options: SyncOptions,
        done: &mut SyncReport,
        report: &Report,
    ) -> Result<(), Refusal> {
        done.passes = 1;
        self.fetch_missing(asker, options, done, report, &Notify::new()).await?;
        self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
        self.note_complete(self.engine.table_mark().0, now_ms()).await.map(drop)
    }

    async fn sync_replica(
        &self,
        resident: SiteId,
        (asker, mut order): (&Asker, Order),
        done: &mut SyncReport,
        report: &Report,
    ) -> Result<(), Refusal> {
        let (never_seen, options) = (self.engine.meta().counter == 0, order.options);
        let (resident, first) = self.first_rows(resident, &mut order).await?;
        if never_seen {
            let chunk_size = u64::from(self.engine.hot_chunk_size());
            self.peers.expects(resident, self.engine.missing_count().0.saturating_mul(chunk_size));
        }
        let (mut next, mut settled_at) = (Some(first), None);
        while done.passes < PASSES_MAX {
            done.passes += 1;
            let mut pulled = match next.take() {
                // Not where a newer row has come with a chunk since.
                Some(pulled) if !self.lacks_rows(&pulled) => pulled,
                _ => self.pull_rows(resident).await?,
            };
            if self.lacks_rows(&pulled) {
                tracing::warn!(
                    "the table here is not the resident's, though every newer row came: it is pulled whole"
                );
                pulled = self.pull_rows_since(resident, 0, None).await?;
            }
            if pulled.rows == 0 && !pulled.busy && settled_at == Some(pulled.counter) {
                return self.complete((resident, &order), pulled.digest, pulled.at, done).await;
            }
            let missing = self.engine.missing_count().0;
            // The rows of the next pass come with the last chunks of this one, and what has come is made durable meanwhile.
            let all_asked = Notify::new();
            let rows = async {
                all_asked.notified().await;
                let flushed = async { self.engine.flush_now().await.map_err(|e| Refusal::failed(&e)) };
                Ok(tokio::try_join!(self.pull_rows(resident), flushed)?.0)
            };
            let fetched = self.fetch_missing(asker, options, done, report, &all_asked);
            next = Some(tokio::try_join!(fetched, rows)?.1);
            settled_at = Some(pulled.counter);
            let worth_freezing = pulled.busy && missing <= FREEZE_AT;
            if worth_freezing && !options.no_freeze {
                break;
            }
        }
        if options.no_freeze {
            let pulled = match next {
                Some(pulled) => pulled,
                None => self.pull_rows(resident).await?,
            };
            let missing = self.engine.missing_count().0;
            if missing == 0 && pulled.rows == 0 {
                return self.complete((resident, &order), pulled.digest, pulled.at, done).await;
            }
            return Err(Refusal::new(
                Code::Failed,
                format!("after {} passes {missing} chunks are missing here: they are written faster than they come", done.passes),
            )
            .hint("run it again, or without --no-freeze, which holds writes for a moment at the end"));
        }
        self.last_pass_frozen(resident, (asker, &order), done, report).await
    }

    /// Writes are held at the resident while the last chunks come.
    async fn last_pass_frozen(
        &self,
        resident: SiteId,
        (asker, order): (&Asker, &Order),
        done: &mut SyncReport,
        report: &Report,
    ) -> Result<(), Refusal> {
        let (frozen, at) = (Instant::now(), now_ms());
        let lease_ms = u64::try_from(FREEZE_LEASE.as_millis()).unwrap_or(u64::MAX);
        let (answer, _) = self.ask(resident, Ask::Freeze { lease_ms }).await?;
        let Answer::Mark { digest, .. } = answer else { return Err(confused()) };
        let work = async {
            done.passes += 1;
            self.pull_rows(resident).await?;
            self.fetch_missing(asker, order.options, done, report, &Notify::new()).await
        };
        let result = tokio::time::timeout(FREEZE_LEASE, work).await;
        let thawed = self.ask(resident, Ask::Thaw).await;
        done.freeze_ms = frozen.elapsed().as_secs_f64() * 1e3;
        result.unwrap_or_else(|_| {
            Err(Refusal::new(Code::Failed, "the last chunks did not come while writes were held")
                .hint("run it again: what came is kept"))
        })?;
        thawed?;
        self.complete((resident, order), Some(digest), at, done).await
    }

    /// Everything is here: durably, compared, told.
    async fn complete(
        &self,
        (resident, order): (SiteId, &Order),
        expected: Option<TableDigest>,
        at: u64,
        done: &mut SyncReport,
    ) -> Result<(), Refusal> {
        self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
        let (digest, _) = self.engine.table_mark();
        let missing = self.engine.missing_count().0;
        if missing > 0 {
            return Err(Refusal::new(Code::Failed, format!("{missing} chunks are still missing here"))
                .hint("run the same sync again: what came is kept"));
        }
        if expected.is_some_and(|expected| expected != digest) {
            return Err(Refusal::new(
                Code::Failed,
                "the table here differs from the resident's after the last rows",
            )
            .hint("run the same sync again"));
        }
        let complete = self.note_complete(digest, at).await?;
        if order.is_noted_by(resident) {
            done.complete = Some(complete);
            return Ok(());
        }
        match self.ask(resident, Ask::NoteSynced { counter: complete.counter, at }).await {
            // A site that may only read there is complete all the same; nobody is to count on it.
            Err(e) if e.code == Code::Forbidden => {
                tracing::info!(error = %e, "the resident was not told");
                Ok(())
            }
            told => told.map(drop),
        }
    }

    /// Everything of the table with this digest is here.
    async fn note_complete(&self, digest: TableDigest, at: u64) -> Result<Complete, Refusal> {
        let engine = &self.engine;
        let changed = engine.drop_moment_and(move |meta| {
            if !meta.is_resident() && engine.table_mark().0 != digest {
                // Those of a hand-over, for one.
                return Err(MetaError::Refused("newer rows came meanwhile: run the sync again".to_owned()));
            }
            let here = meta.here;
            meta.consistent_at = if meta.is_resident() { None } else { Some(at) };
            if let Some(site) = meta.sites.iter_mut().find(|s| s.id == here) {
                site.synced_at = Some(at);
                site.missing_chunks = Some(0);
            }
            Ok(())
        });
        let meta = changed.await.map_err(|e| Refusal::failed(&e))?;
        self.engine.note_holder(meta.here_number(), meta.counter);
        Ok(Complete { counter: meta.counter, at })
    }

    /// The rows of the first pass. The resident that is known here is asked for them at once; only where it says something else,
    /// or this site's standing has to change first, it is asked how the disk stands.
    async fn first_rows(&self, resident: SiteId, order: &mut Order) -> Result<(SiteId, Pulled), Refusal> {
        if self.stands_ready() {
            let meta = self.engine.meta();
            match self.pull_rows_since(resident, meta.counter, order.rows_of(resident, &meta)).await {
                Err(e) if e.code == Code::Failed => {
                    return Err(self.cannot_be_asked(resident, Refusal { hint: None, ..e }).await);
                }
                Err(e) if e.code != Code::Again => {
                    tracing::debug!(error = %e, "the resident that is known here gave no rows");
                }
                pulled => return Ok((resident, pulled?)),
            }
        }
        match self.look_for_resident(resident).await {
            Err(e) if e.code == Code::Diverged => return Err(e),
            Err(e) => return Err(self.cannot_be_asked(resident, e).await),
            Ok(()) => {}
        }
        self.stand_ready().await?;
        // It may have told of another one.
        let resident = self.engine.meta().resident;
        Ok((resident, self.pull_rows(resident).await?))
    }

    /// Another site may know why: the disk was taken over.
    async fn cannot_be_asked(&self, resident: SiteId, e: Refusal) -> Refusal {
        if let Err(known) = self.look_everywhere(&e).await {
            return known;
        }
        Refusal::new(
            Code::Failed,
            format!(
                "the resident, {}, is needed for the newest table and cannot be asked: {e}",
                self.site_name(resident)
            ),
        )
        .hint(e.hint.unwrap_or_else(|| "see `wandisk site check`".to_owned()))
    }

    /// A replica that is synced is wanted, and its table changes: it neither leaves nor waits for a grant any more. (A
    /// source that has released to it sends its table again.)
    async fn stand_ready(&self) -> Result<(), Refusal> {
        if self.stands_ready() {
            return Ok(());
        }
        apply_named(&self.engine, |meta| {
            meta.leaving = false;
            rules::receive(meta, meta.lineage(), meta.epoch)
        })
        .await
    }

    fn stands_ready(&self) -> bool {
        let meta = self.engine.meta();
        !meta.leaving && !matches!(meta.residency, Residency::Prepared { .. })
    }

    /// Current is equality with the resident's table, whatever the counters say.
    fn lacks_rows(&self, pulled: &Pulled) -> bool {
        pulled.digest.is_some_and(|digest| digest != self.engine.table_mark().0)
    }

    /// `sync --verify`: compares BLAKE3 of every chunk at both ends.
    async fn verify_after_sync(
        &self,
        resident: SiteId,
        done: &mut SyncReport,
        report: &Report,
    ) -> Result<(), Refusal> {
        let other = if resident == self.engine.meta().here { None } else { Some(resident) };
        let found = self.look_through(Look { other, ..Look::default() }, report).await?;
        done.verified = found.compared;
        done.differing = found.differing.len() as u64;
        if found.differing.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Failed,
            format!("{} chunks differ from the other site's", found.differing.len()),
        )
        .hint("run `wandisk verify` at both sites to see which one is damaged"))
    }

    async fn ask(&self, site: SiteId, ask: Ask) -> Result<(Answer, Bytes), Refusal> {
        self.peers.ask(site, ask, Bytes::new()).await.map_err(|e| match e {
            PeerError::Refused { refusal, .. } => refusal,
            other => Refusal::failed(&other).hint("run the same command again: what came is kept"),
        })
    }
}

fn confused() -> Refusal {
    Refusal::new(Code::Senseless, "the resident answered something that makes no sense")
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
