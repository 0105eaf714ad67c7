//! Chunks that peers ask for, published many at a time: one grace period, one sync and one commit for all that wait.
//!
//! While one batch waits for its sync, others are read: the medium and the processor are busy at the same time.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::engine::{Engine, Published};
use crate::peer::error::Refusal;

/// Chunks in one batch, and waiting at most.
const BATCH: usize = 128;
const WAITING: usize = 1024;
/// Batches at a time.
const BATCHES: usize = 3;

type Wish = (u64, oneshot::Sender<Result<Option<Published>, Refusal>>);

/// The queue in front of [`Engine::publish`].
#[derive(Debug)]
pub(super) struct Publisher {
    wishes: mpsc::Sender<Wish>,
}

impl Publisher {
    pub(super) fn start(engine: Arc<Engine>) -> Publisher {
        let (wishes, mut queue) = mpsc::channel::<Wish>(WAITING);
        let turns = Arc::new(Semaphore::new(BATCHES));
        tokio::spawn(async move {
            // The turn first: what comes while it is waited for is in the batch.
            while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
                let mut batch = Vec::with_capacity(BATCH);
                if queue.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
                let engine = Arc::clone(&engine);
                tokio::spawn(async move {
                    serve(&engine, batch).await;
                    drop(turn);
                });
            }
        });
        Publisher { wishes }
    }

    /// A chunk's current bytes, if they are held here.
    pub(super) async fn publish(&self, chunk: u64) -> Result<Option<Published>, Refusal> {
        let stopped = || Refusal::new(crate::peer::error::Code::Failed, "the keeper is ending");
        let (tell, hear) = oneshot::channel();
        self.wishes.send((chunk, tell)).await.map_err(|_| stopped())?;
        hear.await.map_err(|_| stopped())?
    }
}

async fn serve(engine: &Engine, batch: Vec<Wish>) {
    let chunks: Vec<u64> = batch.iter().map(|(chunk, _)| *chunk).collect();
    let result = engine.publish(&chunks).await.map_err(|e| Refusal::failed(&e));
    for (chunk, tell) in batch {
        let one = result.as_ref().map(|all| all.iter().find(|p| p.chunk == chunk).cloned());
        // An asker that went away does not matter.
        tell.send(one.map_err(Clone::clone)).ok();
    }
}
