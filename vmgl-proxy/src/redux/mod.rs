//! VNC-Redux: records what a user does, and does it again at other distances (Snowbird paper, section 3.2).
//!
//! [`record`] sits between a viewer and a server and writes a [`session`]: keys and the pointer with their
//! times, and before each press or release of a button what was on the screen around the pointer.
//! [`replay`] says the same to a server at the same times, but waits before a button until the screen looks
//! as it did. What "as it did" means is [`matcher`]: strict equality of pixels stalls wherever anything
//! moves or a path delays. When to say what is [`schedule`]; what came of it is [`report`]. The last three
//! are pure.
//!
//! A replay is a client like the proxy itself (the same [`crate::Hub`] and [`crate::link`] with nobody
//! looking), or one that asks as a plain viewer does.

pub mod matcher;
pub mod record;
pub mod replay;
pub mod report;
pub mod schedule;
pub mod session;

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::hub::{Ask, Status, Ways};
use crate::rehome::Phase;

/// How often it is looked whether a server is there.
const LOOK: Duration = Duration::from_millis(10);

/// How the hub stands; `None` when it is gone.
async fn status(ways: &Ways) -> Option<Status> {
    let (answer, answered) = oneshot::channel();
    ways.ask.send((Ask::Status, answer)).await.ok()?;
    answered.await.ok()?.ok()
}

/// Waits until the server's picture is there; else says why it is not.
async fn attached(ways: &Ways, patience: Duration) -> Result<(), String> {
    let began = Instant::now();
    let mut why = None;
    while began.elapsed() < patience {
        let Some(status) = status(ways).await else { break };
        if status.phase == Phase::Attached {
            return Ok(());
        }
        why = status.last_end;
        sleep(LOOK).await;
    }
    Err(why.unwrap_or_else(|| format!("no picture within {patience:?}")))
}
