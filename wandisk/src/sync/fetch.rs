//! Every chunk that is not here, fetched many at a time and no faster than was asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use wandisk_io::IoError;

use super::window::Window;
use crate::keeper::to_the_end::Asker;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, Refusal};
use crate::peer::message::{Progress, SyncOptions, SyncReport};

/// Chunks whose older records are withdrawn in one commit.
const BATCH: usize = 4096;

impl Keeper {
    /// Fetches every chunk that is not here, many at a time. Tells when all are asked for.
    pub(crate) async fn fetch_missing(
        &self,
        asker: &Asker,
        options: SyncOptions,
        done: &mut SyncReport,
        report: &Report,
        all_asked: &Notify,
    ) -> Result<(), Refusal> {
        let total = self.engine.missing_count().0;
        let stats = self.engine.fetch_stats();
        let bytes_at_start = stats.bytes_in.load(Ordering::Relaxed);
        let (began, mut fetched) = (Instant::now(), 0u64);
        let mut window = Window::new(self.engine.hot_chunk_size());
        // Tasks of their own: one that holds a lock goes on while this one waits for something else.
        let mut fetches = JoinSet::new();
        let (mut batch, mut start) = (Vec::new().into_iter(), Some(0));
        loop {
            // Batches follow each other without a gap: the next one begins while the last chunks of this one come.
            while fetches.len() < window.chunks() {
                if let Some(chunk) = batch.next() {
                    let engine = Arc::clone(&self.engine);
                    fetches.spawn(async move { (chunk, engine.bring(chunk, false).await) });
                } else if let Some(from) = start {
                    let next = self.engine.missing_from(from, BATCH);
                    start = next.last().map(|last| last + 1);
                    self.engine.withdraw_bases(&next).await.map_err(|e| Refusal::failed(&e))?;
                    asker.is_there()?;
                    batch = next.into_iter();
                } else {
                    all_asked.notify_one();
                    break;
                }
            }
            let Some(ended) = fetches.join_next().await else { return Ok(()) };
            let (chunk, result) = ended.map_err(|e| Refusal::failed(&e))?;
            result.map_err(|e| {
                Refusal::new(Code::Failed, format!("chunk {chunk} could not be fetched: {e}"))
                    .hint(self.what_to_do_about(e))
            })?;
            asker.is_there()?;
            fetched += 1;
            done.chunks += 1;
            window.came(Instant::now());
            let bytes = stats.bytes_in.load(Ordering::Relaxed) - bytes_at_start;
            report(Progress { phase: "chunks".to_owned(), total, done: fetched, bytes });
            if let Some(rate) = options.rate {
                hold_to_rate(began, bytes, rate).await;
            }
        }
    }

    fn what_to_do_about(&self, error: IoError) -> String {
        let meta = self.engine.meta();
        if error != IoError::NoSpace || meta.kept_moment.is_none() {
            return "run the same command again: what came is kept".to_owned();
        }
        format!(
            "make room and run the same command again; or let go of the last consistent moment, which takes room until this \
             sync is complete: `wandisk evict {} --keep {}`",
            self.engine.dir().name(),
            meta.size_bytes
        )
    }
}

/// Waits until so many bytes since `began` are no more than the rate allows.
pub(crate) async fn hold_to_rate(began: Instant, bytes: u64, rate: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a pause needs no more precision")]
    let due = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
    if let Some(pause) = due.checked_sub(began.elapsed()) {
        tokio::time::sleep(pause).await;
    }
}
