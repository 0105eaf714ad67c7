//! Carries out what the rules want, one action after the other: the disk by `wandisk`, the machine by QMP, the other site by
//! a link. Decides nothing.
//!
//! Fault model: every call has a time-out; an action that failed may have had its effect all the same (the answer was lost),
//! so each can be done again. Only [`Action::Run`] lets a machine run, and it asks `wandisk` first (law M1).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::pause::{Backoff, obstacle};
use super::phase::{Action, Attempt, Event, Yield};
use super::qemu::Qemu;
use super::shell::Input;
use super::stream::{Limit, carry_limited};
use crate::agent::command_line::{Beginning, names};
use crate::agent::machine;
use crate::agent::store::Store;
use crate::agent::{Accelerator, Agent};
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, Request, ask_far, folder, open};
use crate::net::teller::Teller;
use crate::qmp::{MigrationStatus, RunState};
use crate::sites::Sites;
use crate::wandisk::Wandisk;

/// An ordinary command of wandisk's.
pub(super) const DISK: Duration = Duration::from_secs(20);
/// The table ahead: its bytes may be many.
const PRESEND: Duration = Duration::from_secs(120);
/// The hook at the switchover (law M3): the agent stands meanwhile, and QEMU would not notice a dead link.
const HOOK: Duration = Duration::from_secs(10);
/// The disk's hand-over ends by itself if it is not committed by then. Longer than hook and [`super::shell`]'s limit of the rest.
const LEASE: &str = "60s";
/// The other site starts a QEMU.
const OPENS: Duration = Duration::from_secs(90);
/// The other site asks its disk and starts the machine.
const GOES: Duration = Duration::from_secs(30);
/// QEMU does the last things with what has come, where it is awaited and where the agent stands for it.
pub(super) const SETTLES: Duration = Duration::from_secs(30);
const CHECKS: Duration = Duration::from_secs(10);
/// Until what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often a migration is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long the agent may stand for the last of its memory, once it may.
const DOWNTIME_MS: u64 = 300;

/// A request for a chunk that nobody gives fails after this time, and the machine stands (law M8): it is told soon, and
/// a link that is only dialled again is waited for.
const FETCH: &str = "10s";

/// Bytes a second: the link is the limit, or [`super::pace`], not QEMU's own default of 128 MiB.
pub(super) const BANDWIDTH: u64 = 1 << 40;

/// Why an action failed, in a sentence with all causes.
pub(super) type Why = String;

fn why(error: &(dyn std::error::Error + 'static)) -> Why {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Turns any error into its sentence.
pub(super) trait Sentence<T> {
    fn told(self) -> Result<T, Why>;
}

impl<T, E: std::error::Error + 'static> Sentence<T> for Result<T, E> {
    fn told(self) -> Result<T, Why> {
        self.map_err(|error| why(&error))
    }
}

/// What an agent's supervisor works with.
#[derive(Debug)]
pub(super) struct Hands {
    pub(super) agent: Agent,
    pub(super) here: Here,
    site: String,
    pub(super) wandisk: Wandisk,
    pub(super) qemu: Qemu,
    net: Teller,
    pub(super) inputs: UnboundedSender<Input>,
    /// Of memory on its way from here: the stream's carrier, and whoever looks at it.
    pub(super) copying: Vec<JoinHandle<()>>,
    /// How fast its stream may go.
    limit: Limit,
    pauses: Backoff,
}

impl Hands {
    pub(super) fn new(
        agent: Agent,
        here: Here,
        site: String,
        wandisk: Wandisk,
        net: Teller,
        inputs: UnboundedSender<Input>,
    ) -> Hands {
        let qemu = Qemu::new(agent.uuid, inputs.clone());
        let (limit, pauses) = (Limit::default(), Backoff::default());
        Hands { agent, here, site, wandisk, qemu, net, inputs, copying: Vec::new(), limit, pauses }
    }

    /// Does it.
    pub(super) async fn act(&mut self, action: &Action) -> Result<Yield, Why> {
        match action {
            Action::Launch => self.launch().await?,
            Action::Run => self.run().await?,
            Action::PowerDown => self.qemu.call("system_powerdown", Value::Null).await.map(drop).told()?,
            Action::Quit => self.quit().await?,
            Action::Presend { to } => self.presend(to).await?,
            Action::Open { attempt, to } => {
                let request = Request::Arrive { attempt: *attempt, from: self.site.clone() };
                self.far(to, Some(&self.document()?), &request, OPENS).await.told()?;
            }
            Action::Copy { to } => self.copy(to).await?,
            Action::Quiesce => self.quiesce().await?,
            Action::Prepare { to } => {
                let args = ["prepare", self.agent.disk.as_str(), "--to", to.as_str(), "--lease", LEASE];
                let answer = self.wandisk.ask(&args, HOOK).await.told()?;
                let token = answer["token"].as_str().ok_or("wandisk gave no token")?;
                return Ok(Yield::Token(token.to_owned()));
            }
            Action::Continue => {
                let state = json!({ "state": "pre-switchover" });
                self.qemu.call("migrate-continue", state).await.map(drop).told()?;
            }
            Action::Commit { token } => return self.commit(token).await,
            Action::Go { attempt, to } => return self.go(*attempt, to).await,
            Action::Free => self.free().await?,
            Action::StopCopy => self.stop_copy().await,
            Action::MoveBack => return self.move_back().await,
            Action::GiveUp { attempt, to } => {
                self.far(to, None, &Request::GiveUp { attempt: *attempt }, DISK).await.told()?;
            }
            Action::Listen => self.listen().await?,
            Action::Check => return self.check().await,
            Action::Retry => self.again_after(RETRY),
            Action::Wait => {
                let wait = self.pauses.next(Instant::now());
                self.again_after(wait);
            }
            Action::AskDisk => self.ask_disk().await?,
            Action::Save { id } => self.save(*id).await?,
            Action::Load { image, .. } => self.load(image).await?,
            Action::Carry { attempt, to, image } => self.carry_image(*attempt, to, image).await?,
            Action::Loaded => self.taken(SETTLES).await?,
            Action::Sweep { keep } => {
                super::image::sweep(&folder(&self.here.home, &self.agent.name), *keep).told()?;
            }
        }
        Ok(Yield::Done)
    }

    fn again_after(&self, wait: Duration) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            inputs.send(Input::Event(Event::Again)).ok();
        });
    }

    /// Law M8: the machine stands; may it be let go on? (It passes the gate once more when it is.)
    async fn ask_disk(&self) -> Result<(), Why> {
        let disk = self.resident().await?;
        match obstacle(&disk) {
            Some(why) if !self.pauses.may_try() => Err(why),
            _ => Ok(()),
        }
    }

    async fn far(
        &self,
        to: &str,
        document: Option<&Agent>,
        request: &Request,
        patience: Duration,
    ) -> Result<Value, AskError> {
        let sites = Sites::read(&self.here.home)?;
        ask_far(sites.site(to)?, &self.agent.name, document, request, patience, |_| ()).await
    }

    /// What the agent is, as it is kept: its home may have changed since this process began.
    fn document(&self) -> Result<Agent, Why> {
        Ok(Store::open(&self.here.home).told()?.agent(&self.agent.name).told()?.agent)
    }

    async fn disk(&self) -> Result<Value, Why> {
        self.wandisk.ask(&["status", &self.agent.disk], DISK).await.told()
    }

    /// The gate: the disk's facts if it is resident here and free to be written.
    pub(super) async fn resident(&self) -> Result<Value, Why> {
        let disk = self.disk().await?;
        match disk["residency"].as_str() {
            Some("resident") => Ok(disk),
            other => Err(format!(
                "its disk is not resident here ({}), but at site {}",
                other.unwrap_or("unknown"),
                disk["resident"].as_str().unwrap_or("unknown")
            )),
        }
    }

    fn socket(&self) -> PathBuf {
        folder(&self.here.home, &self.agent.name).join(names::DISK)
    }

    /// Attached at the socket where QEMU looks for it, already or now.
    pub(super) async fn attach(&self, disk: &Value, standby: bool) -> Result<(), Why> {
        let socket = self.socket();
        let socket = socket.to_str().ok_or("the folder's name is no UTF-8")?;
        if disk["attached"] == json!(true) {
            let here = disk["uri"].as_str().is_some_and(|uri| uri.contains(socket));
            return if here { Ok(()) } else { Err("its disk is attached for somebody else".to_owned()) };
        }
        let address = format!("unix:{socket}");
        let mut args = vec!["attach", &self.agent.disk, "--nbd", &address, "--fetch-timeout", FETCH];
        if standby {
            args.push("--standby");
        }
        self.wandisk.ask(&args, DISK).await.map(drop).told()
    }

    async fn launch(&mut self) -> Result<(), Why> {
        self.fits()?;
        let disk = self.resident().await?;
        self.attach(&disk, false).await?;
        self.qemu.start(&self.agent, Beginning::Launch).await.told()
    }

    async fn run(&mut self) -> Result<(), Why> {
        let disk = self.resident().await?;
        self.attach(&disk, false).await?;
        let end = Instant::now() + Duration::from_secs(5);
        while self.qemu.run_state().await.told()? != RunState::Running {
            if Instant::now() > end {
                return Err("QEMU does not let it run".to_owned());
            }
            self.qemu.call("cont", Value::Null).await.told()?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.net.runs(disk["epoch"].as_u64().unwrap_or(0));
        // The guest tells its neighbours where it is, too; one that cannot be made to is found all the same.
        self.qemu.call("announce-self", announcement()).await.ok();
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), Why> {
        self.drop_copying();
        self.qemu.end().await.told()?;
        let disk = self.disk().await?;
        if disk["attached"] == json!(true) {
            self.wandisk.ask(&["detach", &self.agent.disk], DISK).await.told()?;
        }
        Ok(())
    }

    /// A hand-over that is prepared and given up: the other site has a replica with the table then, and the second one, while
    /// the agent stands, has little to send.
    async fn presend(&self, to: &str) -> Result<(), Why> {
        let disk = self.agent.disk.as_str();
        let answer = self.wandisk.ask(&["prepare", disk, "--to", to], PRESEND).await.told()?;
        let token = answer["token"].as_str().ok_or("wandisk gave no token")?;
        self.wandisk.ask(&["abort", disk, "--token", token], DISK).await.map(drop).told()
    }

    /// Capabilities of both sides (laws M1, M2). Without another QEMU (`live`) there is nobody to wait for.
    pub(super) async fn capabilities(&self, live: bool) -> Result<(), Why> {
        let names = [
            ("events", true),
            ("return-path", live),
            ("pause-before-switchover", live),
            ("late-block-activate", true),
            ("validate-uuid", true),
        ];
        let all: Vec<Value> =
            names.iter().map(|(name, state)| json!({ "capability": name, "state": state })).collect();
        self.qemu.call("migrate-set-capabilities", json!({ "capabilities": all })).await.map(drop).told()
    }

    async fn copy(&mut self, to: &str) -> Result<(), Why> {
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
    async fn quiesce(&self) -> Result<(), Why> {
        self.limit.stands();
        let args = ["quiesce", self.agent.disk.as_str(), "--wait", "200ms"];
        self.wandisk.ask(&args, HOOK).await.map(drop).told()
    }

    pub(super) fn drop_copying(&mut self) {
        self.copying.drain(..).for_each(|task| task.abort());
    }

    async fn stop_copy(&mut self) {
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

    async fn commit(&self, token: &str) -> Result<Yield, Why> {
        let error = match self.wandisk.ask(&["commit", &self.agent.disk, "--token", token], DISK).await {
            Ok(_) => return Ok(Yield::Done),
            Err(error) => why(&error),
        };
        // What is resident and in no attempt was not given away, and this token is worth nothing any more.
        let disk = self.disk().await?;
        let free = disk["residency"] == json!("resident") && disk["attempt"].is_null();
        if free { Ok(Yield::StillHere) } else { Err(error) }
    }

    async fn go(&self, attempt: Attempt, to: &str) -> Result<Yield, Why> {
        let answer = self.far(to, Some(&self.document()?), &Request::Go { attempt }, GOES).await.told()?;
        match answer["started"].as_bool() {
            Some(true) => Ok(Yield::Started),
            Some(false) => Ok(Yield::NeverWill),
            None => Err("the other site's answer cannot be understood".to_owned()),
        }
    }

    async fn free(&self) -> Result<(), Why> {
        let aborted = self.wandisk.ask(&["abort", &self.agent.disk], DISK).await;
        self.wandisk.ask(&["quiesce", &self.agent.disk, "--off"], DISK).await.ok();
        let disk = self.resident().await?;
        // Nothing was prepared: there was nothing to end.
        if disk["attempt"].is_null() { Ok(()) } else { aborted.map(drop).told() }
    }

    async fn move_back(&self) -> Result<Yield, Why> {
        let epoch = |disk: Value| Ok(Yield::Epoch(disk["epoch"].as_u64()));
        if let Ok(disk) = self.resident().await {
            return epoch(disk);
        }
        let args = ["move", self.agent.disk.as_str(), "--to", self.site.as_str(), "--force"];
        let moved = self.wandisk.ask(&args, PRESEND).await;
        match self.resident().await {
            Ok(disk) => epoch(disk),
            Err(error) => Err(moved.err().map_or(error, |error| why(&error))),
        }
    }

    /// Can this site run it at all (law M5)?
    pub(super) fn fits(&self) -> Result<(), Why> {
        let (machines, newest) = machine::known().told()?;
        if !machines.contains(&self.agent.machine) {
            return Err(format!(
                "its machine type {} is not known to QEMU here (newest: {newest})",
                self.agent.machine
            ));
        }
        let scratch = folder(&self.here.home, &self.agent.name);
        if self.agent.accelerator == Accelerator::Kvm && !machine::kvm_works(&scratch, &self.agent.cpu) {
            return Err(format!("KVM with a processor {} does not work at this site", self.agent.cpu));
        }
        let boot = self.agent.boot.iter();
        for file in boot.flat_map(|boot| std::iter::once(&boot.kernel).chain(&boot.initrd)) {
            let len = std::fs::metadata(&file.path).map(|data| data.len()).ok();
            if len != Some(file.len_bytes) {
                return Err(format!("{} is not here as it was when the agent was created", file.path));
            }
        }
        Ok(())
    }

    async fn listen(&mut self) -> Result<(), Why> {
        self.fits()?;
        let disk = self.disk().await?;
        self.attach(&disk, true).await?;
        self.listens().await
    }

    /// A QEMU that takes what comes.
    pub(super) async fn listens(&mut self) -> Result<(), Why> {
        self.qemu.start(&self.agent, Beginning::Arrive).await.told()?;
        self.capabilities(true).await?;
        let uri = json!({ "uri": format!("unix:{}", names::ARRIVING) });
        self.qemu.call("migrate-incoming", uri).await.map(drop).told()
    }

    async fn check(&self) -> Result<Yield, Why> {
        self.resident().await?;
        Ok(if self.taken(CHECKS).await.is_ok() { Yield::Done } else { Yield::NeverWill })
    }
}

/// QEMU's own defaults: five times within a second.
fn announcement() -> Value {
    json!({ "initial": 50, "max": 550, "rounds": 5, "step": 100 })
}

/// Bytes both ways until one of them ends: QEMU closes its side when all has been acknowledged, or nothing will be.
pub async fn carry<A, B>(near: &mut A, far: &mut B)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    tokio::select! {
        _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
        _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
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
