//! Watchers as processes: one an agent, by a lock that dies with it; begun by whatever command finds none.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::io::BufReader;

use super::watcher;
use crate::agent::store::Store;
use crate::control::{AskError, Here, ask, connect, folder};
use crate::policy::Mode;
use crate::seat::{Names, seated};

/// The command that begins one.
pub const COMMAND: &str = "watch";
const LOCK: &str = "watcher.lock";
const SOCKET: &str = "watcher.sock";
/// It answers from what it has in its memory.
const SOON: Duration = Duration::from_secs(10);

/// What a watcher is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Ask {
    /// How does it stand?
    Status,
    /// Something may have changed: look where the agent is.
    Look,
}

/// Watches an agent until its user wants no more of it. Says on standard output, in one line, whether it began.
///
/// # Errors
/// What kept it from beginning, which it has said, or from going on.
pub fn watch(here: Here, agent: &str) -> Result<()> {
    let (names, folder) = (Names { lock: LOCK, socket: SOCKET }, folder(&here.home, agent));
    seated(&folder, &names, |listener| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(watcher::run(here, agent.to_owned(), listener));
        std::fs::remove_file(SOCKET).ok();
        result
    })
}

/// Asks the watcher of an agent; `None` where none runs.
///
/// # Errors
/// [`AskError`].
pub async fn ask_watcher(here: &Here, agent: &str, question: Ask) -> Result<Option<Value>, AskError> {
    let Ok(stream) = connect(&folder(&here.home, agent), SOCKET).await else { return Ok(None) };
    Ok(Some(ask(&mut BufReader::new(stream), &question, SOON, |_| ()).await?))
}

/// Begins the watchers that should run and do not; has those that run look where their agents are.
///
/// # Errors
/// The first one's that could not be begun.
pub async fn ensure(here: &Here, site: &str) -> Result<(), AskError> {
    // Nobody is watched where there is no list: none is made for this.
    if !Store::is_at(&here.home) {
        return Ok(());
    }
    let watched = {
        let store = Store::open(&here.home)?;
        let mut watched = Vec::new();
        for kept in store.agents()? {
            if kept.agent.home == site && store.automatic(kept.agent.uuid)?.mode != Mode::Off {
                watched.push(kept.agent.name);
            }
        }
        watched
    };
    for agent in watched {
        match ask_watcher(here, &agent, Ask::Look).await {
            Ok(Some(_)) => {}
            // None, or one that is just ending.
            Ok(None) | Err(_) => here.daemon(COMMAND, &agent).await?,
        }
    }
    Ok(())
}
