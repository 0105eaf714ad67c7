//! What was said about an agent at its home, for the site that takes the home's place when it is lost ([`crate::agent::word`]).
//!
//! It travels in the agent's description, and is told to the site where the agent is when it is said; who cannot be told then hears it with the
//! agent's next move. What would run commands of the lost home is not taken over.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::agents::Site;
use super::net::change;
use crate::agent::Agent;
use crate::agent::automatic::Settings;
use crate::agent::store::Store;
use crate::control::{AskError, Here, Request, ask_far};
use crate::net::ask::Request as Net;
use crate::reach::{Place, find};
use crate::sites::Sites;

/// A command waits no longer for a site that is told something.
const TELLS: Duration = Duration::from_secs(5);

/// Tells whoever has the agent what is said about it here now.
pub(super) async fn tell(here: &Here, sites: &Sites, agent: &str) {
    let tells = async {
        let document = Store::open(&here.home)?.agent(agent)?.agent;
        if let Place::At(site) = find(here, sites, agent).await? {
            ask_far(&site, agent, Some(&document), &Request::Status, TELLS, |_| ()).await?;
        }
        Ok::<_, AskError>(())
    };
    tokio::time::timeout(TELLS, tells).await.ok();
}

impl Site {
    /// This site is the home from now on: gives what of the lost home's word it goes on with, and in sentences what not.
    pub(super) async fn inherit(&self, agent: &Agent) -> Result<(Value, Vec<String>)> {
        let mut missed = Vec::new();
        let gateway = change(&self.here, &agent.name, &Net::Home { at: None }).await;
        if let Err(error) = gateway {
            missed.push(format!("its network is not led through this site yet: {error:#}"));
        }
        let Some(word) = &agent.word else {
            missed.push(
                "whatever was said there to `snowbird auto` and `net` never came here: say it anew"
                    .to_owned(),
            );
            return Ok((Value::Null, missed));
        };
        let (uuid, own) = (agent.uuid, &self.sites.name);
        // (Of its own copy: what is said here from now on is this home's word.)
        let learnt = word.learnt.as_ref().map(Value::to_string);
        let settings = match &word.settings {
            Some(settings) => match runs_nothing(settings) {
                Ok(()) => {
                    let mut store = self.store()?;
                    let settings = store.set_automatic(uuid, own, |known| known.clone_from(settings))?;
                    if let Some(learnt) = &learnt {
                        store.set_learnt(uuid, own, learnt)?;
                    }
                    Some(settings)
                }
                Err(why) => {
                    missed.push(format!("it is not moved by itself: {why}"));
                    None
                }
            },
            None => {
                missed.push(
                    "what was said there to `snowbird auto`, if anything was, did not come here".to_owned(),
                );
                None
            }
        };
        let mut forwards = Vec::new();
        for forward in &word.forwards {
            match change(&self.here, &agent.name, &Net::Forward { forward: *forward }).await {
                Ok(_) => forwards.push(forward.host.to_string()),
                Err(error) => missed.push(format!(
                    "{} does not lead to its port {}: {error:#}",
                    forward.host, forward.guest_port
                )),
            }
        }
        let learnt = settings.is_some() && learnt.is_some();
        let auto = settings.map(|settings| settings.mode);
        Ok((json!({ "auto": auto, "learnt": learnt, "forwards": forwards }), missed))
    }
}

/// No site says what commands are run at another one.
fn runs_nothing(settings: &Settings) -> Result<(), String> {
    match settings.profile() {
        Ok(profile) if profile.sensors.is_empty() => Ok(()),
        Ok(_) => Err("its profile has sensors of its own, which were commands of that site; \
                      `snowbird auto` says here which profile it has"
            .to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
