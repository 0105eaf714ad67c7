//! What a peer asks, answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wandisk_store::{LineageId, Version};

use super::to_the_end::to_the_end;
use super::{Keeper, Report};
use crate::delta::{self, Form, Travels};
use crate::engine::MetaError;
use crate::peer::error::{Code, Refusal};
use crate::peer::limits::LEASE_MAX;
use crate::peer::message::{Answer, Ask, Facts};
use crate::peer::parts::Part;
use crate::peer::rows::{self, ROWS_MAX};
use crate::sync::Order;

/// Chunks of up to so many bytes are packed where they are: half a millisecond.
const QUICK: usize = 128 << 10;

impl Keeper {
    /// Answers one request of site `from`.
    ///
    /// # Errors
    /// A [`Refusal`], sent back as it is.
    pub async fn answer(
        self: &Arc<Self>,
        from: wandisk_store::SiteId,
        ask: Ask,
        body: Bytes,
        report: &Report,
    ) -> Result<(Answer, Bytes), Refusal> {
        if let Ask::Sync { options, rows, notes } = ask {
            // Ends with its asker, where it may.
            let order = Order::of_site(from, options, rows.map(|rows| (*rows, body)), notes);
            return self.sync_here(order, report).await.map(|r| (Answer::Synced(r), Bytes::new()));
        }
        let (keeper, report) = (Arc::clone(self), Arc::clone(report));
        to_the_end(async move { keeper.answer_to_the_end(from, ask, body, &report).await }).await
    }

    async fn answer_to_the_end(
        self: &Arc<Self>,
        from: wandisk_store::SiteId,
        ask: Ask,
        body: Bytes,
        report: &Report,
    ) -> Result<(Answer, Bytes), Refusal> {
        let _busy = self.busy();
        let plain = |answer: Answer| (answer, Bytes::new());
        match ask {
            Ask::Standing => Ok(plain(Answer::Standing(Box::new(self.standing())))),
            Ask::Fetch { chunk, version, lineage, demand, part } => {
                let travels = if demand { Travels::Alone } else { Travels::Together };
                self.give_chunk((chunk, version, lineage), part, body, travels).await
            }
            Ask::Rows { lineage, since, start } => self.give_rows(lineage, since, start).await,
            Ask::Offer { facts } => self.take_offer(&facts).await.map(plain),
            Ask::Push { facts } => self.take_rows(&facts, &body).await.map(plain),
            Ask::Final { attempt, facts, whole } => {
                self.take_final(attempt, &facts, whole, &body).await.map(plain)
            }
            Ask::Grant { attempt } => self.take_grant(attempt).await.map(plain),
            Ask::Abort { attempt } => self.take_abort(attempt).await.map(plain),
            Ask::HandOver { to, lineage, force } => {
                self.refuse_other_lineage(lineage)?;
                self.hand_over(to, force, report).await.map(plain)
            }
            Ask::NoteDropped => self.note_dropped(from, &body).map(plain),
            Ask::Holds { lineages, promise } => {
                let bits = self.which_are_held(&lineages, &body, promise).await?;
                Ok((Answer::Holds, bits))
            }
            Ask::Sync { options, rows, notes } => {
                let order = Order::of_site(from, options, rows.map(|rows| (*rows, body)), notes);
                self.sync_here(order, report).await.map(|r| plain(Answer::Synced(r)))
            }
            Ask::Freeze { lease_ms } => {
                self.hold_writes(Duration::from_millis(lease_ms).min(LEASE_MAX)).await?;
                let (digest, counter) = self.engine.table_mark();
                Ok(plain(Answer::Mark { counter, digest }))
            }
            Ask::Thaw => {
                self.let_writes_go().await;
                Ok(plain(Answer::done()))
            }
            Ask::NoteSynced { counter, at } => self.note_synced(from, counter, at).await.map(plain),
            Ask::Hashes { start, max } => self.give_hashes(start, max).await,
            Ask::Trace => Ok(self.give_trace()),
            Ask::Resize { size_bytes } => self.resize(size_bytes).await.map(|()| plain(Answer::done())),
        }
    }

    /// The resident gives; a site that is not says so, for the asker to look elsewhere.
    async fn hand_over(
        self: &Arc<Self>,
        to: wandisk_store::SiteId,
        force: bool,
        report: &Report,
    ) -> Result<Answer, Refusal> {
        self.earlier_hand_over().await;
        let meta = self.engine.meta();
        match meta.residency {
            wandisk_store::Residency::Resident if to == meta.here => Err(self.already_at(to)),
            wandisk_store::Residency::Resident => self.give(to, force, report).await.map(Answer::Moved),
            wandisk_store::Residency::Released { attempt } => {
                self.grant(attempt).await?;
                self.not_resident()
            }
            _ => self.not_resident(),
        }
    }

    fn not_resident(&self) -> Result<Answer, Refusal> {
        let resident = self.site_name(self.engine.meta().resident);
        Err(Refusal::new(
            Code::NotResident,
            format!("the disk is resident at {resident}, not at {}", self.home.name()),
        ))
    }

    /// Somebody of another lineage asks for something that only makes sense in this one.
    fn refuse_other_lineage(&self, lineage: LineageId) -> Result<(), Refusal> {
        let meta = self.engine.meta();
        if meta.lineage() == lineage {
            return Ok(());
        }
        let refused = crate::handover::rules::Refused::Diverged { here: meta.lineage(), there: lineage };
        Err(crate::handover::apply::named(&meta, refused))
    }

    async fn give_chunk(
        &self,
        (chunk, version, lineage): (u64, Version, LineageId),
        part: Option<Part>,
        basis: Bytes,
        travels: Travels,
    ) -> Result<(Answer, Bytes), Refusal> {
        let chunk_size = self.engine.hot_chunk_size();
        let size = usize::try_from(chunk_size).unwrap_or(usize::MAX);
        let row = self.engine.row(chunk);
        let basis_max = if part.is_some() { 0 } else { delta::description_max(size) };
        let range = part.map_or(Some(0..size), |part| part.range_in(size));
        let range = range.filter(|_| chunk < self.engine.meta().chunks() && basis.len() <= basis_max);
        let Some(range) = range else {
            return Err(Refusal::new(
                Code::Senseless,
                "no such chunk or part of one, or a description of its basis that cannot be",
            ));
        };
        if !self.means(version, lineage) {
            return Err(Refusal::new(
                Code::NotHeld,
                format!("version {version} of lineage {lineage} is not known here"),
            ));
        }
        if row.version != version {
            return self.newer_or_none(chunk, version).await;
        }
        let described = !basis.is_empty();
        let Some(published) = self.publisher.publish(chunk).await? else {
            return Err(Refusal::new(Code::NotHeld, format!("chunk {chunk} is not held here")));
        };
        if published.row.version != version {
            return self.newer_or_none(chunk, version).await;
        }
        let hash = blake3::Hash::from_bytes(published.hash).to_hex().to_string();
        let Some(bytes) = published.bytes else {
            return Ok((Answer::Chunk { form: Form::Zero, hash }, Bytes::new()));
        };
        // A signature is foreign, and what it costs to look for its blocks is not known; a large chunk takes long.
        let bytes = bytes.slice(range);
        let quick = !described && bytes.len() <= QUICK;
        let encode = move || delta::encode(&bytes, &published.hash, &basis, travels);
        let encoded = if quick {
            encode()
        } else {
            tokio::task::spawn_blocking(encode).await.map_err(|e| Refusal::failed(&e))?
        };
        let (form, body) = encoded.map_err(|e| Refusal::failed(&e))?;
        Ok((Answer::Chunk { form, hash }, body))
    }

    /// Does a version's number name the same bytes here, and can what is here be believed?
    fn means(&self, version: Version, lineage: LineageId) -> bool {
        crate::handover::holding::means(&self.engine.meta(), Some(&lineage), version)
    }

    /// The resident's row is the table: an asker whose version was overtaken gets the newer one.
    async fn newer_or_none(&self, chunk: u64, asked: Version) -> Result<(Answer, Bytes), Refusal> {
        if self.engine.row(chunk).version.counter() > self.engine.durable_mark() {
            // As any row, it leaves only when it is durable: after a crash its version could name other bytes.
            self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
        }
        let (meta, row) = (self.engine.meta(), self.engine.row(chunk));
        let overtaken = meta.is_resident() && row.exists() && row.version.counter() > asked.counter();
        if !overtaken {
            return Err(Refusal::new(
                Code::NotHeld,
                format!("chunk {chunk} at version {asked} is not held here"),
            ));
        }
        let facts = Box::new(Facts::of(&meta, self.engine.dir().name()));
        let body = rows::pack(&[(chunk, row)]).map_err(|e| Refusal::failed(&e))?;
        Ok((Answer::Newer { facts }, Bytes::from(body)))
    }

    pub(super) async fn give_rows(
        &self,
        lineage: LineageId,
        since: u64,
        start: u64,
    ) -> Result<(Answer, Bytes), Refusal> {
        let meta = self.engine.meta();
        if !meta.is_resident() {
            return self.not_resident().map(|answer| (answer, Bytes::new()));
        }
        self.refuse_other_lineage(lineage)?;
        // What is written of chunks that are elsewhere is in no row yet. Where their rest cannot be had, the table is not whole.
        if let Err(error) = self.engine.settle().await {
            tracing::info!(%error, "a peer gets rows that do not have everything");
        }
        // Rows leave only when they are durable; and what is open now may change at once.
        self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
        let (digest, newest) = self.engine.table_mark();
        let busy = self.engine.has_unsettled_rows();
        let counter = self.engine.durable_mark();
        let digest = Some(digest).filter(|_| !busy && newest <= counter);
        let mut part = self.engine.rows_since(since, start, ROWS_MAX);
        let next = if part.len() == ROWS_MAX { part.last().map(|(chunk, _)| chunk + 1) } else { None };
        part.retain(|(_, row)| row.version.counter() <= counter);
        let body = rows::pack(&part).map_err(|e| Refusal::failed(&e))?;
        let facts = Box::new(Facts::of(&meta, self.engine.dir().name()));
        Ok((Answer::Rows { facts, next, counter, busy, digest }, Bytes::from(body)))
    }

    pub(super) async fn note_synced(
        &self,
        site: wandisk_store::SiteId,
        counter: u64,
        at: u64,
    ) -> Result<Answer, Refusal> {
        let name = self.peers.name_of(site);
        let changed = self.engine.change_meta(move |meta| {
            let number = meta.learn_site(site, &name, None);
            number.ok_or_else(|| MetaError::Refused("the disk knows too many sites".to_owned()))?;
            // It is back.
            meta.lost.retain(|lost| *lost != site);
            if let Some(known) = meta.sites.iter_mut().find(|s| s.id == site) {
                known.synced_at = Some(at);
                known.missing_chunks = Some(0);
            }
            Ok(())
        });
        let meta = changed.await.map_err(|e| Refusal::failed(&e))?;
        if let Some(number) = meta.site_number(site) {
            self.engine.note_holder(number, counter);
        }
        Ok(Answer::done())
    }
}
