//! `snowbird net`: asks the agent's switch at this site, and that of the site where the agent is.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::args_net::NetCommand;
use super::heir;
use super::told::print;
use crate::agent::Agent;
use crate::agent::store::Store;
use crate::control::{Here, Open, Opening, PROTOCOL, ask, folder, open};
use crate::net::ask::{Request, SOON, look};
use crate::net::config::Config;
use crate::net::names;
use crate::sites::Sites;
use crate::words::spoken;

/// Another site is asked for no longer.
const FAR: Duration = Duration::from_secs(10);

/// Does one of its commands for an agent that is known here.
pub(super) async fn run(
    here: &Here,
    sites: &Sites,
    agent: &str,
    command: &NetCommand,
    json: bool,
) -> Result<()> {
    match command {
        NetCommand::Ls => ls(here, sites, agent, json).await,
        NetCommand::Forward { forward, .. } => {
            change(here, agent, &Request::Forward { forward: *forward }).await?;
            carry(here, sites, agent).await;
            print(json, &json!({ "forward": forward }), || {
                format!("{} leads to port {} of {agent}", forward.host, forward.guest_port)
            })
        }
        NetCommand::Unforward { port, .. } => {
            change(here, agent, &Request::Unforward { port: *port }).await?;
            carry(here, sites, agent).await;
            print(json, &json!({ "unforward": port }), String::new)
        }
        NetCommand::Gateway { kind, at } => {
            let request = Request::Gateway { kind: *kind };
            let answer = match at {
                Some(site) if *site != sites.name => {
                    let document = Store::open(&here.home)?.agent(agent)?.agent;
                    ask_far(sites, site, agent, Some(document), &request).await?
                }
                _ => change(here, agent, &request).await?,
            };
            print(json, &answer, || {
                let site = answer["site"].as_str().unwrap_or("this site");
                match answer["changed"].as_bool() {
                    Some(true) => format!("the gateway at {site} is {kind}; connections through it break"),
                    _ => format!("the gateway at {site} was {kind} already"),
                }
            })
        }
        NetCommand::Anchor { anchor: (prefix, site) } => {
            let request = Request::Anchor { prefix: *prefix, site: site.clone() };
            let answer = change(here, agent, &request).await?;
            print(json, &answer, || match answer["changed"].as_bool() {
                Some(true) => {
                    format!("{prefix} is reached by {site}; connections to it that were open break")
                }
                _ => format!("{prefix} was reached by {site} already"),
            })
        }
    }
}

/// It is said in the agent's description, too, and where the agent is. (It is done, whatever comes of that.)
async fn carry(here: &Here, sites: &Sites, agent: &str) {
    let noted = || -> Result<()> {
        let forwards = Config::read(&folder(&here.home, agent))?.forwards;
        let mut store = Store::open(&here.home)?;
        let uuid = store.agent(agent)?.agent.uuid;
        Ok(store.set_forwards(uuid, &sites.name, &forwards)?)
    };
    if noted().is_ok() {
        heir::tell(here, sites, agent).await;
    }
}

/// Asks the agent's switch here for something that changes.
pub(super) async fn change(here: &Here, agent: &str, request: &Request) -> Result<Value> {
    let stream = here.switch(agent, names::ASK).await?;
    Ok(ask(&mut tokio::io::BufReader::new(stream), request, SOON, |_| ()).await?)
}

async fn ls(here: &Here, sites: &Sites, agent: &str, json: bool) -> Result<()> {
    let mut standing = match look(&here.home, agent).await {
        Ok(standing) => serde_json::to_value(standing)?,
        // No switch is needed here, and none is started: what is kept can be told.
        Err(_) => {
            let mut kept = serde_json::to_value(Config::read(&folder(&here.home, agent))?)?;
            kept["site"] = sites.name.clone().into();
            kept
        }
    };
    let claim = &standing["agent"];
    if let (Some(site), Some(true)) = (claim["site"].as_str(), claim["on"].as_bool())
        && site != sites.name
    {
        standing["there"] = far(sites, site, agent).await.unwrap_or_default();
    }
    print(json, &standing, || told(&standing).join("\n"))
}

async fn far(sites: &Sites, site: &str, agent: &str) -> Result<Value> {
    tokio::time::timeout(FAR, ask_far(sites, site, agent, None, &Request::Look)).await?
}

/// Asks the switch of another site, which may hear of the agent by that.
pub(super) async fn ask_far(
    sites: &Sites,
    site: &str,
    agent: &str,
    document: Option<Agent>,
    request: &Request,
) -> Result<Value> {
    let opening = Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open: Open::Network, document };
    let mut stream = open(sites.site(site)?, &opening).await?;
    Ok(ask(&mut stream, request, SOON, |_| ()).await?)
}

fn told(standing: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    let claim = &standing["agent"];
    lines.push(match claim["on"].as_bool() {
        Some(true) => format!("agent    runs at {}", word(&claim["site"])),
        Some(false) => "agent    off".to_owned(),
        None => "agent    has not run since this site's switch began".to_owned(),
    });
    if let Some(gateway) = standing["gateway"].as_str() {
        lines.push(format!("gateway  {gateway} ({})", word(&standing["gateway_kind"])));
    }
    lines.extend(list(&standing["links"]).iter().map(|site| format!("tunnel   to {}", word(site))));
    for anchor in list(&standing["anchors"]["anchors"]) {
        lines.push(format!("anchor   {} at {}", word(&anchor["prefix"]), word(&anchor["site"])));
    }
    for forward in list(&standing["forwards"]) {
        lines.push(format!("forward  {} to port {}", word(&forward["host"]), forward["guest_port"]));
    }
    // What passed is counted where the agent is.
    let counts =
        if standing["there"].is_object() { &standing["there"]["counts"] } else { &standing["counts"] };
    for (site, traffic) in counts["anchors"].as_object().into_iter().flatten() {
        let bytes = |name: &str| traffic[name].as_u64().unwrap_or(0);
        let waited = match bytes("waited_us") {
            0 => String::new(),
            waited => format!(", waited for {}", spoken(Duration::from_millis(waited / 1000))),
        };
        let (inward, outward) = (bytes("bytes_in"), bytes("bytes_out"));
        lines.push(format!("passed   by {site}: {inward} bytes in, {outward} out{waited}"));
    }
    let dropped = counts["dropped"].as_object().into_iter().flatten();
    let some = dropped.filter(|(_, count)| count.as_u64() > Some(0));
    lines.extend(some.map(|(why, count)| format!("dropped  {count} frames ({})", why.replace('_', " "))));
    lines
}
