//! `verify`: the bytes here against what is known of them, and against another site's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use wandisk_io::IoError;
use wandisk_store::{SiteId, Version};

use crate::engine::Published;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::message::{Answer, Ask, Progress};
use crate::sync::hold_to_rate;

/// Chunks looked at in one go.
const BATCH: usize = 64;
/// Hashes in one message at most.
pub const HASHES_MAX: u32 = 1024;
const HASH_LEN: usize = 8 + 8 + 32;

/// Chunks that may be waited for in vain, before no site is asked any more.
const SILENCES_MAX: u32 = 3;

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    /// Chunks whose bytes were compared.
    pub compared: u64,
    /// Chunks without anything to compare with. With the hashes kept here that is what was written here and never left; its
    /// hash is kept from now on.
    pub unknown: u64,
    /// Chunks not held here.
    pub missing: u64,
    /// Chunks whose bytes differ.
    pub differing: Vec<u64>,
    /// Those of them that were fetched anew from a holder.
    pub repaired: Vec<u64>,
    /// Those of them that are served no more, since no other site could give them.
    pub lost: Vec<u64>,
    /// The table's own digest is right.
    pub table_ok: bool,
}

/// How to look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// With this site's hashes; else with those kept here.
    pub(crate) other: Option<SiteId>,
    /// Bytes read a second at most.
    pub(crate) rate: Option<u64>,
    /// Pass over chunks that are open for writing.
    pub(crate) settled_only: bool,
}

/// Who is asked for chunks that are damaged here: whoever answers. A site that does not is not waited for once a chunk, of
/// which there may be many.
#[derive(Default)]
struct Repairs {
    /// Not yet known: nothing was damaged so far.
    answering: Option<Arc<[SiteId]>>,
    silences: u32,
}

impl Keeper {
    /// Compares held chunks with their kept hashes, or with those of another site. A chunk that is not what its kept hash
    /// says is fetched anew from a holder; where there is none, it is named and served no more.
    ///
    /// # Errors
    /// If the store or the other site cannot be read.
    pub async fn verify(
        &self,
        other: Option<SiteId>,
        rate: Option<u64>,
        report: &Report,
    ) -> Result<Verified, Refusal> {
        if let Some(site) = other {
            // The same version by number is another one there if the two have diverged.
            self.look_for_resident(site).await?;
        }
        self.look_through(Look { other, rate, settled_only: false }, report).await
    }

    pub(crate) async fn look_through(&self, look: Look, report: &Report) -> Result<Verified, Refusal> {
        let Look { other, rate, settled_only } = look;
        let (began, mut bytes_read) = (Instant::now(), 0);
        let mut found = Verified { table_ok: self.engine.table_is_sound(), ..Verified::default() };
        let (missing, total) = self.engine.missing_count();
        found.missing = missing;
        let mut start = 0;
        let (mut theirs, mut repairs) = (Theirs::default(), Repairs::default());
        loop {
            let chunks = if settled_only {
                self.engine.settled_from(start, BATCH)
            } else {
                self.engine.held_from(start, BATCH)
            };
            let Some(last) = chunks.last().copied() else { break };
            let published = self.engine.publish(&chunks).await.map_err(|e| Refusal::failed(&e))?;
            let known = match other {
                None => self.kept_hashes(&chunks).await?,
                Some(site) => theirs.upto(self, site, start, last).await?,
            };
            let unknown_before = found.unknown;
            for p in &published {
                if other.is_none() && known.get(&p.chunk).is_none_or(|(version, _)| *version != p.row.version)
                {
                    self.engine.keep_hash(p.chunk, p.row.version, p.hash);
                }
                let differs = judge(p, &known, &mut found);
                if let Some((version, hash)) = known.get(&p.chunk).filter(|_| differs && other.is_none()) {
                    self.repair(p.chunk, *version, *hash, (&mut repairs, &mut found)).await?;
                }
                bytes_read += p.bytes.as_ref().map_or(0, |b| b.len() as u64);
            }
            if other.is_none() && found.unknown > unknown_before {
                self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
            }
            if let Some(rate) = rate {
                hold_to_rate(began, bytes_read, rate).await;
            }
            let done = found.compared + found.unknown;
            report(Progress { phase: "verify".to_owned(), total: total - missing, done, bytes: 0 });
            start = last + 1;
        }
        Ok(found)
    }

    async fn repair(
        &self,
        chunk: u64,
        version: Version,
        hash: [u8; 32],
        (repairs, found): (&mut Repairs, &mut Verified),
    ) -> Result<(), Refusal> {
        let withdrawn = self.engine.withdraw_damaged(chunk, version, hash).await;
        if !withdrawn.map_err(|e| Refusal::failed(&e))? {
            // It was written meanwhile, or is right when read again.
            return Ok(());
        }
        let sites = match &repairs.answering {
            Some(sites) => Arc::clone(sites),
            None => Arc::clone(repairs.answering.insert(self.who_answers().await)),
        };
        match self.engine.bring_from(chunk, sites).await {
            Ok(()) => {
                tracing::warn!(chunk, "a chunk was damaged here and was fetched anew");
                found.repaired.push(chunk);
            }
            Err(e) => {
                tracing::error!(chunk, error = %e, "a chunk is damaged here and no other site could give it");
                found.lost.push(chunk);
                if e == IoError::TimedOut {
                    repairs.silences += 1;
                    // Whoever was silent is found out before the next chunk is asked for.
                    let gave_up = repairs.silences >= SILENCES_MAX;
                    repairs.answering = gave_up.then(|| Arc::from([]));
                }
            }
        }
        Ok(())
    }

    /// Sites that answer now.
    async fn who_answers(&self) -> Arc<[SiteId]> {
        let standings = self.ask_everybody(&self.engine.meta()).await;
        standings.into_iter().filter_map(|(site, there)| there.map(|_| site)).collect()
    }

    async fn kept_hashes(&self, chunks: &[u64]) -> Result<HashMap<u64, (Version, [u8; 32])>, Refusal> {
        let kept = self.engine.kept_hashes(chunks).await.map_err(|e| Refusal::failed(&e))?;
        Ok(kept.into_iter().map(|row| (row.chunk, (row.version, row.hash))).collect())
    }

    /// Answers [`Ask::Hashes`].
    pub(crate) async fn give_hashes(&self, start: u64, max: u32) -> Result<(Answer, Bytes), Refusal> {
        let max = usize::try_from(max.min(HASHES_MAX)).unwrap_or(BATCH);
        let mut body = Vec::with_capacity(max * HASH_LEN);
        let mut next = start;
        while body.len() < max * HASH_LEN {
            let chunks = self.engine.held_from(next, BATCH.min(max - body.len() / HASH_LEN));
            let Some(last) = chunks.last().copied() else {
                return Ok((Answer::Hashes { next: None }, Bytes::from(body)));
            };
            for p in self.engine.publish(&chunks).await.map_err(|e| Refusal::failed(&e))? {
                body.extend_from_slice(&p.chunk.to_le_bytes());
                body.extend_from_slice(&p.row.version.0.to_le_bytes());
                body.extend_from_slice(&p.hash);
            }
            next = last + 1;
        }
        Ok((Answer::Hashes { next: Some(next) }, Bytes::from(body)))
    }
}

/// Another site's hashes, pulled as far as they are needed.
#[derive(Default)]
struct Theirs {
    known: HashMap<u64, (Version, [u8; 32])>,
    next: u64,
    ended: bool,
}

impl Theirs {
    async fn upto(
        &mut self,
        keeper: &Keeper,
        site: SiteId,
        from: u64,
        last: u64,
    ) -> Result<HashMap<u64, (Version, [u8; 32])>, Refusal> {
        self.known.retain(|chunk, _| *chunk >= from);
        while !self.ended && self.next <= last {
            let ask = Ask::Hashes { start: self.next, max: HASHES_MAX };
            let (answer, body) = keeper.peers.ask(site, ask, Bytes::new()).await.map_err(|e| match e {
                PeerError::Refused { refusal, .. } => refusal,
                other => Refusal::failed(&other),
            })?;
            let Answer::Hashes { next } = answer else { return Err(senseless()) };
            for entry in body.chunks_exact(HASH_LEN) {
                let word =
                    |at: usize| entry[at..at + 8].try_into().map(u64::from_le_bytes).map_err(|_| senseless());
                let hash = entry[16..].try_into().map_err(|_| senseless())?;
                self.known.insert(word(0)?, (Version(word(8)?), hash));
            }
            match next {
                Some(next) if next > self.next => self.next = next,
                Some(_) => return Err(senseless()),
                None => self.ended = true,
            }
        }
        Ok(self.known.clone())
    }
}

/// Counts a chunk; does it differ?
fn judge(here: &Published, known: &HashMap<u64, (Version, [u8; 32])>, found: &mut Verified) -> bool {
    let differs = match known.get(&here.chunk) {
        Some((version, hash)) if *version == here.row.version => *hash != here.hash,
        _ if here.row.zero => here.bytes.is_some(),
        _ => {
            found.unknown += 1;
            return false;
        }
    };
    found.compared += 1;
    if differs {
        found.differing.push(here.chunk);
    }
    differs
}

fn senseless() -> Refusal {
    Refusal::new(Code::Senseless, "the far side sent hashes that make no sense")
}
