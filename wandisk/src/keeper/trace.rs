//! What was wanted in earlier runs, of this site or another, is brought at an arrival before it is wanted again.
//!
//! The trace is a hint: it is kept beside the disk from time to time and when the disk leaves, asked of the other sites when
//! it comes, and no request ever waits for any of it. Nor does what one site tells wait for what another may tell: the first that
//! is told is replayed, and what comes later joins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, Fuse, FusedFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use wandisk_store::trace::TRACE_BYTES_MAX;
use wandisk_store::{Epoch, SiteId, Trace};

use super::Keeper;
use crate::peer::message::{Answer, Ask};

/// If no other site has told its trace by then, the one that is kept here is replayed.
const FOR_OTHERS: Duration = Duration::from_secs(10);
/// How often it looks what was wanted: as well as that the order of chunks that were here is known.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Where nothing new is wanted it looks half as often each time, and at last so often: what a disk does that has all it works with
/// must not cost anything by the clock.
const LOOK_LEAST: Duration = Duration::from_secs(4);
/// How often the trace is kept.
const KEEP_EVERY: Duration = Duration::from_secs(60);

impl Keeper {
    /// What this site knows to have been wanted: in this run, then in those before it.
    pub(crate) fn trace(&self) -> Trace {
        let meta = self.engine.meta();
        let earlier = self.engine.dir().load_trace(meta.chunks());
        let wanted = self.engine.wanted();
        if wanted.is_empty() { earlier } else { earlier.after(wanted, meta.epoch) }
    }

    /// Answers [`Ask::Trace`].
    pub(crate) fn give_trace(&self) -> (Answer, Bytes) {
        let trace = tokio::task::block_in_place(|| self.trace());
        (Answer::Trace { epoch: trace.epoch }, trace.encode().into())
    }

    /// Keeps what was wanted for a later run.
    pub(super) fn keep_trace(&self) {
        if self.engine.wanted().is_empty() {
            return;
        }
        if let Err(error) = tokio::task::block_in_place(|| self.engine.dir().save_trace(&self.trace())) {
            tracing::debug!(%error, "the access trace could not be kept");
        }
    }

    /// A run has ended: what is wanted from now on is another one's, perhaps in another residency.
    pub(super) fn end_run(&self) {
        self.keep_trace();
        self.engine.forget_wanted();
    }

    /// Runs as long as the keeper.
    pub(super) async fn keep_trace_from_time_to_time(self: Arc<Self>) {
        let (mut pause, mut kept, mut kept_at) = (LOOK_EVERY, 0, Instant::now());
        loop {
            tokio::time::sleep(pause).await;
            pause = if self.engine.look_what_was_wanted() { LOOK_EVERY } else { (pause * 2).min(LOOK_LEAST) };
            if kept_at.elapsed() < KEEP_EVERY {
                continue;
            }
            kept_at = Instant::now();
            let wanted = self.engine.wanted().len();
            if wanted != kept {
                self.keep_trace();
                kept = wanted;
            }
        }
    }

    /// From now on what earlier runs wanted comes, as soon as the disk is this site's, and as far ahead as it may.
    pub(super) fn start_replay(self: &Arc<Self>) {
        let keeper = Arc::clone(self);
        let replay = tokio::spawn(async move {
            keeper.engine.opened().await;
            if keeper.engine.missing_count().0 > 0 {
                keeper.replay_what_is_told().await;
            }
        });
        self.end_replay(Some(replay.abort_handle()));
    }

    /// Ends it, for another one or none.
    pub(super) fn end_replay(&self, next: Option<tokio::task::AbortHandle>) {
        let mut replaying = self.replaying.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(earlier) = std::mem::replace(&mut *replaying, next) {
            earlier.abort();
        }
    }

    /// Replays this site's trace and those of the others, from when the first of them is told. With each one that comes later the
    /// replay begins anew, with all that are known by then: what has come or is on its way is not asked for twice.
    async fn replay_what_is_told(self: &Arc<Self>) {
        let meta = self.engine.meta();
        let others =
            meta.sites.iter().map(|site| site.id).filter(|id| *id != meta.here && !meta.lost.contains(id));
        let mut asked: FuturesUnordered<_> = others.map(|site| self.trace_of(site)).collect();
        let mut known = vec![tokio::task::block_in_place(|| self.trace())];
        let mut for_others = std::pin::pin!(tokio::time::sleep(FOR_OTHERS).fuse());
        let mut replayed = None;
        let mut replay: Fuse<BoxFuture<'static, ()>> = Fuse::terminated();
        loop {
            if !asked.is_empty() || replayed.is_some() {
                tokio::select! {
                    Some(told) = asked.next(), if !asked.is_empty() => known.extend(told),
                    () = &mut for_others, if replayed.is_none() => {}
                    () = &mut replay, if !replay.is_terminated() => continue,
                    else => return,
                }
            }
            let is_told = known.len() > 1 || asked.is_empty() || for_others.is_terminated();
            let chunks = in_one(&known);
            if is_told && replayed.as_ref() != Some(&chunks) {
                let engine = Arc::clone(&self.engine);
                replayed = Some(chunks.clone());
                replay = async move { engine.bring_before_wanted(chunks).await }.boxed().fuse();
            }
        }
    }

    /// What another site knows to have been wanted, if it tells.
    async fn trace_of(self: &Arc<Self>, site: SiteId) -> Option<Trace> {
        match self.peers.ask(site, Ask::Trace, Bytes::new()).await {
            Ok((Answer::Trace { epoch }, bytes)) => told(epoch, &bytes, self.engine.meta().chunks()),
            _ => None,
        }
    }
}

/// The chunks of several sites' traces, those of the newest residency first.
fn in_one(traces: &[Trace]) -> Vec<u64> {
    let mut traces: Vec<&Trace> = traces.iter().collect();
    traces.sort_by_key(|trace| trace.epoch);
    let together = |older: Trace, newer: &Trace| older.after(newer.chunks.iter().copied(), newer.epoch);
    traces.into_iter().fold(Trace::default(), together).chunks
}

/// What another site told, if it makes sense.
fn told(epoch: Epoch, bytes: &[u8], chunks_of_disk: u64) -> Option<Trace> {
    if bytes.len() > TRACE_BYTES_MAX {
        return None;
    }
    Trace::decode(epoch, bytes, chunks_of_disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_newest_residency_wanted_comes_first_whoever_told_first() {
        let trace = |epoch, chunks: &[u64]| Trace { epoch: Epoch(epoch), chunks: chunks.to_vec() };
        let (older, newer) = (trace(2, &[1, 2, 3]), trace(5, &[9, 2]));
        assert_eq!(in_one(&[older.clone(), newer.clone()]), [9, 2, 1, 3]);
        assert_eq!(in_one(&[newer, Trace::default(), older]), [9, 2, 1, 3]);
        assert_eq!(in_one(&[]), [0; 0]);
    }
}
