//! Keeps the replica's last consistent moment before a sync mixes the next one in (law L13).

use wandisk_store::moment::Making;

use super::{Engine, EngineError, MetaError};

impl Engine {
    /// Keeps image and table as they are now, where the filesystem can share blocks; `false` where it cannot.
    ///
    /// No fetched byte is put in place meanwhile: clone and copy are of one moment.
    ///
    /// # Errors
    /// If the store fails; no moment is kept then.
    pub async fn keep_moment(&self) -> Result<bool, EngineError> {
        let _still = self.placing.write().await;
        // What was fetched gets its row; what is not durable is in neither.
        self.flush_now().await?;
        let making = tokio::task::block_in_place(|| Making::begin(&self.dir, &self.data));
        let Some(making) = making.map_err(EngineError::Data)? else { return Ok(false) };
        self.committer.copy_to(making.table()).await.map_err(EngineError::Table)?;
        tokio::task::block_in_place(|| making.keep()).map_err(EngineError::Data)?;
        Ok(true)
    }

    /// Forgets the kept moment: a newer one is complete, or there is none to go back to.
    ///
    /// # Errors
    /// If that could not be noted.
    pub async fn drop_moment(&self) -> Result<(), MetaError> {
        if self.meta().kept_moment.is_some() {
            let changed = self.change_meta(|meta| {
                meta.kept_moment = None;
                Ok(())
            });
            changed.await?;
        }
        if let Err(error) = tokio::task::block_in_place(|| self.dir.drop_moment()) {
            tracing::warn!(%error, "a kept moment could not be removed");
        }
        Ok(())
    }
}
