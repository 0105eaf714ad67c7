//! The hands of a move, at the site that the agent leaves: the disk's hand-over in steps, memory on its way, and back again.
//!
//! Fault model: as in [`super::hands`]; what is under way when a move ends is dropped by it ([`Hands::drop_copying`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Yield;
use super::hands::{DISK, Hands, Sentence, Why};
use super::phase::Attempt;
use super::shell::Input;
use super::stream::{Limit, carry_limited};
use crate::agent::Accelerator;
use crate::agent::command_line::names;
use crate::control::{Open, Opening, PROTOCOL, Request, open};
use crate::qmp::MigrationStatus;
use crate::sites::Sites;
use crate::wandisk::Wandisk;
use crate::words::with_causes;

/// The table ahead: its bytes may be many.
const PRESEND: Duration = Duration::from_secs(120);
/// It is given up at once; one whose supervisor died meanwhile holds the agent's writes no longer than this.
const AHEAD: &str = "10s";
/// The hook at the switchover (law M3): the agent stands meanwhile, and QEMU would not notice a dead link.
const HOOK: Duration = Duration::from_secs(10);
/// The disk's hand-over ends by itself if it is not committed by then. Longer than hook and [`super::shell`]'s limit of the rest.
const LEASE: &str = "60s";
/// The other site asks its disk and starts the machine.
const GOES: Duration = Duration::from_secs(30);
/// How often a migration is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the agent may stand for the last of its memory, once it may.
const DOWNTIME_MS: u64 = 300;

/// Bytes a second: the link is the limit, or [`super::pace`], not QEMU's own default of 128 MiB.
pub(super) const BANDWIDTH: u64 = 1 << 40;

impl Hands {
    /// A hand-over that is prepared and given up: the other site has a replica with the table then, and the second one, while
    /// the agent stands, has little to send.
    pub(super) async fn presend(&self, to: &str) -> Result<(), Why> {
        let disk = self.agent.disk.as_str();
        let answer =
            self.wandisk.ask(&["prepare", disk, "--to", to, "--lease", AHEAD], PRESEND).await.told()?;
        let token = answer["token"].as_str().ok_or("wandisk gave no token")?;
        self.wandisk.ask(&["abort", disk, "--token", token], DISK).await.map(drop).told()
    }

    /// The agent stands: whoever comes here waits for nothing but this.
    pub(super) async fn prepare(&self, to: &str) -> Result<Yield, Why> {
        let args = ["prepare", self.agent.disk.as_str(), "--to", to, "--lease", LEASE];
        let answer = self.wandisk.ask(&args, HOOK).await.told()?;
        let token = answer["token"].as_str().ok_or("wandisk gave no token")?;
        Ok(Yield::Token(token.to_owned()))
    }

    pub(super) async fn copy(&mut self, to: &str) -> Result<(), Why> {
        self.drop_copying();
        self.limit = Limit::default();
        self.capabilities(true).await?;
        // It does not switch over before the disk is asked whether anything waits: see `look`.
        let parameters = json!({ "downtime-limit": 1, "max-bandwidth": BANDWIDTH });
        self.qemu.call("migrate-set-parameters", parameters).await.told()?;
        if self.loses_writes()? {
            self.quiesce().await?;
            self.qemu.call("stop", Value::Null).await.told()?;
        }
        std::fs::remove_file(names::LEAVING).ok();
        let listener = UnixListener::bind(names::LEAVING).told()?;
        let sites = Sites::read(&self.here.home).told()?;
        let opening = Opening {
            snowbird: PROTOCOL,
            agent: self.agent.name.clone(),
            open: Open::Stream,
            document: None,
        };
        let site = sites.site(to).told()?.clone();
        let mut far = open(&site, &opening).await.told()?;
        let (limit, keeps) = (self.limit.clone(), self.limit.clone());
        self.copying.push(tokio::spawn(keeps.keep(site, self.agent.name.clone())));
        self.copying.push(tokio::spawn(async move {
            if let Ok((mut near, _)) = listener.accept().await {
                carry_limited(&mut near, &mut far, &limit).await;
            }
        }));
        let uri = json!({ "uri": format!("unix:{}", names::LEAVING) });
        self.qemu.call("migrate", uri).await.told()?;
        let looks = Looking {
            client: Arc::clone(self.qemu.client().told()?),
            wandisk: self.wandisk.clone(),
            disk: self.agent.disk.clone(),
            inputs: self.inputs.clone(),
        };
        self.copying.push(tokio::spawn(looks.until_the_end()));
        Ok(())
    }

    /// Before 9.0 QEMU forgot, under translation, writes to a page that it had just looked at for a migration ("physmem: Fix
    /// migration dirty bitmap coherency with TCG memory access"): a guest's timers were lost in one move of some sixty. Such a
    /// machine stands while its memory is copied.
    fn loses_writes(&self) -> Result<bool, Why> {
        let major = self.qemu.client().told()?.version().major;
        Ok(self.agent.accelerator == Accelerator::Tcg && major < 9)
    }

    /// Law M7: from now no request waits long for a chunk that is elsewhere.
    pub(super) async fn quiesce(&self) -> Result<(), Why> {
        self.limit.stands();
        let args = ["quiesce", self.agent.disk.as_str(), "--wait", "200ms"];
        self.wandisk.ask(&args, HOOK).await.map(drop).told()
    }

    pub(super) fn drop_copying(&mut self) {
        self.copying.drain(..).for_each(|task| task.abort());
    }

    pub(super) async fn stop_copy(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        self.qemu.call("migrate_cancel", Value::Null).await.ok();
        self.drop_copying();
        // It may be over, or never have begun; what counts is that nothing is under way.
        while Instant::now() < end {
            let status = self.qemu.call("query-migrate", Value::Null).await.unwrap_or_default();
            if !matches!(
                status["status"].as_str(),
                Some("setup" | "active" | "pre-switchover" | "device" | "cancelling")
            ) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn commit(&self, token: &str) -> Result<Yield, Why> {
        let error = match self.wandisk.ask(&["commit", &self.agent.disk, "--token", token], DISK).await {
            Ok(_) => return Ok(Yield::Done),
            Err(error) => with_causes(&error),
        };
        // What is resident and in no attempt was not given away, and this token is worth nothing any more.
        let disk = self.disk().await?;
        let free = disk["residency"] == json!("resident") && disk["attempt"].is_null();
        if free { Ok(Yield::StillHere) } else { Err(error) }
    }

    pub(super) async fn go(&self, attempt: Attempt, to: &str) -> Result<Yield, Why> {
        let answer = self.far(to, Some(&self.document()?), &Request::Go { attempt }, GOES).await.told()?;
        match answer["started"].as_bool() {
            Some(true) => Ok(Yield::Started),
            Some(false) => Ok(Yield::NeverWill),
            None => Err("the other site's answer cannot be understood".to_owned()),
        }
    }

    pub(super) async fn free(&self) -> Result<(), Why> {
        let aborted = self.wandisk.ask(&["abort", &self.agent.disk], DISK).await;
        self.wandisk.ask(&["quiesce", &self.agent.disk, "--off"], DISK).await.ok();
        let disk = self.resident().await?;
        // Nothing was prepared: there was nothing to end.
        if disk["attempt"].is_null() { Ok(()) } else { aborted.map(drop).told() }
    }

    pub(super) async fn move_back(&self) -> Result<Yield, Why> {
        let epoch = |disk: Value| Ok(Yield::Epoch(disk["epoch"].as_u64()));
        if let Ok(disk) = self.resident().await {
            return epoch(disk);
        }
        let args = ["move", self.agent.disk.as_str(), "--to", self.site.as_str(), "--force"];
        let moved = self.wandisk.ask(&args, PRESEND).await;
        match self.resident().await {
            Ok(disk) => epoch(disk),
            Err(error) => Err(moved.err().map_or(error, |error| with_causes(&error))),
        }
    }
}

/// Looks at a migration: for progress, for events that were missed, and for the moment when it may switch over.
struct Looking {
    client: Arc<crate::qmp::Client>,
    wandisk: Wandisk,
    disk: String,
    inputs: UnboundedSender<Input>,
}

impl Looking {
    async fn until_the_end(self) {
        let mut may_switch = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let asked = self.client.call("query-migrate", Value::Null, super::qemu::SOON).await;
            let Ok(news) = asked else { continue };
            let status = MigrationStatus::of(news["status"].as_str().unwrap_or_default());
            if status == MigrationStatus::Active
                && !may_switch
                && news["ram"]["dirty-sync-count"].as_u64() > Some(1)
            {
                // Law M7: a request that waits for a far chunk would hold QEMU's drain, and its monitor, for as long.
                let disk = self.wandisk.ask(&["status", &self.disk], DISK).await.unwrap_or_default();
                if disk["fetch"]["waiting"] == json!(0) {
                    let parameters = json!({ "downtime-limit": DOWNTIME_MS });
                    let set = self.client.call("migrate-set-parameters", parameters, super::qemu::SOON).await;
                    may_switch = set.is_ok();
                }
            }
            let ends = matches!(
                status,
                MigrationStatus::Completed | MigrationStatus::Failed | MigrationStatus::Cancelled
            );
            if self.inputs.send(Input::Looked { status, news }).is_err() || ends {
                return;
            }
        }
    }
}
