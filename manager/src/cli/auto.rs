//! `snowbird auto`, and what `status` tells of it.

use anyhow::Result;
use serde_json::{Value, json};

use super::agents::Site;
use super::args_agents::{AgentCommand, AutoArgs, AutoMode};
use super::heir;
use super::profile::load_text;
use super::told::{Told, print, progress};
use crate::agent::store::Kept;
use crate::auto::brain::without_site;
use crate::auto::process::{Ask, ask_watcher, ensure};
use crate::policy::Mode;
use crate::profile::Profile;
use crate::words::did_you_mean;

impl Site {
    pub(super) async fn auto(&self, args: &AutoArgs) -> Result<()> {
        let kept = self.kept(&args.agent)?;
        let agent = &kept.agent;
        if agent.home != self.sites.name {
            return Err(Told::new(format!("the home of {} is site {}", agent.name, agent.home))
                .hint("say it there: only home decides where an agent is")
                .into());
        }
        let mut store = self.store()?;
        let named = args.profile.as_deref().map(load_text).transpose()?;
        let profile = match &named {
            Some((profile, _)) => profile.clone(),
            None => store.automatic(agent.uuid)?.profile()?,
        };
        self.check_roles(&profile, &args.roles)?;
        let mode = match args.mode {
            AutoMode::Off => Mode::Off,
            AutoMode::Advise => Mode::Advise,
            AutoMode::Auto => Mode::Auto,
        };
        let settings = store.set_automatic(agent.uuid, &self.sites.name, |settings| {
            settings.mode = mode;
            for (role, _) in &args.roles {
                settings.roles.remove(role);
            }
            for (role, site) in &args.roles {
                settings.roles.entry(role.clone()).or_default().push(site.clone());
            }
            if let Some((_, text)) = named {
                settings.profile = Some(text);
            }
        })?;
        heir::tell(&self.here, &self.sites, &agent.name).await;
        let roles = settings.sites(&agent.home);
        let missing = without_site(&profile, &roles);
        let value = json!({
            "agent": agent.name,
            "mode": mode,
            "profile": profile.name,
            "roles": roles,
            "roles_without_site": missing,
            "hint": missing.first().map(|role| format!("say which site has the role {role}, with --role {role}=SITE")),
        });
        print(self.json, &value, || {
            let mut text = format!("{}: {}, by the profile {}", agent.name, word(mode), profile.name);
            for role in &missing {
                text += &format!("\nno site has the role {role}: say which, with --role {role}=SITE");
            }
            text
        })
    }

    /// Roles that the profile has, sites that are known.
    fn check_roles(&self, profile: &Profile, roles: &[(String, String)]) -> Result<()> {
        let mut known: Vec<&str> = profile.states.iter().map(|state| state.place.as_str()).collect();
        known.extend(["home", "desk"]);
        known.sort_unstable();
        known.dedup();
        for (role, site) in roles {
            if !known.contains(&role.as_str()) {
                let meant = did_you_mean(role, known.iter().copied());
                return Err(Told::new(format!("the profile {} has no role {role:?}{meant}", profile.name))
                    .hint("`snowbird profile show` shows a profile's states and their places")
                    .into());
            }
            if *site != self.sites.name {
                self.sites.site(site).map_err(Told::of_site)?;
            }
        }
        Ok(())
    }

    /// Has watchers run where they should. A command that is about something else does not fail for them.
    pub(super) async fn watch(&self, command: &AgentCommand) -> Result<()> {
        match ensure(&self.here, &self.sites.name).await {
            Err(error) if matches!(command, AgentCommand::Auto(_)) => Err(error.into()),
            Err(error) => {
                progress(self.json, &json!({ "phase": format!("an agent is not watched: {error}") }));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Adds to an agent's status what its watcher knows, or that there is none.
    pub(super) async fn tell_auto(&self, kept: &Kept, status: &mut Value) -> Result<()> {
        let settings = self.store()?.automatic(kept.agent.uuid)?;
        let auto = match settings.mode {
            Mode::Off => None,
            _ => ask_watcher(&self.here, &kept.agent.name, Ask::Status).await.unwrap_or_default(),
        };
        let auto = auto.unwrap_or_else(|| json!({ "mode": settings.mode }));
        status["readings"] = auto["readings"].clone();
        status["profile_state"] = auto["profile_state"].clone();
        status["auto"] = auto;
        Ok(())
    }
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "nothing is done by itself",
        Mode::Advise => "moves are told in its log and not made",
        Mode::Auto => "it moves by itself",
    }
}

/// What `status` says to people.
pub(super) fn lines(status: &Value) -> Vec<String> {
    let auto = &status["auto"];
    let Ok(mode) = serde_json::from_value::<Mode>(auto["mode"].clone()) else { return Vec::new() };
    let mut lines = vec![format!("auto      {}", word(mode))];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let (Some(state), Some(profile)) = (text(&auto["profile_state"]), text(&auto["profile"])) {
        lines.push(format!("phase     {state}, by the profile {profile}"));
    }
    if let Some(why) = text(&auto["rests_because"]) {
        lines.push(format!("rests     {why}"));
    }
    if let Some(seconds) = auto["stays_for_s"].as_u64() {
        lines.push(format!(
            "stays     for another {}",
            crate::words::spoken(std::time::Duration::from_secs(seconds))
        ));
    }
    let said = auto["would_move_told"].as_array();
    lines.extend(said.into_iter().flatten().filter_map(text).map(|line| format!("would go  {line}")));
    lines
}
