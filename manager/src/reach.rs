//! Where an agent is, and asking its supervisor there.
//!
//! This site's journal says whether it left, and to where; the site that it went to says whether it is still there. Commands,
//! and whoever watches an agent, go this way.

use std::time::Duration;

use serde_json::Value;

use crate::agent::store::Store;
use crate::agent::{Agent, FORMAT};
use crate::control::{AskError, Here, Request, ask_far};
use crate::sites::{Site, Sites};
use crate::supervisor::phase::{End, Machine, Phase};

/// Sites that are asked after each other where an agent is.
const HOPS_MAX: usize = 8;
/// How long a site may take to say it.
const SOON: Duration = Duration::from_secs(60);

/// Where an agent is.
#[derive(Clone, Debug)]
pub enum Place {
    /// At this site: what its journal says of it.
    Here(Phase),
    /// At another one.
    At(Site),
}

/// How it is asked at another site how an agent stands there.
pub trait Asks: Sync {
    /// Its supervisor's words.
    fn status(&self, site: &Site, agent: &str) -> impl Future<Output = Result<Value, AskError>> + Send;
}

/// By a link of its own.
struct OwnLink;

impl Asks for OwnLink {
    async fn status(&self, site: &Site, agent: &str) -> Result<Value, AskError> {
        ask_far(site, agent, None, &Request::Status, SOON, |_| ()).await
    }
}

/// Finds an agent that is known at this site.
///
/// # Errors
/// [`AskError`].
pub async fn find(here: &Here, sites: &Sites, agent: &str) -> Result<Place, AskError> {
    find_by(&OwnLink, here, sites, agent).await
}

/// The same, asking in this way.
///
/// # Errors
/// [`AskError`].
pub async fn find_by(asks: &impl Asks, here: &Here, sites: &Sites, agent: &str) -> Result<Place, AskError> {
    let phase = phase_here(here, agent)?;
    let Phase::Off(End::Left { mut to }) = phase else { return Ok(Place::Here(phase)) };
    for _ in 0..HOPS_MAX {
        let site = sites.site(&to)?;
        let status = asks.status(site, agent).await?;
        learn_home(here, agent, &status)?;
        let at = status["site"].as_str().unwrap_or(&to).to_owned();
        if at == sites.name {
            return Ok(Place::Here(phase_here(here, agent)?));
        }
        if at == to {
            return Ok(Place::At(site.clone()));
        }
        to = at;
    }
    Err(AskError::Lost { agent: agent.to_owned(), hops: HOPS_MAX })
}

/// Whoever has the agent was told of every change of its home: one that was taken for lost, and others that were away, hear it there.
fn learn_home(here: &Here, agent: &str, status: &Value) -> Result<(), AskError> {
    let changes = status["home_changes"].as_u64().and_then(|count| u32::try_from(count).ok());
    let (Some(home), Some(home_changes)) = (status["home"].as_str(), changes) else { return Ok(()) };
    let mut store = Store::open(&here.home)?;
    let known = store.agent(agent)?.agent;
    if home == known.home || home_changes < known.home_changes {
        return Ok(());
    }
    let changed = Agent { home: home.to_owned(), home_changes, format: FORMAT, ..known };
    if changed.check().is_ok() {
        store.set_document(&changed, &format!("its home is site {home} now, says whoever has it"))?;
    }
    Ok(())
}

fn phase_here(here: &Here, agent: &str) -> Result<Phase, AskError> {
    let kept = Store::open(&here.home)?.agent(agent)?;
    let machine: Machine = serde_json::from_str(&kept.phase).map_err(AskError::Journal)?;
    Ok(machine.phase)
}

/// Asks the supervisor of an agent, wherever the agent is.
///
/// # Errors
/// [`AskError`].
pub async fn ask(
    here: &Here,
    sites: &Sites,
    agent: &str,
    request: &Request,
    patience: Duration,
    news: impl FnMut(&Value),
) -> Result<Value, AskError> {
    match find(here, sites, agent).await? {
        Place::Here(_) => here.ask(agent, request, patience, news).await,
        Place::At(site) => ask_far(&site, agent, None, request, patience, news).await,
    }
}
