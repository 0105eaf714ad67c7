//! Where an agent is, and asking its supervisor there.
//!
//! This site's journal says whether it left, and to where; the site that it went to says whether it is still there. Commands,
//! and whoever watches an agent, go this way.

use std::time::Duration;

use serde_json::Value;

use crate::agent::store::Store;
use crate::agent::{Agent, FORMAT};
use crate::control::{self, AskError, Here, Open, Opening, PROTOCOL, Request, ask_soon};
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

/// Over a link.
struct OverLink;

impl Asks for OverLink {
    async fn status(&self, site: &Site, agent: &str) -> Result<Value, AskError> {
        ask_soon(site, agent, &Request::Status, SOON, |_| ()).await
    }
}

/// Finds an agent that is known at this site.
///
/// # Errors
/// [`AskError`].
pub async fn find(here: &Here, sites: &Sites, agent: &str) -> Result<Place, AskError> {
    find_by(&OverLink, here, sites, agent).await
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

/// Asks the supervisor of an agent, wherever the agent is. Where this site's journal says that it is elsewhere, the way there is dialled
/// beside the question whether it still is: whoever moves it, or has it suspended, waits for one login, not for two after each other.
///
/// A move to here is given up by the site that the agent leaves, so that is who is asked: most often somebody at home has called it home.
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
    let ahead = match phase_here(here, agent)? {
        Phase::Off(End::Left { to }) if *request != Request::Status => sites.site(&to).ok(),
        _ => None,
    };
    let opening =
        Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open: Open::Control, document: None };
    let dials = async {
        let stream = match ahead {
            // One that does not come is dialled again, and says then why not.
            Some(site) => control::open_soon(site, &opening).await.ok().map(|stream| (&site.name, stream)),
            None => None,
        };
        Ok::<_, AskError>(stream)
    };
    let (place, ahead) = tokio::try_join!(find(here, sites, agent), dials)?;
    match (place, ahead) {
        (Place::Here(Phase::Arriving { from, .. }), _) if *request == Request::Cancel => {
            ask_soon(sites.site(&from)?, agent, request, patience, news).await
        }
        (Place::Here(_), _) => here.ask(agent, request, patience, news).await,
        (Place::At(site), Some((there, mut stream))) if *there == site.name => {
            control::ask(&mut stream, request, patience, news).await.map_err(|error| error.at(there))
        }
        (Place::At(site), _) => ask_soon(&site, agent, request, patience, news).await,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::agent::tests::example;
    use crate::supervisor::phase::{Arrive, Attempt};

    /// Site `a`, at which an agent stands so, and a link to site `b`: a script that does this.
    fn site(folder: &Path, phase: Phase, does: &str) -> (Here, Sites, String) {
        let link = folder.join("link");
        std::fs::write(&link, format!("#!/bin/sh\ncd {}\n{does}\n", folder.display())).unwrap();
        std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o755)).unwrap();
        let sites = json!({ "format": 1, "id": "x", "name": "a", "sites": [{ "name": "b",
            "address": format!("cmd:{}", link.display()), "remote_home": null, "remote_wandisk": null,
            "id": null, "reads_only": false }] });
        std::fs::write(folder.join("site.json"), sites.to_string()).unwrap();
        let (agent, machine) = (example(), Machine { phase, ..Machine::default() });
        let mut store = Store::open(folder).unwrap();
        store.put(&agent, &serde_json::to_string(&machine).unwrap(), "so it stands").unwrap();
        (Here { home: folder.to_owned(), wandisk: None }, Sites::read(folder).unwrap(), agent.name)
    }

    async fn cancels(folder: &Path, phase: Phase, does: &str) -> Value {
        let (here, sites, agent) = site(folder, phase, does);
        ask(&here, &sites, &agent, &Request::Cancel, SOON, |_| ()).await.unwrap()
    }

    /// A link answers only when there are two.
    #[tokio::test]
    async fn the_way_to_an_agent_is_dialled_while_it_is_asked_whether_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let away = Phase::Off(End::Left { to: "b".to_owned() });
        let does = r#"echo >> begun; while [ $(wc -l < begun) -lt 2 ]; do sleep 0.02; done
            read opening; echo '{"ok": null}'; read line; echo "$line" >> asked; echo '{"ok": {"site": "b"}}'"#;
        assert_eq!(cancels(folder.path(), away, does).await["site"], "b");
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked, "{\"do\":\"status\"}\n{\"do\":\"cancel\"}\n");
        let begun = std::fs::read_to_string(folder.path().join("begun")).unwrap();
        assert_eq!(begun.lines().count(), 2);
    }

    #[tokio::test]
    async fn a_move_to_here_is_given_up_by_the_site_that_the_agent_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let (attempt, from, at) = (Attempt::from_u128(1), "b".to_owned(), Arrive::Opening);
        let comes = Phase::Arriving { attempt, from, at, patience_s: 60 };
        let does = r#"read opening; echo '{"ok": null}'; read line; echo "{\"ok\": $line}""#;
        assert_eq!(cancels(folder.path(), comes, does).await["do"], "cancel");
    }
}
