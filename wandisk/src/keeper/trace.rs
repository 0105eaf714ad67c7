//! What was wanted in earlier runs, of this site or another, is brought at an arrival before it is wanted again.
//!
//! The trace is a hint: it is kept beside the disk from time to time and when the disk leaves, asked of the other sites when
//! it comes, and no request ever waits for any of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wandisk_store::trace::TRACE_BYTES_MAX;
use wandisk_store::{Epoch, Trace};

use super::Keeper;
use crate::peer::message::{Answer, Ask};

/// A site that does not tell its trace by then is not waited for.
const ASK_SITE: Duration = Duration::from_secs(10);
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
                let trace = keeper.trace_of_all().await;
                keeper.engine.bring_before_wanted(trace.chunks).await;
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

    /// The traces of every site that tells its own, that of the newest residency first.
    async fn trace_of_all(self: &Arc<Self>) -> Trace {
        let meta = self.engine.meta();
        let others =
            meta.sites.iter().map(|site| site.id).filter(|id| *id != meta.here && !meta.lost.contains(id));
        let asked = others.map(|site| async move {
            let answer = self.peers.ask(site, Ask::Trace, Bytes::new());
            match tokio::time::timeout(ASK_SITE, answer).await {
                Ok(Ok((Answer::Trace { epoch }, bytes))) => told(epoch, &bytes, self.engine.meta().chunks()),
                _ => None,
            }
        });
        let mut traces: Vec<Trace> = futures::future::join_all(asked).await.into_iter().flatten().collect();
        traces.push(tokio::task::block_in_place(|| self.trace()));
        traces.sort_by_key(|trace| trace.epoch);
        traces.into_iter().reduce(|older, newer| older.after(newer.chunks, newer.epoch)).unwrap_or_default()
    }
}

/// What another site told, if it makes sense.
fn told(epoch: Epoch, bytes: &[u8], chunks_of_disk: u64) -> Option<Trace> {
    if bytes.len() > TRACE_BYTES_MAX {
        return None;
    }
    Trace::decode(epoch, bytes, chunks_of_disk)
}
