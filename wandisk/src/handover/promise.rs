//! Who else holds what is here: asked before a takeover gives chunks up, and before anything is dropped (law L14).
//!
//! A promise is an answer of a site that holds the bytes durably and is not itself about to go. A site says durably
//! that it is about to go *before* it asks for promises: of two sites that believe each other to hold a chunk, the one
//! that asks later is refused, or both are, never neither.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use wandisk_store::{LineageId, SiteId, Version};

use super::apply::named;
use super::holding;
use crate::keeper::Keeper;
use crate::peer::error::{Code, Refusal};
use crate::peer::message::{Answer, Ask};
use crate::peer::rows::{self, ROWS_MAX};

/// How long one site may take for one answer.
const ASK_HOLDER: Duration = Duration::from_secs(20);

/// How long one site may take to be told something.
const TELL_SITE: Duration = Duration::from_secs(5);

/// What is asked of the holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Where could it be fetched from?
    Know,
    /// It is dropped here if another site has it.
    Drop,
}

impl Keeper {
    /// Which of these chunks' versions some other site of `sites` holds.
    pub(crate) async fn held_elsewhere(
        &self,
        wanted: &[(u64, Version)],
        sites: &[SiteId],
        purpose: Purpose,
    ) -> BTreeSet<u64> {
        let lineages = self.engine.meta().lineages;
        let mut left: Vec<(u64, Version)> = wanted.to_vec();
        let mut found = BTreeSet::new();
        for site in self.peers.by_nearness(sites.to_vec()) {
            for part in left.chunks(ROWS_MAX) {
                match self.ask_holder(site, &lineages, part, purpose).await {
                    Ok(held) => found.extend(held),
                    Err(e) => {
                        tracing::info!(%site, error = %e, "a site did not say what it holds");
                        break;
                    }
                }
            }
            left.retain(|(chunk, _)| !found.contains(chunk));
            if left.is_empty() {
                break;
            }
        }
        found
    }

    async fn ask_holder(
        &self,
        site: SiteId,
        lineages: &[LineageId],
        part: &[(u64, Version)],
        purpose: Purpose,
    ) -> Result<Vec<u64>, Refusal> {
        let body = rows::pack_versions(part).map_err(|e| Refusal::failed(&e))?;
        let ask = Ask::Holds { lineages: lineages.to_vec(), promise: purpose == Purpose::Drop };
        let asked = tokio::time::timeout(ASK_HOLDER, self.peers.ask(site, ask, Bytes::from(body))).await;
        let (answer, bits) = asked
            .map_err(|_| Refusal::new(Code::Failed, "it did not answer in time"))?
            .map_err(|e| Refusal::failed(&e))?;
        if !matches!(answer, Answer::Holds) || bits.len() != part.len().div_ceil(8) {
            return Err(Refusal::new(Code::Senseless, "it answered what was not asked"));
        }
        let held = |n: usize| bits[n / 8] & (1 << (n % 8)) != 0;
        Ok(part.iter().enumerate().filter(|(n, _)| held(*n)).map(|(_, (chunk, _))| *chunk).collect())
    }

    /// Tells the others what is no longer held here (`None`: anything), so that they do not count on it. Holders in rows
    /// are advice: a site that is not reached counts on it until it asks.
    pub(crate) async fn tell_dropped(&self, dropped: Option<&[(u64, Version)]>, sites: &[SiteId]) {
        let Ok(parts) = dropped.map_or_else(
            || Ok(vec![Vec::new()]),
            |all| all.chunks(ROWS_MAX).map(rows::pack_versions).collect::<Result<Vec<_>, _>>(),
        ) else {
            return;
        };
        let told = sites.iter().map(|site| {
            let parts = parts.clone();
            async move {
                for part in parts {
                    let told = self.peers.ask(*site, Ask::NoteDropped, Bytes::from(part));
                    if !matches!(tokio::time::timeout(TELL_SITE, told).await, Ok(Ok(_))) {
                        tracing::info!(%site, "a site was not told of what was dropped here");
                        return;
                    }
                }
            }
        });
        futures::future::join_all(told).await;
    }

    /// Answers [`Ask::NoteDropped`].
    pub(crate) fn note_dropped(&self, site: SiteId, body: &[u8]) -> Result<Answer, Refusal> {
        let senseless = || Refusal::new(Code::Senseless, "it names no versions");
        let pairs =
            if body.is_empty() { None } else { Some(rows::unpack_versions(body).ok_or_else(senseless)?) };
        if let Some(number) = self.engine.meta().site_number(site) {
            self.engine.note_dropped(number, pairs.as_deref());
        }
        Ok(Answer::done())
    }

    /// Answers [`Ask::Holds`].
    pub(crate) async fn which_are_held(
        &self,
        lineages: &[LineageId],
        body: &[u8],
        promise: bool,
    ) -> Result<Bytes, Refusal> {
        let pairs = rows::unpack_versions(body)
            .ok_or_else(|| Refusal::new(Code::Senseless, "the question names no versions"))?;
        // What is said to be held is durable when it is said.
        self.engine.flush_now().await.map_err(|e| Refusal::failed(&e))?;
        // Looked at after that: a site that began to leave meanwhile says nothing.
        let meta = self.engine.meta();
        let mut bits = vec![0u8; pairs.len().div_ceil(8)];
        for (n, (chunk, version)) in pairs.iter().enumerate().filter(|(_, (chunk, _))| *chunk < meta.chunks())
        {
            let row = self.engine.row(*chunk);
            let held = if promise {
                holding::promises(&meta, lineages, &row, *version).map_err(|e| named(&meta, e))?
            } else {
                holding::holds(&meta, lineages, &row, *version)
            };
            if held {
                bits[n / 8] |= 1 << (n % 8);
            }
        }
        Ok(Bytes::from(bits))
    }
}
