//! Changes of the disk's facts and of who may do what: durable before anybody acts on them.

use std::time::Duration;

use wandisk_io::Shut;
use wandisk_store::{Batch, DiskMeta, Intents, Store, Table};

use super::{Access, Engine, EngineError};

/// How long rows of fetched chunks may wait to be made durable.
const ROWS_LAG: Duration = Duration::from_secs(1);

/// Why a change of facts was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The change itself is refused.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl<S: Store> Engine<S> {
    /// Changes the disk's facts; they count when they are durable. One change at a time.
    ///
    /// # Errors
    /// [`MetaError::Refused`] if `change` refuses, or the store's.
    pub async fn change_meta(
        &self,
        change: impl FnOnce(&mut DiskMeta) -> Result<(), MetaError> + Send,
    ) -> Result<DiskMeta, MetaError> {
        let _turn = self.meta_turn.lock().await;
        let mut meta = self.meta();
        change(&mut meta)?;
        meta.check().map_err(MetaError::Refused)?;
        Ok(self.store_meta(meta).await?)
    }

    /// Makes these the facts. The caller has the turn to change them.
    pub(super) async fn store_meta(&self, mut meta: DiskMeta) -> Result<DiskMeta, EngineError> {
        self.check_not_poisoned()?;
        let commit = self.committer.commit(Batch { meta: Some(meta.clone()), ..Batch::default() });
        commit.await.map_err(|e| self.store_failed(EngineError::Table(e)))?;
        let shuts = {
            let mut state = self.state();
            meta.counter = meta.counter.max(state.meta.counter);
            state.meta = meta.clone();
            // Whatever made it so: where the disk is not resident, nobody reads or writes it (laws L1, L15).
            let shuts = !meta.is_resident() && *self.access.borrow() != Access::Closed;
            if shuts {
                self.hot.gate().set_shut(Shut { writes: true, reads: true });
                self.access.send_replace(Access::Closed);
            }
            shuts
        };
        if shuts && let Err(e) = self.wait_grace().await {
            tracing::warn!(error = %e, "requests in flight did not end when the disk left");
        }
        Ok(meta)
    }

    /// What front-ends may do now.
    #[must_use]
    pub fn access(&self) -> Access {
        *self.access.borrow()
    }

    /// Changes what front-ends may do and waits for requests that were let in before.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if they do not end; what is shut stays shut.
    pub async fn set_access(&self, access: Access) -> Result<(), EngineError> {
        let shut =
            Shut { writes: access != Access::Open || self.is_poisoned(), reads: access == Access::Closed };
        {
            // Under the state lock: whoever opens a chunk looks at the access there.
            let _state = self.state();
            self.hot.gate().set_shut(shut);
            self.access.send_replace(access);
        }
        if access == Access::Open { Ok(()) } else { self.wait_grace().await }
    }

    /// Takes a consistent moment: writes wait from now on; everything acknowledged is durable, every version's row
    /// too, and no extent is marked when this ends. [`Engine::thaw`] ends it.
    ///
    /// # Errors
    /// If requests do not end or the store fails; the disk is thawed again then.
    pub async fn freeze(&self) -> Result<(), EngineError> {
        let result = self.freeze_and_clear().await;
        if result.is_err() {
            self.thaw().await;
        }
        result
    }

    async fn freeze_and_clear(&self) -> Result<(), EngineError> {
        self.set_access(Access::Frozen).await?;
        self.close_all_chunks().await?;
        let _cooling = self.cooling.lock().await;
        self.flush_with(Batch { hot_clear: true, ..Batch::default() }).await?;
        // The table knows all: the intents of this run are history.
        self.clear_intents()
    }

    fn clear_intents(&self) -> Result<(), EngineError> {
        let mut state = self.state();
        state.overlays.forget_notes();
        self.intents.clear().map_err(|e| self.change_failed(e))
    }

    /// Lets writes go on after a freeze, if the disk is still resident here.
    pub async fn thaw(&self) {
        let access = if self.meta().is_resident() { Access::Open } else { Access::Closed };
        if let Err(e) = self.set_access(access).await {
            tracing::warn!(error = %e, "requests in flight did not end");
        }
    }

    /// Ends the engine's work in order: nothing is lost, no extent is marked, the next start has nothing to recover.
    ///
    /// # Errors
    /// If the store fails; the next start recovers then.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.set_access(Access::Closed).await?;
        self.close_all_chunks().await?;
        let _cooling = self.cooling.lock().await;
        self.flush_with(Batch { hot_clear: true, ..Batch::default() }).await?;
        self.clear_intents()
    }

    /// Makes fetched rows durable a while after the first of them came, so that a crash does not cost many fetches again; for
    /// ever. While nothing comes there is no timer.
    pub async fn housekeeping(self: std::sync::Arc<Self>) {
        loop {
            while self.state().pending.is_empty() {
                self.fetched_bell.notified().await;
            }
            tokio::time::sleep(ROWS_LAG).await;
            let wanted = !self.state().pending.is_empty();
            if wanted
                && !self.is_poisoned()
                && let Err(e) = self.flush_now().await
            {
                tracing::warn!(error = %e, "rows of fetched chunks could not be made durable");
            }
        }
    }
}
