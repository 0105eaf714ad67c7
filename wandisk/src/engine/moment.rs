//! A replica's last consistent moment, kept before the next one is mixed in (law L13).
//!
//! Invariant: while the facts name a moment, the table is of that moment. Whoever is about to change a row of a replica says
//! here, in its turn to change facts, that it is not any more.

use std::sync::atomic::Ordering;

use wandisk_store::moment::MomentError;
use wandisk_store::{DiskMeta, Store};

use super::{Engine, EngineError, Files, MetaError};

impl<S: Store> Engine<S> {
    /// From here on the replica may mix two moments: durably said before the first row or byte changes. What it is now is kept
    /// first, where the filesystem can share blocks. The caller has the turn to change facts.
    ///
    /// # Errors
    /// If it could not be said. That the moment could not be kept is no error.
    pub(super) async fn begin_mixing(&self) -> Result<(), EngineError> {
        let mut meta = self.meta();
        let Some(moment) = meta.consistent_at else { return Ok(()) };
        let is_whole = self.missing_count().0 == 0;
        // One of which bytes are missing here does not take the place of one that is whole.
        if is_whole || meta.kept_moment.is_none() {
            meta.kept_moment = self.keep_moment().await.then_some(moment);
        }
        meta.consistent_at = None;
        self.store_meta(meta).await.map(drop)
    }

    /// No fetched byte is put in place meanwhile: bytes and rows are of one moment.
    async fn keep_moment(&self) -> bool {
        if self.keeps_no_moments.load(Ordering::Relaxed) {
            return false;
        }
        let _still = self.placing.write().await;
        let kept = async {
            // What was fetched gets its row; what is not durable is in neither.
            self.flush_now().await?;
            let kept = S::keep_moment(&self.dir, &self.data, &self.committer).await?;
            Ok::<_, EngineError>(kept)
        };
        match kept.await {
            Ok(true) => true,
            Ok(false) => {
                self.keeps_no_moments.store(true, Ordering::Relaxed);
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the last consistent moment could not be kept while the next one comes");
                self.remove_moment();
                false
            }
        }
    }

    /// Changes the facts, of which a kept moment is no part from then on: a newer one is complete, or there is none to go
    /// back to.
    ///
    /// # Errors
    /// As of [`Engine::change_meta`].
    pub async fn drop_moment_and(
        &self,
        change: impl FnOnce(&mut DiskMeta) -> Result<(), MetaError> + Send,
    ) -> Result<DiskMeta, MetaError> {
        let _turn = self.meta_turn.lock().await;
        let before = self.meta();
        let mut meta = DiskMeta { kept_moment: None, ..before.clone() };
        change(&mut meta)?;
        meta.check().map_err(MetaError::Refused)?;
        let meta = if meta == before { meta } else { self.store_meta(meta).await? };
        self.remove_moment();
        Ok(meta)
    }

    /// Forgets the kept moment.
    ///
    /// # Errors
    /// If that could not be noted.
    pub async fn drop_moment(&self) -> Result<(), MetaError> {
        self.drop_moment_and(|_| Ok(())).await.map(drop)
    }

    /// It only takes room: the next keeper tries again.
    fn remove_moment(&self) {
        if let Err(error) = S::drop_moment(&self.dir) {
            tracing::warn!(%error, "a kept moment could not be removed");
        }
    }
}

impl Engine<Files> {
    /// From the next keeper on the replica is what it was at the kept moment. `facts` makes of those of then and those of
    /// now what it knows from then on.
    ///
    /// # Errors
    /// [`MomentError`]; it does not go back then.
    pub async fn tell_to_go_back(
        &self,
        facts: impl FnOnce(DiskMeta, &DiskMeta) -> Option<DiskMeta> + Send,
    ) -> Result<(), MomentError> {
        let _turn = self.meta_turn.lock().await;
        let now = self.meta();
        Files::blocking(|| self.dir.tell_to_go_back(|then| facts(then, &now)))
    }
}
