//! Removing an agent: what belongs to it at one site, and at all of them.
//!
//! Invariants: an agent that is not off or suspended, or whose disk is resident at the site that is to forget it, is not removed
//! by another site's word; the site of the disk is last, so that a failure leaves the agent with its disk. Whatever ends a purge,
//! the same command goes on with it: what is gone is not missed.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::agent::Agent;
use crate::agent::store::{Kept, Store, StoreError};
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, facts, folder, open};
use crate::display::{self, OpenError};
use crate::sites::{Site, Sites};
use crate::supervisor::phase::{End, Machine, Phase};
use crate::supervisor::process::unsupervised;
use crate::wandisk::{Wandisk, WandiskError};

const DISK: Duration = Duration::from_secs(30);
/// A supervisor of an agent that is off ends when nobody has asked for some seconds.
const ENDS: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Why something of it is still there.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// It lives elsewhere.
    #[error("the agent is at site {to:?}")]
    Elsewhere {
        /// Where.
        to: String,
    },
    /// It lives.
    #[error("the agent is not off")]
    Runs,
    /// Somebody asks something of it all the time.
    #[error("the agent is being asked something by others")]
    Busy,
    /// Another one of that name.
    #[error("another agent has that name")]
    Another,
    /// A site that may have it cannot be asked.
    #[error("site {site:?}, which may have a part of it, does not answer")]
    Silent {
        /// Its name.
        site: String,
        /// Why.
        source: AskError,
    },
    /// A site would not.
    #[error("site {site:?} still has it")]
    Site {
        /// Its name.
        site: String,
        /// Why.
        source: AskError,
    },
    /// The list of agents.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error(transparent)]
    Wandisk(#[from] WandiskError),
    /// The screen's proxy.
    #[error(transparent)]
    Display(#[from] OpenError),
    /// What is written of the agent makes no sense.
    #[error("the agent's journal cannot be understood")]
    Journal(#[from] serde_json::Error),
    /// Its folder.
    #[error("the agent's folder could not be removed")]
    Folder(#[source] std::io::Error),
}

impl PurgeError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            PurgeError::Elsewhere { to } => Some(format!("purge it at {to}, or move it here first")),
            PurgeError::Busy => Some("try again when that has ended".to_owned()),
            PurgeError::Runs => Some("`snowbird shutdown` or `kill` it first".to_owned()),
            PurgeError::Silent { site, .. } => Some(format!(
                "try again when it does; --here removes what is at this site and leaves {site}'s for `wandisk rm` there"
            )),
            PurgeError::Wandisk(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}

/// Removes an agent everywhere: at each other site that has a replica of its disk, and then here. Gives the sites.
///
/// # Errors
/// [`PurgeError`]. If a site does not answer nothing is removed anywhere.
pub async fn everywhere(here: &Here, sites: &Sites, agent: &str) -> Result<Vec<String>, PurgeError> {
    let kept = Store::open(&here.home)?.agent(agent)?;
    removable(&kept)?;
    let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref())?;
    let disk = match wandisk.ask(&["status", &kept.agent.disk], DISK).await {
        // An earlier purge ended between the disk, which it removes last, and the agent.
        Err(error) if error.is_no_disk() => Value::Null,
        asked => asked?,
    };
    let mut others: Vec<&Site> = Vec::new();
    for name in names(&disk, &kept.agent.home).into_iter().filter(|name| *name != sites.name) {
        let silent = |source| PurgeError::Silent { site: name.to_owned(), source };
        let site = sites.site(name).map_err(|error| silent(error.into()))?;
        // (Whether wandisk reached it when it last tried says nothing of now.)
        facts(site).await.map_err(silent)?;
        others.push(site);
    }
    for site in &others {
        let opening = Opening {
            snowbird: PROTOCOL,
            agent: agent.to_owned(),
            open: Open::Forget,
            document: Some(kept.agent.clone()),
        };
        let told = |source| PurgeError::Site { site: site.name.clone(), source };
        open(site, &opening).await.map_err(told)?;
    }
    at_one(here, &kept, false).await?;
    Ok(others.into_iter().map(|site| &site.name).chain([&sites.name]).cloned().collect())
}

/// The sites that may have a part of it: those with a replica of its disk, by what `wandisk status` says, and its home.
fn names<'a>(disk: &'a Value, home: &'a str) -> Vec<&'a str> {
    let sites = disk["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&str> = sites.iter().filter_map(|site| site["name"].as_str()).collect();
    if !names.contains(&home) {
        names.push(home);
    }
    names
}

/// Removes what this site has of an agent that is off here.
///
/// # Errors
/// [`PurgeError`].
pub async fn here(here: &Here, agent: &str) -> Result<(), PurgeError> {
    let kept = Store::open(&here.home)?.agent(agent)?;
    removable(&kept)?;
    at_one(here, &kept, false).await
}

/// Removes what this site has of an agent whose disk is at another one, which says so.
///
/// # Errors
/// [`PurgeError`].
pub async fn forget(here: &Here, agent: &Agent) -> Result<(), PurgeError> {
    match Store::open(&here.home)?.agent(&agent.name) {
        Ok(kept) if kept.agent.uuid != agent.uuid => Err(PurgeError::Another),
        Ok(kept) => {
            removed_by_whom(&kept, true)?;
            at_one(here, &kept, true).await
        }
        // Its disk was here without it.
        Err(StoreError::NoAgent { .. }) => disk(here, &agent.disk, true).await,
        Err(error) => Err(error.into()),
    }
}

fn removable(kept: &Kept) -> Result<(), PurgeError> {
    let machine: Machine = serde_json::from_str(&kept.phase)?;
    match machine.phase {
        Phase::Off(End::Left { to }) => Err(PurgeError::Elsewhere { to }),
        Phase::Off(_) | Phase::Suspended { .. } => Ok(()),
        _ => Err(PurgeError::Runs),
    }
}

/// By another site's word only what is off here; by the user's what is not elsewhere either.
fn removed_by_whom(kept: &Kept, anothers: bool) -> Result<(), PurgeError> {
    if !anothers {
        return removable(kept);
    }
    let machine: Machine = serde_json::from_str(&kept.phase)?;
    if matches!(machine.phase, Phase::Off(_)) { Ok(()) } else { Err(PurgeError::Runs) }
}

/// The seat of the agent's supervisor: one that was asked a moment ago ends soon, and none begins while this is held, which would
/// launch what is being removed.
async fn seat(here: &Here, agent: &str) -> Result<Option<File>, PurgeError> {
    let folder = folder(&here.home, agent);
    let end = Instant::now() + ENDS;
    loop {
        match unsupervised(&folder) {
            Ok(Some(seat)) => return Ok(Some(seat)),
            Ok(None) if Instant::now() > end => return Err(PurgeError::Busy),
            Ok(None) => tokio::time::sleep(LOOK).await,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PurgeError::Folder(error)),
        }
    }
}

async fn at_one(here: &Here, kept: &Kept, replica_only: bool) -> Result<(), PurgeError> {
    let _seat = seat(here, &kept.agent.name).await?;
    // What was asked of it before that counts.
    let now = Store::open(&here.home)?.agent(&kept.agent.name)?;
    removed_by_whom(&now, replica_only)?;
    disk(here, &kept.agent.disk, replica_only).await?;
    display::end(&here.home, &kept.agent.name).await?;
    files(&here.home, &kept.agent.name, kept.agent.uuid)
}

async fn disk(here: &Here, disk: &str, replica_only: bool) -> Result<(), PurgeError> {
    let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref())?;
    let mut args = vec!["rm", disk, "--force"];
    args.extend(replica_only.then_some("--replica-only"));
    match wandisk.ask(&args, DISK).await {
        Err(error) if error.is_no_disk() => Ok(()),
        asked => Ok(asked.map(drop)?),
    }
}

fn files(home: &Path, name: &str, uuid: Uuid) -> Result<(), PurgeError> {
    Store::open(home)?.remove(uuid)?;
    match std::fs::remove_dir_all(folder(home, name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(PurgeError::Folder(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::agent::tests::example;
    use crate::seat::make_folder;

    /// A site with an agent that is off, and a `wandisk` that does this; `$4` is what it is asked.
    struct Desk {
        here: Here,
        dir: tempfile::TempDir,
    }

    impl Desk {
        fn new(script: &str) -> Desk {
            let dir = tempfile::tempdir().unwrap();
            let program = dir.path().join("wandisk");
            std::fs::write(&program, format!("#!/bin/sh\ncd {}\n{script}\n", dir.path().display())).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let here = Here { home: dir.path().to_owned(), wandisk: Some(program) };
            make_folder(&folder(&here.home, "work")).unwrap();
            let off = serde_json::to_string(&Machine::default()).unwrap();
            Store::open(&here.home).unwrap().put(&example(), &off, "created").unwrap();
            Desk { here, dir }
        }

        fn is_there(&self) -> bool {
            let known = Store::open(&self.here.home).unwrap().agent("work").is_ok();
            assert_eq!(known, folder(&self.here.home, "work").exists());
            known
        }
    }

    #[tokio::test]
    async fn an_agent_that_is_launched_while_its_purge_waits_is_not_removed() {
        let desk = Desk::new("echo '{}'");
        let supervisor = unsupervised(&folder(&desk.here.home, "work")).unwrap().unwrap();
        let mut purge = std::pin::pin!(here(&desk.here, "work"));
        // It has seen the agent off, and waits for the supervisor to end; that was asked to launch it.
        assert!(futures::poll!(purge.as_mut()).is_pending());
        let launching = Machine { phase: Phase::Launching, ..Machine::default() };
        let phase = serde_json::to_string(&launching).unwrap();
        Store::open(&desk.here.home).unwrap().set_phase(example().uuid, &phase, "launched").unwrap();
        drop(supervisor);
        assert!(matches!(purge.await, Err(PurgeError::Runs)));
        assert!(desk.is_there());
    }

    #[tokio::test]
    async fn no_supervisor_begins_for_an_agent_that_is_being_removed() {
        let desk = Desk::new(": > hit; while [ ! -e go ]; do sleep 0.02; done; echo '{}'");
        let there = folder(&desk.here.home, "work");
        let of_purge = desk.here.clone();
        let purge = tokio::spawn(async move { here(&of_purge, "work").await });
        let end = Instant::now() + Duration::from_secs(60);
        while !desk.dir.path().join("hit").exists() {
            assert!(Instant::now() < end, "its disk is not removed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(unsupervised(&there).unwrap().is_none());
        std::fs::write(desk.dir.path().join("go"), "").unwrap();
        purge.await.unwrap().unwrap();
        assert!(!desk.is_there());
    }

    #[tokio::test]
    async fn a_purge_that_was_killed_after_the_disk_was_removed_is_ended_by_the_next() {
        let none = "echo '{\"error\": {\"message\": \"there is no disk\", \"code\": \"no-disk\"}}'; exit 1";
        let desk = Desk::new(none);
        here(&desk.here, "work").await.unwrap();
        assert!(!desk.is_there());
        let desk = Desk::new(none);
        let alone = r#"{"format": 1, "name": "desk", "sites": []}"#;
        let sites: Sites = serde_json::from_str(alone).unwrap();
        assert_eq!(everywhere(&desk.here, &sites, "work").await.unwrap(), ["desk"]);
        assert!(!desk.is_there());
        // Whatever else is wrong with it keeps the agent.
        let desk = Desk::new("echo '{\"error\": {\"message\": \"in use\", \"code\": \"in-use\"}}'; exit 1");
        assert!(matches!(here(&desk.here, "work").await, Err(PurgeError::Wandisk(_))));
        assert!(desk.is_there());
    }

    #[test]
    fn an_agents_home_is_asked_too_and_no_site_twice() {
        let disk = json!({ "sites": [{ "name": "b" }, { "name": "c" }] });
        assert_eq!(names(&disk, "c"), ["b", "c"]);
        assert_eq!(names(&disk, "a"), ["b", "c", "a"]);
        assert_eq!(names(&Value::Null, "a"), ["a"]);
    }
}
