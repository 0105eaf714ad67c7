//! Looks through an attached disk from time to time, slowly: bytes that nobody reads rot unseen.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Keeper;
use crate::keeper::no_report;
use crate::verify::{Look, Verified};

/// Between two looks whether it is time.
const LOOK: Duration = Duration::from_secs(60);
/// Bytes a second: a little of what any disk can give.
const RATE: u64 = 8 << 20;

/// What the last scrub of this keeper found.
#[derive(Debug, Default)]
pub(super) struct LastScrub {
    found: Verified,
    at: Option<u64>,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Keeper {
    /// Scrubs whenever the last scrub was longer ago than [`AttachOptions::scrub_every_ms`](super::AttachOptions) says,
    /// as long as the disk is attached.
    pub(super) async fn scrub_from_time_to_time(self: Arc<Self>) {
        let mut changed = self.scrub_every.subscribe();
        loop {
            let period = *changed.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep(period.unwrap_or(LOOK).min(LOOK)) => {}
                told = changed.changed() => {
                    if told.is_err() {
                        return;
                    }
                    continue;
                }
            }
            let (Some(period), true) = (period, self.attached_as().await.is_some()) else { continue };
            let last = self.engine.meta().scrubbed_at.unwrap_or(0);
            if Duration::from_millis(now_ms().saturating_sub(last)) < period || self.engine.is_poisoned() {
                continue;
            }
            if let Err(e) = self.scrub().await {
                tracing::warn!(error = %e, "the disk could not be looked through");
            }
        }
    }

    async fn scrub(&self) -> Result<(), crate::peer::error::Refusal> {
        let look = Look { rate: Some(RATE), settled_only: true, ..Look::default() };
        let found = self.look_through(look, &no_report()).await?;
        let at = now_ms();
        if !found.differing.is_empty() || !found.table_ok {
            tracing::error!(repaired = ?found.repaired, lost = ?found.lost, table_ok = found.table_ok, "damage was found");
        }
        if let Ok(mut last) = self.last_scrub.lock() {
            *last = LastScrub { found, at: Some(at) };
        }
        let noted = self.engine.change_meta(move |meta| {
            meta.scrubbed_at = Some(at);
            Ok(())
        });
        noted.await.map(drop).map_err(|e| crate::peer::error::Refusal::failed(&e))
    }

    /// For `status`.
    pub(super) fn scrub_status(&self) -> Value {
        let at = self.engine.meta().scrubbed_at;
        let Ok(last) = self.last_scrub.lock() else { return json!({ "at": at }) };
        if last.at.is_none() {
            return json!({ "at": at });
        }
        json!({
            "at": at,
            "compared": last.found.compared,
            "unknown": last.found.unknown,
            "repaired": last.found.repaired,
            "lost": last.found.lost,
            "table_ok": last.found.table_ok,
        })
    }
}
