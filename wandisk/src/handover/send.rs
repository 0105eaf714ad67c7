//! The table on its way to the target of a hand-over: rows that changed, the last ones with the attempt, or every row.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wandisk_store::{Attempt, AttemptId, DiskMeta, LineageId, SiteId};

use super::apply::named;
use super::rules;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::message::{Answer, Ask, Facts, Progress, SyncTimes, WholeTable};
use crate::peer::rows::{self, ROWS_MAX};

/// For so long it is believed that nobody but this site changed another one's replica.
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// What was sent so far.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) upto: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// What the target's syncs took since writes are held.
    pub(super) far_syncs: SyncTimes,
}

/// What a site has of the table since an attempt that it answered *prepared*: a VM manager prepares twice, long before the VM
/// stands and when it does, and the second time each round trip counts.
///
/// Nothing depends on its being true: rows that it lacks all the same show in the digest, and then the whole table goes.
#[derive(Debug)]
pub(crate) struct Ahead {
    to: SiteId,
    lineages: Vec<LineageId>,
    size_counter: u64,
    upto: u64,
    since: Instant,
}

impl Ahead {
    /// After the table of this moment was prepared there.
    pub(super) fn new(to: SiteId, meta: &DiskMeta) -> Ahead {
        let (lineages, size_counter) = (meta.lineages.clone(), meta.size_counter);
        Ahead { to, lineages, size_counter, upto: meta.counter, since: Instant::now() }
    }

    /// Up to which version that site has all rows, if that is of any use now.
    pub(super) fn upto(&self, to: SiteId, meta: &DiskMeta) -> Option<u64> {
        let same = self.to == to && self.lineages == meta.lineages && self.size_counter == meta.size_counter;
        (same && self.since.elapsed() < AHEAD_MAX).then_some(self.upto)
    }
}

impl Keeper {
    /// Sends rows made since `sent.upto`, in parts.
    pub(super) async fn push_rows(
        &self,
        to: SiteId,
        sent: &mut Sent,
        report: &Report,
    ) -> Result<(), Refusal> {
        let upto = self.engine.durable_mark();
        let mut start = 0;
        loop {
            let mut part = self.engine.rows_since(sent.upto, start, ROWS_MAX);
            part.retain(|(_, row)| row.version.counter() <= upto);
            let Some(last) = part.last().map(|(chunk, _)| *chunk) else { break };
            let body = pack(&part)?;
            sent.rows += part.len() as u64;
            sent.bytes += body.len() as u64;
            let facts = Facts::of(&self.engine.meta(), self.engine.dir().name());
            self.expect_done(to, Ask::Push { facts }, body).await?;
            report(Progress { phase: "table".to_owned(), total: 0, done: sent.rows, bytes: sent.bytes });
            start = last + 1;
        }
        sent.upto = upto;
        Ok(())
    }

    pub(super) async fn send_final(
        &self,
        to: SiteId,
        sent: &mut Sent,
        report: &Report,
    ) -> Result<Attempt, Refusal> {
        let left = self.engine.rows_since(sent.upto, 0, ROWS_MAX + 1);
        if left.len() > ROWS_MAX {
            self.push_rows(to, sent, report).await?;
        }
        let meta = self.engine.meta();
        let (digest, _) = self.engine.table_mark();
        let attempt = rules::begin(&meta, AttemptId::random(), to, digest).map_err(|e| named(&meta, e))?;
        let last = self.engine.rows_since(sent.upto, 0, ROWS_MAX);
        let body = pack(&last)?;
        sent.rows += last.len() as u64;
        sent.bytes += body.len() as u64;
        let facts = Facts::of(&meta, self.engine.dir().name());
        let asked = self.peers.ask(to, Ask::Final { attempt, facts: facts.clone(), whole: None }, body).await;
        match asked.map_err(|e| Refusal::failed(&e))?.0 {
            Answer::Prepared { attempt: id, digest: there, syncs_us }
                if rules::answers(&attempt, id, there) =>
            {
                sent.far_syncs = syncs_us;
                Ok(attempt)
            }
            Answer::Differs { digest: there } => {
                tracing::warn!(
                    here = digest.short(),
                    there = there.short(),
                    "tables differ: the whole table is sent"
                );
                self.send_whole(to, attempt, facts, sent, report).await
            }
            _ => Err(Refusal::failed(&PeerError::Confused { site: self.site_name(to) })),
        }
    }

    /// The table there cannot be mended by what changed since: it gets every row, and forgets what is not among them.
    async fn send_whole(
        &self,
        to: SiteId,
        attempt: Attempt,
        facts: Facts,
        sent: &mut Sent,
        report: &Report,
    ) -> Result<Attempt, Refusal> {
        sent.upto = 0;
        self.push_rows(to, sent, report).await?;
        let body = rows::pack_ranges(&self.engine.ranges_with_rows()).map_err(|e| Refusal::failed(&e))?;
        let whole = Some(WholeTable { digest: attempt.digest });
        let asked = self.peers.ask(to, Ask::Final { attempt, facts, whole }, Bytes::from(body)).await;
        match asked.map_err(|e| Refusal::failed(&e))?.0 {
            Answer::Prepared { attempt: id, digest, syncs_us } if rules::answers(&attempt, id, digest) => {
                sent.far_syncs = syncs_us;
                Ok(attempt)
            }
            _ => Err(Refusal::new(Code::Failed, "the table could not be brought across whole")
                .hint("run `wandisk verify` at both sites")),
        }
    }

    /// The table of a released attempt, whole: nobody has written here since.
    pub(super) async fn send_again(&self, attempt: Attempt) -> Result<(), Refusal> {
        let facts = Facts::of(&self.engine.meta(), self.engine.dir().name());
        let mut sent = Sent::default();
        self.send_whole(attempt.to, attempt, facts, &mut sent, &crate::keeper::no_report()).await.map(drop)
    }

    async fn expect_done(&self, to: SiteId, ask: Ask, body: Bytes) -> Result<(), Refusal> {
        match self.peers.ask(to, ask, body).await.map_err(|e| Refusal::failed(&e))?.0 {
            Answer::Done { .. } => Ok(()),
            _ => Err(Refusal::failed(&PeerError::Confused { site: self.site_name(to) })),
        }
    }
}

fn pack(part: &[(u64, wandisk_store::Row)]) -> Result<Bytes, Refusal> {
    rows::pack(part).map(Bytes::from).map_err(|e| Refusal::failed(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::rules::tests::{disk, sites};

    #[test]
    fn what_was_sent_ahead_is_of_use_for_the_same_site_and_disk_alone() {
        let sites = sites();
        let (meta, to) = (disk(sites[0], &sites), sites[1]);
        let ahead = Ahead::new(to, &meta);
        assert_eq!(ahead.upto(to, &meta), Some(meta.counter));
        assert_eq!(ahead.upto(SiteId::random(), &meta), None);
        let mut grown = meta.clone();
        grown.size_counter += 1;
        assert_eq!(ahead.upto(to, &grown), None);
        let mut taken_over = meta;
        taken_over.lineages.push(LineageId::random());
        assert_eq!(ahead.upto(to, &taken_over), None);
    }
}
