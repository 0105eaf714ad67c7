//! Every chunk that is not here, fetched many at a time and no faster than was asked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use wandisk_io::IoError;

use crate::keeper::to_the_end::Asker;
use crate::keeper::{Keeper, Report};
use crate::peer::error::{Code, Refusal};
use crate::peer::message::{Progress, SyncOptions, SyncReport};

/// Chunks asked for at a time: enough for a long fat link, bounded in memory.
const IN_FLIGHT: usize = 96;
/// Chunks whose older records are withdrawn in one commit.
const BATCH: usize = 4096;
impl Keeper {
    /// Fetches every chunk that is not here, many at a time.
    pub(crate) async fn fetch_missing(
        &self,
        asker: &Asker,
        options: SyncOptions,
        done: &mut SyncReport,
        report: &Report,
    ) -> Result<(), Refusal> {
        let total = self.engine.missing_count().0;
        let stats = self.engine.fetch_stats();
        let bytes_at_start = stats.bytes_in.load(Ordering::Relaxed);
        let (began, mut fetched, mut start) = (Instant::now(), 0u64, 0);
        loop {
            let batch = self.engine.missing_from(start, BATCH);
            let Some(last) = batch.last().copied() else { break };
            self.engine.withdraw_bases(&batch).await.map_err(|e| Refusal::failed(&e))?;
            asker.is_there()?;
            let mut fetches = futures::stream::iter(batch)
                .map(|chunk| {
                    let engine = Arc::clone(&self.engine);
                    async move { (chunk, engine.bring(chunk, false).await) }
                })
                .buffer_unordered(IN_FLIGHT);
            while let Some((chunk, result)) = fetches.next().await {
                result.map_err(|e| {
                    Refusal::new(Code::Failed, format!("chunk {chunk} could not be fetched: {e}"))
                        .hint(self.what_to_do_about(e))
                })?;
                asker.is_there()?;
                fetched += 1;
                done.chunks += 1;
                let bytes = stats.bytes_in.load(Ordering::Relaxed) - bytes_at_start;
                report(Progress { phase: "chunks".to_owned(), total, done: fetched, bytes });
                if let Some(rate) = options.rate {
                    hold_to_rate(began, bytes, rate).await;
                }
            }
            start = last + 1;
        }
        Ok(())
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
