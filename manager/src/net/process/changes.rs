//! What users change: forwards and anchors at the agent's home, the kind of gateway at each site.
//!
//! Invariant: what is answered as done is in [`crate::net::config::Config`]'s file, or the answer says that it is not.

use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Input, Loop, Refused, refused};
use crate::net::anchors::Prefix;
use crate::net::config::{FORWARDS_MAX, Forward, Kind};
use crate::net::gateway::Wish;
use crate::net::tap;
use crate::sites::Sites;

impl Loop {
    pub(super) fn may_forward(&self, forward: Forward) -> Result<(), Refused> {
        self.at_home()?;
        let known = &self.config.forwards;
        if known.iter().any(|other| other.host == forward.host) {
            return Err((format!("{} leads somewhere already", forward.host), "see `snowbird net AGENT ls`"));
        }
        if known.len() >= FORWARDS_MAX {
            return Err((format!("an agent has at most {FORWARDS_MAX} forwards"), "take one away first"));
        }
        Ok(())
    }

    pub(super) fn ask_gateway(&self, forward: Forward, there: bool, reply: oneshot::Sender<String>) {
        let (wishes, sender) = (self.gateway_wishes.clone(), self.sender.clone());
        tokio::spawn(async move {
            let (answer, answered) = oneshot::channel();
            let wish = if there { Wish::Forward(forward, answer) } else { Wish::Unforward(forward, answer) };
            wishes.send(wish).await.ok();
            let result = answered.await.unwrap_or_else(|_| Err("the switch ends".to_owned()));
            sender.send(Input::Forwarded { forward, there, result, reply }).await.ok();
        });
    }

    /// Of this site: each has what its user may have there.
    pub(super) fn change_gateway(&self, kind: Kind, reply: oneshot::Sender<String>) {
        let lacks = if kind == Kind::Tap { tap::missing() } else { None };
        if let Some(why) = lacks {
            return drop(
                reply.send(refused((why, "libslirp needs none of that: `snowbird net AGENT gateway slirp`"))),
            );
        }
        let (wishes, sender) = (self.gateway_wishes.clone(), self.sender.clone());
        tokio::spawn(async move {
            let (answer, answered) = oneshot::channel();
            wishes.send(Wish::Kind(kind, answer)).await.ok();
            let result = answered.await.unwrap_or_else(|_| Err("the switch ends".to_owned()));
            sender.send(Input::Changed { kind, result, reply }).await.ok();
        });
    }

    pub(super) fn keep_kind(&mut self, kind: Kind) -> Result<Value, String> {
        let changed = std::mem::replace(&mut self.config.gateway_kind, kind) != kind;
        if changed {
            self.config
                .write(Path::new("."))
                .map_err(|error| format!("it is so now, but could not be noted: {error}"))?;
        }
        Ok(json!({ "gateway": kind, "site": self.site, "changed": changed, "breaks_connections": changed }))
    }

    pub(super) fn keep_forward(&mut self, forward: Forward, there: bool) -> Result<(), String> {
        self.config.forwards.retain(|known| *known != forward);
        if there {
            self.config.forwards.push(forward);
        }
        self.config
            .write(Path::new("."))
            .map_err(|error| format!("it is so now, but could not be noted: {error}"))
    }

    pub(super) fn anchor(&mut self, prefix: Prefix, site: &str) -> Result<Value, Refused> {
        self.at_home()?;
        let known =
            site == self.site || Sites::read(&self.here.home).is_ok_and(|sites| sites.site(site).is_ok());
        if !known {
            return Err((format!("no site named {site:?} is known here"), "see `wandisk site ls`"));
        }
        let mut config = self.config.clone();
        let changed = config.anchors.set(prefix, (site != self.site).then_some(site));
        let changed = changed.map_err(|error| (error.to_string(), "give some back to home first"))?;
        if changed {
            let noted = config.write(Path::new("."));
            noted.map_err(|error| (format!("it could not be noted: {error}"), "nothing has changed"))?;
            self.switch.set_anchors(config.anchors.clone(), &mut self.outs);
            self.config = config;
        }
        Ok(json!({ "prefix": prefix, "site": site, "changed": changed, "breaks_connections": changed }))
    }
}
