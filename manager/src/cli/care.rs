//! `snowbird sync`, `stay` and `home`: what is said about an agent that goes on where it is; and `launch --here`, about one whose
//! site is lost.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::json;

use super::agents::{FILL, SOON, Site};
use super::heir;
use super::told::{Told, print, progress};
use crate::agent::automatic::{STAY_MAX, Settings};
use crate::agent::store::Kept;
use crate::control::{AskError, Request, ask_far, entrust, facts};
use crate::reach::{Place, find};
use crate::words::spoken;

/// More is not carried along: it is learnt anew.
const LEARNT_MAX: usize = 128 << 10;

impl Site {
    /// Makes the disk complete at a site, so that the agent can run there without any other.
    pub(super) async fn sync(&self, agent: &str, site: &str) -> Result<()> {
        let kept = self.kept(agent)?;
        if site != self.sites.name {
            self.sites.site(site).map_err(Told::of_site)?;
        }
        progress(self.json, &json!({ "phase": format!("what site {site} lacks of its disk goes there") }));
        let asked = self.wandisk()?.ask(&["sync", &kept.agent.disk, "--site", site], FILL).await;
        let report = asked.map_err(|error| Told::of_wandisk(&error))?;
        let value = json!({ "agent": agent, "site": site, "disk": report });
        print(self.json, &value, || format!("{agent}: site {site} had all of its disk at one moment of this"))
    }

    /// Begins an agent at this site, wherever it was: what counts is where its disk is.
    pub(super) async fn launch_here(&self, agent: &str) -> Result<()> {
        let kept = self.kept(agent)?;
        let asked = self.wandisk()?.ask(&["status", &kept.agent.disk], SOON).await;
        let disk = asked.map_err(|error| Told::of_wandisk(&error))?;
        if disk["residency"] != "resident" {
            let at = disk["resident"].as_str().unwrap_or("another one");
            return Err(Told::new(format!("its disk is not at this site, but at {at}"))
                .hint(format!(
                    "launch it there; if {at} is lost for good, `wandisk takeover {}` first",
                    kept.agent.disk
                ))
                .into());
        }
        let status = self.here.ask(agent, &Request::LaunchHere, SOON, |_| ()).await?;
        print(self.json, &status, || super::agents::line(&status))
    }

    /// What decides by itself lets the agent where it is.
    pub(super) async fn stay(&self, agent: &str, time: Option<Duration>) -> Result<()> {
        let kept = self.at_home(agent)?;
        let time = time.unwrap_or(STAY_MAX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let until_ms = u64::try_from((now + time).as_millis()).ok().filter(|_| !time.is_zero());
        let mut store = self.store()?;
        store.set_automatic(kept.agent.uuid, &self.sites.name, |settings| {
            settings.stay_until_ms = until_ms;
        })?;
        let said = match until_ms {
            Some(_) => format!("stays where it is for {}, unless it is moved by hand", spoken(time)),
            None => "need not stay where it is any more".to_owned(),
        };
        store.note(kept.agent.uuid, &said)?;
        heir::tell(&self.here, &self.sites, agent).await;
        print(self.json, &json!({ "agent": agent, "stay_until_ms": until_ms }), || format!("{agent} {said}"))
    }

    /// Another site is the agent's home from now on.
    pub(super) async fn home(&self, agent: &str, to: &str, force: bool, network: bool) -> Result<()> {
        if force {
            return self.home_by_force(agent, to).await;
        }
        self.rehome(agent, to).await?;
        let missed = if network {
            self.lead(agent, to).await?
        } else {
            self.tell_switches(agent).await?;
            Vec::new()
        };
        let value = json!({ "agent": agent, "home": to, "missed": missed });
        print(self.json, &value, || {
            let also =
                if network && missed.is_empty() { ", and its network is led through that" } else { "" };
            let mut lines = vec![format!("the home of {agent} is {to}{also}")];
            lines.extend(missed);
            lines.join("\n")
        })
    }

    /// Makes another site its home.
    pub(super) async fn rehome(&self, agent: &str, to: &str) -> Result<()> {
        let kept = self.at_home(agent)?;
        if to == self.sites.name {
            return Err(Told::new("that is its home already").hint("see `snowbird status`").into());
        }
        let (settings, learnt) = {
            let store = self.store()?;
            (store.automatic(kept.agent.uuid)?, store.learnt(kept.agent.uuid)?)
        };
        if !settings.profile()?.sensors.is_empty() {
            return Err(Told::new("its profile has sensors of its own, which are commands of this site")
                .hint(
                    "`snowbird auto AGENT off --profile builtin` here first; say there which profile it has",
                )
                .into());
        }
        let changed = kept.agent.with_home(to);
        changed.check().map_err(|error| Told::from(&error))?;
        // First where orders come from next, then where the agent is, then here: a failure leaves this the home.
        let new_home = self.sites.site(to).map_err(Told::of_site)?;
        // (A site that hears of it for the first time takes it to be at its home, which knows better.)
        ask_far(new_home, agent, Some(&kept.agent), &Request::Status, SOON, |_| ()).await?;
        ask_far(new_home, agent, Some(&changed), &Request::Status, SOON, |_| ()).await?;
        if let Place::At(site) = find(&self.here, &self.sites, agent).await?
            && site.name != to
        {
            ask_far(&site, agent, Some(&changed), &Request::Status, SOON, |_| ()).await?;
        }
        self.store()?.set_document(&changed, &format!("its home is site {to} now"))?;
        // The watcher here ends with that; only now may one begin there.
        let learnt = learnt.filter(|text| text.len() <= LEARNT_MAX);
        entrust(new_home, agent, settings, learnt).await.map_err(|error| {
            Told::from(&error).hint(format!(
                "the home of {agent} is {to} now, where it is not moved by itself: say `snowbird auto` there"
            ))
        })?;
        let own = &self.sites.name;
        self.store()?.set_automatic(kept.agent.uuid, own, |word| *word = Settings::default())?;
        Ok(())
    }

    /// This site takes the place of a home that is lost for good.
    ///
    /// Two homes do no harm to an agent (where it is, its supervisor decides what is done to it, and its disk who may run it), but each
    /// would have it moved. So a home that answers is not lost; whoever has the agent must hear of this; and a home that comes back
    /// hears of it there ([`find`]).
    async fn home_by_force(&self, agent: &str, to: &str) -> Result<()> {
        self.kept(agent)?;
        // (Whoever has it may know of a home that this site has not heard of.)
        let found = find(&self.here, &self.sites, agent).await;
        let kept = self.kept(agent)?;
        let lost = kept.agent.home.clone();
        if to != self.sites.name {
            return Err(Told::new("a home that is lost is replaced by the site where that is said")
                .hint(format!("say it at site {to}, or name this one"))
                .into());
        }
        if lost == to {
            return Err(Told::new("this site is its home already").hint("see `snowbird status`").into());
        }
        if let Ok(site) = self.sites.site(&lost)
            && !matches!(facts(site).await, Err(AskError::Unreachable { .. } | AskError::Site(_)))
        {
            return Err(Told::new(format!("its home, site {lost}, answers: it is not lost"))
                .hint(format!("say `snowbird home {agent} --to {to}` there"))
                .into());
        }
        let changed = kept.agent.with_home(to);
        match found {
            Ok(Place::Here(_)) => {}
            Ok(Place::At(site)) => {
                ask_far(&site, agent, Some(&changed), &Request::Status, SOON, |_| ()).await?;
            }
            // It is lost with its home, as far as is known here.
            Err(AskError::Unreachable { site, .. }) if site == lost => {}
            Err(error) => {
                let told = Told::from(&error);
                return Err(told
                    .hint("the site where the agent is must hear of its new home: try again")
                    .into());
            }
        }
        let said = format!("its home is site {to} now, since site {lost} is lost");
        self.store()?.set_document(&changed, &said)?;
        let (inherited, missed) = self.inherit(&changed).await?;
        let value =
            json!({ "agent": agent, "home": to, "lost": lost, "inherited": inherited, "missed": missed });
        print(self.json, &value, || {
            let mut lines =
                vec![format!("the home of {agent} is {to}, which goes on as {lost} said it last")];
            lines.extend(missed);
            lines.join("\n")
        })
    }

    /// An agent about which orders are given here.
    fn at_home(&self, agent: &str) -> Result<Kept> {
        let kept = self.kept(agent)?;
        if kept.agent.home == self.sites.name {
            return Ok(kept);
        }
        let hint = format!(
            "say it there; if that site is lost for good, `snowbird home {agent} --to {} --force` first",
            self.sites.name
        );
        Err(Told::new(format!("the home of {agent} is site {}", kept.agent.home)).hint(hint).into())
    }
}
