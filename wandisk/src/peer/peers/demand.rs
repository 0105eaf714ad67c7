//! What somebody waits for, spread over the connections that a link has.
//!
//! What waits shares them: one chunk alone comes in parts over all, of several each over some, of many each over the one
//! over which least is asked. A connection that was quiet begins slowly, and so does not hold it up.
//!
//! Invariant: only sessions that the peer was heard on since the newest began are used, and none is waited for longer than
//! [`SPREAD_MAX`]: whoever asks then asks in the plain way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wandisk_store::SiteId;

use super::{Heard, Peers};
use crate::peer::message::{Ask, Envelope};
use crate::peer::session::{Class, Session};

/// A connection that has not answered by then may be dead.
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// So many bytes take long enough on any line for further connections to be worth their logins: 40 s at 100 Mbit/s.
const MUCH: u64 = 512 << 20;
/// What is expected begins within this time.
const EXPECTED: Duration = Duration::from_secs(30);

/// Whoever had bytes that were waited for may wait again for this long.
pub(super) const REMEMBERED: Duration = Duration::from_secs(600);

/// When bytes came that somebody waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Served {
    last: Instant,
    /// The last time that was not the first.
    again: Option<Instant>,
}

impl Served {
    /// And now.
    fn once_more(before: Option<Served>, now: Instant) -> Served {
        let again = before.is_some_and(|before| now.saturating_duration_since(before.last) < REMEMBERED);
        Served { last: now, again: again.then_some(now) }
    }
}

/// Who waits, who was served when, and where much is about to go.
#[derive(Debug, Default)]
pub(super) struct Demand {
    much: Mutex<HashMap<SiteId, Instant>>,
    served: Mutex<HashMap<SiteId, Served>>,
    waiting: AtomicUsize,
}

/// Somebody waits until it is dropped.
pub(in crate::peer) struct Waits<'a>(&'a Demand);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Demand {
    fn all(&self) -> MutexGuard<'_, HashMap<SiteId, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a chunk that somebody waited for came from a site, or go to whoever waits there.
    pub(super) fn note(&self, site: SiteId) {
        let mut all = self.all();
        let served = Served::once_more(all.get(&site).copied(), Instant::now());
        all.insert(site, served);
    }

    /// Is much about to come from a site, or to go there?
    pub(super) fn expects_much(&self, site: SiteId) -> bool {
        let much = self.much.lock().unwrap_or_else(PoisonError::into_inner);
        much.get(&site).is_some_and(|noted| noted.elapsed() < EXPECTED)
    }

    /// How long ago somebody last had bytes that were waited for.
    pub(super) fn served(&self, site: SiteId) -> Option<Duration> {
        self.all().get(&site).map(|served| served.last.elapsed())
    }

    /// Does somebody wait for one chunk after the other, and had one of them since then?
    ///
    /// A question that nobody can answer brings nothing, over however many connections; and whoever waited once may not
    /// do so again.
    pub(super) fn goes_on_since(&self, site: SiteId, then: Instant) -> bool {
        self.all().get(&site).and_then(|served| served.again).is_some_and(|again| again > then)
    }
}

/// How many of so many connections are one chunk's, while so many are waited for.
fn share(connections: usize, waiting: usize) -> usize {
    (connections / waiting.max(1)).max(1)
}

impl Peers {
    /// About so many bytes are to come from a site, or to go there.
    pub fn expects(&self, site: SiteId, bytes: u64) {
        if bytes >= MUCH {
            let mut much = self.demand.much.lock().unwrap_or_else(PoisonError::into_inner);
            much.insert(site, Instant::now());
        }
    }

    /// Somebody waits for a chunk.
    pub(in crate::peer) fn waits(&self) -> Waits<'_> {
        self.demand.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.demand)
    }

    /// So many bytes of a chunk that somebody waits for came from a site.
    pub(in crate::peer) fn came_for_who_waits(&self, site: SiteId, bytes: usize) {
        if bytes > 0 {
            self.demand.note(site);
        }
    }

    /// The connections that one of those who wait has now, those first over which least is asked; none where there is but one.
    pub(in crate::peer) fn share_of_connections(&self, site: SiteId) -> Vec<Session> {
        let Some(newest) = self.live(site) else { return Vec::new() };
        let mut sessions = self.fresh(site, &newest);
        if sessions.len() < 2 {
            return Vec::new();
        }
        sessions.sort_by_key(Session::asking);
        sessions.truncate(share(sessions.len(), self.demand.waiting.load(Ordering::Relaxed)));
        sessions
    }

    /// Asks a site one thing over each of these sessions. `None`: not all were answered, for whatever reason.
    pub(in crate::peer) async fn ask_over(
        self: &Arc<Self>,
        site: SiteId,
        asks: Vec<(Session, Ask)>,
    ) -> Option<Vec<Heard>> {
        let each = asks.into_iter().map(|(session, ask)| async move {
            let envelope = Envelope { to: site, path: vec![self.home.id()], ask };
            self.over(&session, &envelope, Bytes::new(), Class::Demand, None).await
        });
        let answers = futures::future::try_join_all(each);
        tokio::time::timeout(SPREAD_MAX, answers).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_a_second_time_within_a_while_goes_on_and_once_is_once() {
        let began = Instant::now();
        let first = Served::once_more(None, began);
        assert_eq!(first.again, None);
        let soon = began + REMEMBERED - Duration::from_secs(1);
        assert_eq!(Served::once_more(Some(first), soon).again, Some(soon));
        assert_eq!(Served::once_more(Some(first), began + REMEMBERED).again, None);
    }

    #[test]
    fn demand_goes_on_while_bytes_come_for_who_waits_and_no_longer() {
        let (demand, site) = (Demand::default(), SiteId::random());
        let began = Instant::now();
        assert!(!demand.goes_on_since(site, began));
        demand.note(site);
        assert!(!demand.goes_on_since(site, began) && demand.served(site).is_some());
        demand.note(site);
        assert!(demand.goes_on_since(site, began));
        assert!(!demand.goes_on_since(site, Instant::now()));
    }

    #[test]
    fn one_alone_has_all_connections_and_many_have_one_each() {
        assert_eq!([0, 1, 2, 3, 10, 99].map(|waiting| share(10, waiting)), [10, 10, 5, 3, 1, 1]);
    }
}
