//! Commands about agents. They ask the agent's supervisor, here or at the site where it is, and print what it says.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::args_agents::AgentCommand;
use super::news::{News, how_far};
use super::told::{Told, print};
use super::unfinished;
use super::view::view;
use crate::agent::is_name;
use crate::agent::store::{Kept, Store};
use crate::auto::process::watch;
use crate::control::{AskError, Here, Request, ask_far};
use crate::display;
use crate::purge;
use crate::reach;
use crate::sites::Sites;
use crate::supervisor::phase::Machine;
use crate::supervisor::process::supervise;
use crate::wandisk::Wandisk;

/// How long an answer may take that needs no guest and no other site's work.
pub(super) const SOON: Duration = Duration::from_secs(60);
/// What would be good to know, and is not waited for long.
const GLANCE: Duration = Duration::from_secs(5);
/// A guest that shuts down.
const SHUTDOWN: Duration = Duration::from_secs(120);
/// Between two words of a move.
const MOVE: Duration = Duration::from_secs(600);
/// A disk that is filled from an image.
pub(super) const FILL: Duration = Duration::from_secs(3600);
const DISK: Duration = Duration::from_secs(30);

/// Where this user's site is unless told otherwise: the rule of wandisk, whose folder it is.
pub(super) fn home(named: Option<&Path>) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(home) = named.map(Path::to_owned).or_else(|| variable("WANDISK_HOME")) {
        return std::path::absolute(&home).unwrap_or(home);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/wandisk");
    }
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    data.unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".local/share")).join("wandisk")
}

/// What every command has.
pub(super) struct Site {
    pub(super) here: Here,
    pub(super) sites: Sites,
    pub(super) json: bool,
}

pub(super) fn run(
    command: &AgentCommand,
    named: Option<&Path>,
    wandisk: Option<PathBuf>,
    json: bool,
) -> Result<()> {
    let here = Here { home: home(named), wandisk };
    match command {
        AgentCommand::Supervise { agent }
        | AgentCommand::Watch { agent }
        | AgentCommand::Switch { agent }
        | AgentCommand::Attend { agent }
            if !is_name(agent) =>
        {
            return Err(Told::new(format!("{agent:?} is no agent's name")).into());
        }
        AgentCommand::Supervise { agent } => return supervise(here, agent),
        AgentCommand::Watch { agent } => return watch(here, agent),
        AgentCommand::Dashboard(args) => return super::dashboard::run(here, args, json),
        AgentCommand::Switch { agent } => return crate::net::process::serve(&here, agent),
        AgentCommand::Gateway { .. } => return crate::net::tap::process::serve(),
        AgentCommand::Attend { agent } => return display::keeper::keep(here, agent),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let AgentCommand::Host { .. } = command {
        let served = runtime.block_on(crate::host::serve(&here));
        // A thread that reads standard input would keep the process until its peer speaks.
        runtime.shutdown_background();
        return served;
    }
    let sites = Sites::read(&here.home).map_err(Told::of_site)?;
    let site = Site { here, sites, json };
    runtime.block_on(async {
        site.run(command).await?;
        site.watch(command).await
    })
}

impl Site {
    async fn run(&self, command: &AgentCommand) -> Result<()> {
        match command {
            AgentCommand::Create(args) => self.create(args).await,
            AgentCommand::Launch { agent, here: true } => self.launch_here(agent).await,
            AgentCommand::Launch { agent, here: false } => self.simple(agent, &Request::Launch, SOON).await,
            AgentCommand::Shutdown { agent } => {
                let ended = self.simple(agent, &Request::Shutdown, SHUTDOWN).await;
                ended.map_err(|error| match error.downcast_ref::<AskError>() {
                    Some(AskError::Late(_)) => {
                        Told::new("the guest has not shut down").hint("`snowbird kill` pulls the plug").into()
                    }
                    _ => error,
                })
            }
            AgentCommand::Cd { agent, command } => self.cd(agent, command).await,
            AgentCommand::Kill { agent } => self.simple(agent, &Request::Kill, SOON).await,
            AgentCommand::Cancel { agent } => self.simple(agent, &Request::Cancel, SOON).await,
            AgentCommand::Suspend { agent } => {
                let status = {
                    let mut shown = News::new(self.json);
                    self.ask(agent, &Request::Suspend, MOVE, |news| shown.show(news)).await?
                };
                print(self.json, &status, || line(&status))
            }
            AgentCommand::Resume { agent, at, force } => self.resume(agent, at.as_deref(), *force).await,
            AgentCommand::Purge { agent, here, .. } => self.purge(agent, *here).await,
            AgentCommand::Sync { agent, site } => self.sync(agent, site).await,
            AgentCommand::Stay { agent, time } => self.stay(agent, *time).await,
            AgentCommand::Home { agent, to, force, network } => self.home(agent, to, *force, *network).await,
            AgentCommand::Ls => self.list(),
            AgentCommand::Status { agent } => self.status(agent.as_deref()).await,
            AgentCommand::Migrate { agent, to } => self.migrate(agent, to).await,
            AgentCommand::Log { agent, lines } => self.log(agent, *lines),
            AgentCommand::Auto(args) => self.auto(args).await,
            AgentCommand::View(args) => view(&self.here, &self.kept(&args.agent)?, args, self.json).await,
            AgentCommand::Net { agent, command } => {
                let kept = self.kept(agent)?;
                super::net::run(&self.here, &self.sites, &kept.agent.name, command, self.json).await
            }
            AgentCommand::Host { .. }
            | AgentCommand::Dashboard(_)
            | AgentCommand::Supervise { .. }
            | AgentCommand::Watch { .. }
            | AgentCommand::Switch { .. }
            | AgentCommand::Gateway { .. }
            | AgentCommand::Attend { .. } => {
                bail!("this is no command for people")
            }
        }
    }

    pub(super) fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.here.home)?)
    }

    pub(super) fn kept(&self, agent: &str) -> Result<Kept> {
        Ok(self.store()?.agent(agent).map_err(|error| Told::from(&error).hint("see `snowbird ls`"))?)
    }

    pub(super) fn wandisk(&self) -> Result<Wandisk> {
        Wandisk::find(&self.here.home, self.here.wandisk.as_deref()).map_err(|e| Told::of_wandisk(&e).into())
    }

    /// Asks the supervisor of an agent, wherever the agent is.
    pub(super) async fn ask(
        &self,
        agent: &str,
        request: &Request,
        patience: Duration,
        news: impl FnMut(&Value),
    ) -> Result<Value> {
        self.kept(agent)?;
        Ok(reach::ask(&self.here, &self.sites, agent, request, patience, news).await?)
    }

    async fn simple(&self, agent: &str, request: &Request, patience: Duration) -> Result<()> {
        let status = self.ask(agent, request, patience, |_| ()).await?;
        print(self.json, &status, || line(&status))
    }

    async fn migrate(&self, agent: &str, to: &str) -> Result<()> {
        let report = self.moved(agent, &Request::Migrate { to: to.to_owned() }).await?;
        print(self.json, &report, || {
            format!("{}, stood for {}", arrived(agent, &report), ms(&report["suspended_ms"]))
        })
    }

    async fn resume(&self, agent: &str, at: Option<&str>, force: bool) -> Result<()> {
        let request = Request::Resume { at: at.map(str::to_owned), force };
        let report = self.moved(agent, &request).await?;
        let moved = report["to"].is_string();
        print(self.json, &report, || if moved { arrived(agent, &report) } else { line(&report) })
    }

    /// A move's account; Ctrl-C asks that it be given up.
    async fn moved(&self, agent: &str, request: &Request) -> Result<Value> {
        let shown = RefCell::new(News::new(self.json));
        let moved = self.ask(agent, request, MOVE, |news| shown.borrow_mut().show(news));
        tokio::pin!(moved);
        loop {
            tokio::select! {
                report = &mut moved => return report,
                pressed = tokio::signal::ctrl_c() => {
                    pressed?;
                    let cancelled = self.ask(agent, &Request::Cancel, SOON, |_| ());
                    if let Err(error) = cancelled.await {
                        shown.borrow_mut().show(&json!({ "phase": format!("{error:#}") }));
                    }
                }
            }
        }
    }

    async fn purge(&self, agent: &str, only_here: bool) -> Result<()> {
        self.kept(agent)?;
        let purged = if only_here {
            purge::here(&self.here, agent).await.map(|()| vec![self.sites.name.clone()])
        } else {
            purge::everywhere(&self.here, &self.sites, agent).await
        };
        let sites = purged.map_err(|error| match error.hint() {
            Some(hint) => Told::from(&error).hint(hint),
            None => Told::from(&error),
        })?;
        print(self.json, &json!({ "purged": agent, "sites": sites }), || {
            format!("{agent} is removed at {}", sites.join(", "))
        })
    }

    fn list(&self) -> Result<()> {
        let agents = self.store()?.agents()?;
        let known = |name: &str| agents.iter().any(|kept| kept.agent.name == name);
        let mut rows: Vec<Value> = unfinished::all(&self.here.home)
            .into_iter()
            .filter(|(name, _)| !known(name))
            .map(|(name, told)| json!({ "agent": name, "state": "unfinished", "told": told }))
            .collect();
        for kept in agents {
            let machine: Machine = serde_json::from_str(&kept.phase)?;
            let (name, phase) = (kept.agent.name, machine.phase);
            rows.push(json!({ "agent": name, "uuid": kept.agent.uuid, "state": phase.word(), "told": phase.to_string() }));
        }
        print(self.json, &json!({ "agents": rows }), || rows.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    async fn one(&self, kept: &Kept) -> Result<Value> {
        let mut status = self.ask(&kept.agent.name, &Request::Status, SOON, |_| ()).await?;
        if let Some(from) = status["coming"]["from"].as_str() {
            // How far it is, is known where it comes from.
            let asked =
                ask_far(self.sites.site(from)?, &kept.agent.name, None, &Request::Status, GLANCE, |_| ());
            status["migration"] = asked.await.map_or(Value::Null, |there| there["migration"].clone());
        }
        let disk = self.wandisk()?.ask(&["status", &kept.agent.disk], DISK).await;
        status["disk"] = disk.unwrap_or_default();
        status["view"] = display::shown(&self.here.home, &kept.agent.name).await.ok().flatten().into();
        self.tell_auto(kept, &mut status).await?;
        Ok(status)
    }

    async fn status(&self, agent: Option<&str>) -> Result<()> {
        if let Some(agent) = agent {
            let status = self.one(&self.kept(agent)?).await?;
            return print(self.json, &status, || whole(&status));
        }
        let mut all = Vec::new();
        for kept in self.store()?.agents()? {
            // One that cannot be asked does not hide the others.
            all.push(self.one(&kept).await.unwrap_or_else(
                |error| json!({ "agent": kept.agent.name, "state": "unknown", "told": format!("{error:#}") }),
            ));
        }
        print(self.json, &json!({ "agents": all }), || all.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    fn log(&self, agent: &str, lines: u32) -> Result<()> {
        let kept = self.kept(agent)?;
        let lines = self.store()?.log(kept.agent.uuid, lines)?;
        print(self.json, &json!({ "agent": agent, "log": lines }), || {
            let told = lines.iter().map(|line| format!("{}  {}", clock(line.at_ms), line.text));
            told.collect::<Vec<_>>().join("\n")
        })
    }
}

/// A moment as this machine's clock shows it.
fn clock(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(
        || format!("{at_ms} ms"),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T%.3f").to_string(),
    )
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}

/// An agent in a line.
pub(super) fn line(status: &Value) -> String {
    let far = how_far(&status["migration"]).map_or(String::new(), |far| format!(", {far}"));
    format!("{:<16} {}{far}", word(status, "agent"), word(status, "told"))
}

fn ms(value: &Value) -> String {
    value.as_u64().map_or("?".to_owned(), |ms| format!("{ms} ms"))
}

/// Where a move ended.
fn arrived(agent: &str, report: &Value) -> String {
    format!("{agent} is at {}: {} in all", word(report, "to"), ms(&report["total_ms"]))
}

/// An agent in full.
fn whole(status: &Value) -> String {
    let mut lines = vec![
        format!("agent     {} ({})", word(status, "agent"), word(status, "uuid")),
        format!("site      {} (home {})", word(status, "site"), word(status, "home")),
        format!("state     {}, by {}", word(status, "told"), word(status, "accelerator")),
    ];
    if let Some(far) = how_far(&status["migration"]) {
        lines.push(format!("so far    {far}"));
    }
    if let Some(failure) = status["last_failure"].as_str() {
        lines.push(format!("last move failed: {failure}"));
        lines.extend(status["last_failure_hint"].as_str().map(|hint| format!("          {hint}")));
    }
    if status["cd"].is_object() {
        lines.push(format!("CD drive  {}", status["cd"]["file"].as_str().unwrap_or("empty")));
    }
    if let Some(path) = status["image"]["path"].as_str() {
        lines.push(format!("memory    {path}, {} bytes", status["image"]["len_bytes"]));
    }
    for name in ["console", "display"] {
        if let Some(path) = status[name].as_str() {
            lines.push(format!("{name:<9} {path}"));
        }
    }
    if status["view"].is_object() {
        lines.push(format!("view      {}", super::view::line(&status["view"])));
    }
    if status["disk"].is_object() {
        let (disk, chunks) = (&status["disk"], &status["disk"]["chunks"]);
        lines.push(format!(
            "disk      resident at {}; here {} chunks held, {} stale, {} absent",
            word(disk, "resident"),
            chunks["held"],
            chunks["stale"],
            chunks["absent"]
        ));
    }
    lines.extend(super::auto::lines(status));
    lines.join("\n")
}
