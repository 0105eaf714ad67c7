//! Work that goes on when whoever asked for it goes away: a command that is interrupted, a session that is cut.
//!
//! What changes the disk's standing must not stop between two of its steps: a freeze would stay for ever, memory would not
//! know what is durable. So it runs in a task of its own. Long work looks at its [`Asker`] where it may stop.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::peer::error::{Code, Refusal};

/// Does the work, to its end even if this future is dropped.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work).await.unwrap_or_else(|e| Err(Refusal::failed(&e)))
}

/// Whoever asked for long work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker(Arc<AtomicBool>);

/// Held as long as the asker waits.
pub(crate) struct Waiting(Asker);

impl Asker {
    pub(crate) fn waits(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Asked where the work may stop.
    ///
    /// # Errors
    /// If nobody waits for it any more.
    pub(crate) fn is_there(&self) -> Result<(), Refusal> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Refusal::new(Code::Failed, "whoever asked for it went away"));
        }
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_though_its_asker_went_away() {
        let (tell, hear) = tokio::sync::oneshot::channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let asker = Asker::default();
        let asked = {
            let (asker, waiting) = (asker.clone(), asker.waits());
            tokio::spawn(async move {
                let _waiting = waiting;
                let work = async move {
                    begun.send(()).ok();
                    while asker.is_there().is_ok() {
                        tokio::task::yield_now().await;
                    }
                    tell.send("done").ok();
                    Ok(())
                };
                to_the_end(work).await
            })
        };
        begins.await.unwrap();
        assert!(asker.is_there().is_ok());
        asked.abort();
        assert_eq!(hear.await.unwrap(), "done");
    }
}
