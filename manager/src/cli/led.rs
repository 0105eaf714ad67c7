//! `snowbird home --network`: the agent's network is led through its new home at once, and with it what its OpenGL programs draw.
//!
//! All of its connections break by that, those of OpenGL among them. So the desk that is left has programs bring home first what only it
//! has; they wait for a desk to answer at the same address, which is the new home's from the moment on when the network is led through
//! it. Should that take long they are drawn in software meanwhile, with all they have.

use std::collections::BTreeSet;

use anyhow::Result;

use super::agents::Site;
use super::net::{ask_far, change};
use crate::control::{folder, open_desk};
use crate::display::opengl;
use crate::net::ask::{Request, look};
use crate::reach::{Place, find};

impl Site {
    /// This site was the agent's home, and `to` is. Gives in sentences what is not led there.
    pub(super) async fn lead(&self, agent: &str, to: &str) -> Result<Vec<String>> {
        let mut missed = Vec::new();
        let (runs, mut others) = match self.with_switches(agent).await {
            Ok(found) => found,
            Err(error) => {
                missed.push(format!("its network is not led through {to} yet: {error:#}"));
                return Ok(missed);
            }
        };
        match self.give_desk(agent, to).await {
            Ok(0) => {}
            Ok(late) => missed.push(format!(
                "{late} of its OpenGL programs had more at this desk than could be brought along in time: what they drew into textures is lost"
            )),
            Err(error) => {
                missed.push(format!("what it draws with OpenGL is not drawn at {to} yet: {error:#}"));
            }
        }
        let document = self.kept(agent)?.agent;
        let told = Request::Home { at: Some(runs) };
        // Where frames go next first, then where they come from, then here, from where nothing goes on.
        others.remove(to);
        others.remove(&self.sites.name);
        for site in std::iter::once(to).chain(others.iter().map(String::as_str)) {
            let asked = ask_far(&self.sites, site, agent, Some(document.clone()), &told).await;
            if let Err(error) = asked {
                missed.push(format!("site {site} does not lead its network through {to} yet: {error:#}"));
            }
        }
        if let Err(error) = change(&self.here, agent, &told).await {
            missed.push(format!("this site does not lead its network through {to} yet: {error:#}"));
        }
        Ok(missed)
    }

    /// Sites that have a switch of the agent's hear of its new home; they go by it once the one before is out of their reach. Who cannot
    /// be told now hears of it when it next has to do with the agent.
    pub(super) async fn tell_switches(&self, agent: &str) -> Result<()> {
        let document = self.kept(agent)?.agent;
        let Ok((_, others)) = self.with_switches(agent).await else { return Ok(()) };
        for site in others.iter().filter(|site| **site != self.sites.name) {
            ask_far(&self.sites, site, agent, Some(document.clone()), &Request::Look).await.ok();
        }
        Ok(())
    }

    /// Where the agent is, and all sites that are known to have a switch of it: that one, and those with which the switch here speaks.
    async fn with_switches(&self, agent: &str) -> Result<(String, BTreeSet<String>)> {
        let mut runs = match find(&self.here, &self.sites, agent).await? {
            Place::Here(_) => self.sites.name.clone(),
            Place::At(site) => site.name.clone(),
        };
        let mut all = BTreeSet::from([runs.clone()]);
        if let Ok(standing) = look(&self.here.home, agent).await {
            all.extend(standing.links);
            if let Some(claim) = standing.agent.filter(|claim| claim.on) {
                all.insert(claim.site.clone());
                runs = claim.site;
            }
        }
        Ok((runs, all))
    }

    /// Its OpenGL programs are sent to the new home's desk, if they draw at this one. How many have not gone in time.
    async fn give_desk(&self, agent: &str, to: &str) -> Result<u64> {
        let folder = folder(&self.here.home, agent);
        let Some(port) = opengl::port(&folder) else { return Ok(0) };
        let site = self.sites.site(to)?;
        // What takes time, or may fail there, before anybody is sent away.
        open_desk(site, agent, None).await?;
        let late = opengl::leave(&folder).await?;
        opengl::shut(&folder).await?;
        open_desk(site, agent, Some(port)).await?;
        Ok(late)
    }
}
