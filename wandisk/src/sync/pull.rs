//! The resident's rows, pulled in parts: those made since the table here was complete, or all.

use std::collections::BTreeSet;

use bytes::Bytes;
use wandisk_store::{SiteId, TableDigest};

use super::{confused, now_ms};
use crate::keeper::Keeper;
use crate::peer::error::Refusal;
use crate::peer::facts::numbers_of;
use crate::peer::message::{Answer, Ask};
use crate::peer::rows;

/// The resident's table, as of the last pull.
pub(super) struct Pulled {
    /// When the pull began: nothing in it is younger than this plus the pull itself.
    pub(super) at: u64,
    pub(super) busy: bool,
    pub(super) rows: u64,
    pub(super) counter: u64,
    /// The resident's, unless it is busy.
    pub(super) digest: Option<TableDigest>,
}

impl Keeper {
    /// Pulls rows made since the table here was complete.
    pub(super) async fn pull_rows(&self, resident: SiteId) -> Result<Pulled, Refusal> {
        self.pull_rows_since(resident, self.engine.meta().counter, None).await
    }

    /// As [`Keeper::pull_rows`], from a counter on; `told` is the answer to the first question, where that has come already.
    pub(super) async fn pull_rows_since(
        &self,
        resident: SiteId,
        since: u64,
        mut told: Option<(Answer, Bytes)>,
    ) -> Result<Pulled, Refusal> {
        let lineage = self.engine.meta().lineage();
        // From the beginning: what the resident's table does not have is no part of the disk.
        let mut whole = if since == 0 { Some(BTreeSet::new()) } else { None };
        let mut start = 0;
        let mut pulled = Pulled { at: now_ms(), busy: false, rows: 0, counter: since, digest: None };
        loop {
            let (answer, body) = match told.take() {
                Some(told) => told,
                None => self.ask(resident, Ask::Rows { lineage, since, start }).await?,
            };
            let Answer::Rows { facts, next, counter, busy, digest } = answer else { return Err(confused()) };
            let numbers = numbers_of(&self.engine, &facts).await?;
            self.grow_as_told(&facts).await?;
            let rows = rows::unpack(&body, &numbers).ok_or_else(confused)?;
            pulled.rows += rows.len() as u64;
            if let Some(whole) = &mut whole {
                whole.extend(rows.iter().map(|row| row.chunk));
            }
            let adopted = match whole {
                Some(_) => self.engine.adopt_rows_of(lineage, &rows).await,
                None => self.engine.adopt_newer_rows(lineage, &rows).await,
            };
            adopted.map_err(|e| Refusal::failed(&e))?;
            match next {
                Some(next) if next > start => start = next,
                _ => {
                    pulled.busy = busy;
                    pulled.counter = counter;
                    pulled.digest = digest;
                    break;
                }
            }
        }
        if let Some(whole) = whole {
            self.engine.forget_rows_except(&whole).await.map_err(|e| Refusal::failed(&e))?;
        }
        let counter = pulled.counter;
        let changed = self.engine.change_meta(move |meta| {
            meta.counter = meta.counter.max(counter);
            Ok(())
        });
        changed.await.map_err(|e| Refusal::failed(&e))?;
        Ok(pulled)
    }
}
