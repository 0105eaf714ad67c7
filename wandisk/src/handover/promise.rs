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
