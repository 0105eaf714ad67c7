//! What is asked for on the page: the same as by commands, by the same ways and with the same sentences. Each becomes a task
//! whose beginning and end every page is told.
//!
//! Invariant: [`AT_ONCE`] are under way at most; a page that goes away ends none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::hub::{Hub, now_ms};
use super::model::Seen;
use crate::agent::store::{Store, StoreError};
use crate::auto::process::ensure;
use crate::control::{AskError, Here, Request};
use crate::policy::Mode;
use crate::reach;
use crate::sites::Sites;
use crate::words::with_causes;

/// Tasks at a time.
const AT_ONCE: usize = 16;
/// How long an answer may take that needs no guest and no other site's work.
const SOON: Duration = Duration::from_secs(60);
/// A guest that shuts down.
const SHUTDOWN: Duration = Duration::from_secs(120);
/// Between two words of a move.
const MOVE: Duration = Duration::from_secs(600);

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// Move to a site.
    Migrate {
        /// The agent.
        agent: String,
        /// The site.
        to: String,
    },
    /// Give a move or a suspension up.
    Cancel {
        /// The agent.
        agent: String,
    },
    /// Stand, with memory in a file.
    Suspend {
        /// The agent.
        agent: String,
    },
    /// Go on with that memory.
    Resume {
        /// The agent.
        agent: String,
        /// At this site; `None`: where it is.
        at: Option<String>,
    },
    /// Begin, or go on.
    Launch {
        /// The agent.
        agent: String,
    },
    /// Press the power button.
    Shutdown {
        /// The agent.
        agent: String,
    },
    /// What may be done with it by itself.
    Auto {
        /// The agent.
        agent: String,
        /// What.
        mode: Mode,
    },
}

impl Wish {
    /// Whom it is about.
    #[must_use]
    pub fn agent(&self) -> &str {
        match self {
            Wish::Migrate { agent, .. }
            | Wish::Cancel { agent }
            | Wish::Suspend { agent }
            | Wish::Resume { agent, .. }
            | Wish::Launch { agent }
            | Wish::Shutdown { agent }
            | Wish::Auto { agent, .. } => agent,
        }
    }

    /// What is being done, in a few words.
    fn words(&self) -> String {
        match self {
            Wish::Migrate { to, .. } => format!("move to {to}"),
            Wish::Cancel { .. } => "give up".to_owned(),
            Wish::Suspend { .. } => "suspend".to_owned(),
            Wish::Resume { at: Some(at), .. } => format!("resume at {at}"),
            Wish::Resume { .. } => "resume".to_owned(),
            Wish::Launch { .. } => "launch".to_owned(),
            Wish::Shutdown { .. } => "shut down".to_owned(),
            Wish::Auto { mode: Mode::Off, .. } => "do nothing by itself".to_owned(),
            Wish::Auto { mode: Mode::Advise, .. } => "only tell what would be done".to_owned(),
            Wish::Auto { mode: Mode::Auto, .. } => "move by itself".to_owned(),
        }
    }

    /// What its supervisor is asked, and how long that may take.
    fn request(&self) -> Option<(Request, Duration)> {
        Some(match self {
            Wish::Migrate { to, .. } => (Request::Migrate { to: to.clone() }, MOVE),
            Wish::Cancel { .. } => (Request::Cancel, SOON),
            Wish::Suspend { .. } => (Request::Suspend, MOVE),
            Wish::Resume { at, .. } => (Request::Resume { at: at.clone(), force: false }, MOVE),
            Wish::Launch { .. } => (Request::Launch, SOON),
            Wish::Shutdown { .. } => (Request::Shutdown, SHUTDOWN),
            Wish::Auto { .. } => return None,
        })
    }
}

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the home of {agent} is site {home}")]
    NotHome { agent: String, home: String },
}

impl NotDone {
    fn hint(&self) -> Option<String> {
        match self {
            NotDone::Ask(error) => error.hint(),
            NotDone::NotHome { .. } => Some("say it there: only home decides where an agent is".to_owned()),
        }
    }
}

/// Those that are under way.
#[derive(Debug)]
pub struct Doings {
    here: Here,
    hub: Arc<Hub>,
    last: AtomicU64,
    places: Arc<Semaphore>,
}

impl Doings {
    /// None yet.
    #[must_use]
    pub fn new(here: Here, hub: Arc<Hub>) -> Doings {
        Doings { here, hub, last: AtomicU64::new(0), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Begins one; its number, or `None` where too many are under way.
    #[must_use]
    pub fn begin(&self, wish: Wish) -> Option<u64> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let told =
            json!({ "agent": wish.agent(), "what": wish.words(), "state": "doing", "at_ms": now_ms() });
        self.hub.see(Seen::Doing { id, told: told.clone() });
        let (here, hub) = (self.here.clone(), Arc::clone(&self.hub));
        tokio::spawn(async move {
            let mut told = told;
            match carry_out(&here, &wish).await {
                Ok(()) => told["state"] = json!("done"),
                Err(error) => {
                    told["state"] = json!("failed");
                    told["message"] = json!(with_causes(&error));
                    told["hint"] = json!(error.hint());
                }
            }
            told["ended_ms"] = json!(now_ms());
            hub.see(Seen::Doing { id, told });
            drop(place);
        });
        Some(id)
    }
}

async fn carry_out(here: &Here, wish: &Wish) -> Result<(), NotDone> {
    let sites = Sites::read(&here.home).map_err(AskError::from)?;
    match wish.request() {
        Some((request, patience)) => {
            let asked = reach::ask(here, &sites, wish.agent(), &request, patience, |_: &Value| ());
            asked.await.map(drop).map_err(in_words(&request))?;
        }
        None => {
            if let Wish::Auto { agent, mode } = wish {
                set_mode(here, &sites.name, agent, *mode)?;
            }
        }
    }
    // As after each command: watchers run where they should, and look anew.
    Ok(ensure(here, &sites.name).await?)
}

/// A guest that does not shut down is no link that is late.
fn in_words(request: &Request) -> impl Fn(AskError) -> AskError + '_ {
    move |error| match (request, error) {
        (Request::Shutdown, AskError::Late(_)) => AskError::Refused {
            message: "the guest has not shut down".to_owned(),
            hint: Some("`snowbird kill` pulls the plug".to_owned()),
        },
        (_, error) => error,
    }
}

fn set_mode(here: &Here, site: &str, agent: &str, mode: Mode) -> Result<(), NotDone> {
    let stored = |error: StoreError| AskError::from(error);
    let mut store = Store::open(&here.home).map_err(stored)?;
    let kept = store.agent(agent).map_err(stored)?;
    if kept.agent.home != site {
        return Err(NotDone::NotHome { agent: agent.to_owned(), home: kept.agent.home });
    }
    store.set_automatic(kept.agent.uuid, site, |settings| settings.mode = mode).map_err(stored)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;
    use crate::supervisor::phase::Machine;

    #[test]
    fn wishes_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Wish>(text);
        let wish = read(r#"{"do":"migrate","agent":"vm","to":"b"}"#).unwrap();
        assert_eq!((wish.agent(), wish.words().as_str()), ("vm", "move to b"));
        assert_eq!(read(r#"{"do":"auto","agent":"vm","mode":"advise"}"#).unwrap().request(), None);
        assert_eq!(read(r#"{"do":"resume","agent":"vm"}"#).unwrap().words(), "resume");
        for bad in [
            "",
            "7",
            r#"{"do":"purge","agent":"vm"}"#,
            r#"{"do":"migrate","agent":"vm"}"#,
            r#"{"do":"cancel","agent":"vm","more":1}"#,
            r#"{"do":"auto","agent":"vm","mode":"always"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_home_says_what_is_done_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let here = Here { home: folder.path().to_owned(), wandisk: None };
        let agent = example();
        let phase = serde_json::to_string(&Machine::default()).unwrap();
        Store::open(folder.path()).unwrap().put(&agent, &phase, "created").unwrap();
        set_mode(&here, &agent.home, &agent.name, Mode::Advise).unwrap();
        let mode = Store::open(folder.path()).unwrap().automatic(agent.uuid).unwrap().mode;
        assert_eq!(mode, Mode::Advise);
        let error = set_mode(&here, "elsewhere", &agent.name, Mode::Off).unwrap_err();
        assert!(error.to_string().contains("the home of") && error.hint().is_some(), "{error}");
        let error = set_mode(&here, &agent.home, "nobody", Mode::Off).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
    }
}
