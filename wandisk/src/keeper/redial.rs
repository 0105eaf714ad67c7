//! A replica dials its resident again after a cut: what the resident needs next may be here alone, and it may be unable to dial
//! this site (a laptop behind NAT).
//!
//! As long as the resident has said no good-bye the keeper stays and goes on dialling, each time after a longer pause, for a day:
//! how long a cut lasts is not known, and nobody else would ask.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wandisk_store::{Residency, SiteId};

use super::Keeper;

/// The pause before the first dial after a cut, and the longest between two.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// What was out of reach for so long is left alone.
const GIVES_UP: Duration = Duration::from_secs(24 * 3600);
/// A session that was cut sooner counts as a dial that failed.
const STEADY: Duration = Duration::from_secs(60);

/// How long to wait when so many dials in a row were of no use.
fn pause(dials: u32) -> Duration {
    FIRST.saturating_mul(2_u32.saturating_pow(dials)).min(LONGEST)
}

impl Keeper {
    /// Dials after each cut of the last session with the resident, until there is one again.
    pub(super) async fn dial_again_after_cuts(self: Arc<Self>) {
        let (mut dials, mut last) = (0, Instant::now());
        loop {
            self.peers.resident_cut().await;
            if last.elapsed() > STEADY {
                dials = 0;
            }
            let (began, mut told) = (Instant::now(), false);
            while let Some(resident) = self.missed_resident()
                && began.elapsed() < GIVES_UP
            {
                self.dials_again.store(true, Ordering::SeqCst);
                tokio::time::sleep(pause(dials)).await;
                dials += 1;
                // It may have come by itself, or another one may be the resident now.
                if self.missed_resident() != Some(resident) {
                    continue;
                }
                let dialled = self.peers.reach(resident).await;
                last = Instant::now();
                let site = self.site_name(resident);
                match dialled {
                    Ok(()) => tracing::info!(site, dials, "the resident was dialled again after a cut"),
                    Err(why) if !std::mem::replace(&mut told, true) => {
                        tracing::info!(
                            site,
                            why,
                            "the resident is out of reach, and dialled from time to time"
                        );
                    }
                    Err(why) => tracing::debug!(site, why, dials, "the resident is still out of reach"),
                }
            }
            self.dials_again.store(false, Ordering::SeqCst);
        }
    }

    /// The resident, if this replica serves it, could dial it, and has no session with it.
    fn missed_resident(&self) -> Option<SiteId> {
        let resident = self.served_resident()?;
        (!self.peers.has_session(resident) && self.peers.knows_a_way(resident)).then_some(resident)
    }

    /// The resident for which this replica is there. A replica whose store failed serves nobody until the next keeper opens it;
    /// of two sites within a hand-over each takes the other for the resident.
    pub(super) fn served_resident(&self) -> Option<SiteId> {
        let meta = self.engine.meta();
        let serves = meta.residency == Residency::Replica && !meta.leaving && !self.engine.is_poisoned();
        serves.then_some(meta.resident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let pauses: Vec<u64> = (0..7).map(|dials| pause(dials).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
