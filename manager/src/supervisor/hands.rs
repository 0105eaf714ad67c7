//! Carries out what the rules want, one action after the other: the disk by `wandisk`, the machine by QMP, the other site by
//! a link. Decides nothing. What a site does from which an agent is moved is in [`super::moving`], memory and files in [`super::saving`],
//! where QEMU finds the disk in [`super::front`].
//!
//! Fault model: every call has a time-out; an action that failed may have had its effect all the same (the answer was lost),
//! so each can be done again. Only [`Action::Run`] lets a machine run, and it asks `wandisk` first (law M1).

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::BufReader;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::copying::Opens;
use super::event::{Action, Event, Yield};
use super::front::Heard;
use super::marks::is_held;
use super::pause::{Backoff, obstacle};
use super::phase::Attempt;
use super::qemu::Qemu;
use super::shell::Input;
use super::stream::Limit;
use super::why::{Sentence, Why};
use super::wire::Meter;
use crate::agent::command_line::{Beginning, names};
use crate::agent::store::Store;
use crate::agent::{Agent, Front};
use crate::control::{AskError, Here, Request, ask_far, folder};
use crate::net::teller::Teller;
use crate::qmp::RunState;
use crate::sites::{Link, Sites};
use crate::wandisk::Wandisk;

/// An ordinary command of wandisk's.
pub(super) const DISK: Duration = Duration::from_secs(20);
/// The other site starts a QEMU.
pub(super) const OPENS: Duration = Duration::from_secs(90);
/// QEMU does the last things with what has come, where it is awaited and where the agent stands for it.
pub(super) const SETTLES: Duration = Duration::from_secs(30);
const CHECKS: Duration = Duration::from_secs(10);
/// It is looked so often whether anything comes; the source is asked when nothing came so many times one after the other, which it is in
/// no move that goes well, and its answer is waited for.
const OVERDUE: Duration = Duration::from_secs(2);
const SILENT_LOOKS: u32 = 2;
const ROUSES: Duration = Duration::from_secs(10);
/// A disk that is on its way is looked for so long, and so often.
const COMES: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(10);
/// Until what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What an agent's supervisor works with.
#[derive(Debug)]
pub(super) struct Hands {
    pub(super) agent: Agent,
    pub(super) here: Here,
    pub(super) site: String,
    pub(super) wandisk: Wandisk,
    pub(super) qemu: Qemu,
    net: Teller,
    pub(super) inputs: UnboundedSender<Input>,
    /// Of memory on its way from here: the stream's carrier, and whoever looks at it.
    pub(super) copying: Vec<JoinHandle<()>>,
    /// How fast its stream may go.
    pub(super) limit: Limit,
    /// How it goes.
    pub(super) meter: Meter,
    /// To the other site's supervisor, for when the agent stands.
    pub(super) way: Option<Opens>,
    /// To the other site, over which nothing has been said: for memory.
    pub(super) bulk: Option<BufReader<Link>>,
    /// The disk's table on its way ahead.
    pub(super) table: Option<JoinHandle<Result<(), Why>>>,
    /// What it says to [`Action::Go`], which it was told as soon as the disk was released.
    pub(super) going: Option<JoinHandle<Result<Value, AskError>>>,
    /// Hears when the process ends that serves the disk's device.
    pub(super) keeper: Option<Heard>,
    pauses: Backoff,
    /// Of a move to here: looks at which nothing came.
    silent: u32,
    /// Memory is set aside for it until it runs here, or does not come.
    pub(super) reserved: Option<File>,
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
        let (limit, meter, pauses) = (Limit::default(), Meter::default(), Backoff::default());
        let (copying, way, bulk, table, going) = (Vec::new(), None, None, None, None);
        let (keeper, silent, reserved) = (None, 0, None);
        Hands {
            agent,
            here,
            site,
            wandisk,
            qemu,
            net,
            inputs,
            copying,
            limit,
            meter,
            way,
            bulk,
            table,
            going,
            keeper,
            pauses,
            silent,
            reserved,
        }
    }

    /// Does it.
    pub(super) async fn act(&mut self, action: &Action) -> Result<Yield, Why> {
        match action {
            Action::Launch => self.launch().await?,
            Action::Run => self.run().await?,
            Action::ChangeCd { file, force } => self.change_cd(file.as_ref(), *force).await?,
            Action::PowerDown => self.qemu.call("system_powerdown", Value::Null).await.map(drop).told()?,
            Action::Quit => self.quit().await?,
            Action::Presend { attempt, to } => self.presend(*attempt, to).await?,
            Action::Open { attempt, to, patience_s } => {
                let (attempt, from, patience_s) = (*attempt, self.site.clone(), *patience_s);
                let there = self.open_far(to, &Request::Arrive { attempt, from, patience_s }).await?;
                self.warns(to, &there["room"]).await;
            }
            Action::Copy { attempt, to } => self.copy(*attempt, to).await?,
            Action::Quiesce { attempt } => self.quiesce(*attempt).await?,
            Action::Prepare { attempt, to } => return self.prepare(*attempt, to).await,
            Action::Continue => self.go_on()?,
            Action::Commit { token, attempt, .. } => return self.commit(token, *attempt).await,
            Action::Go { attempt, to } => return self.go(*attempt, to).await,
            Action::Free { attempt } => self.free(*attempt).await?,
            Action::StopCopy => self.stop_copy().await,
            Action::MoveBack => return self.move_back().await,
            Action::GiveUp { attempt, to } => {
                self.far(to, None, &Request::GiveUp { attempt: *attempt }, DISK).await.told()?;
            }
            Action::Listen => self.listen().await?,
            Action::Patience { attempt, for_s } => {
                self.say_after(Duration::from_secs(*for_s), Event::Unheard { attempt: *attempt });
            }
            Action::Await { attempt } => self.say_after(OVERDUE, Event::Overdue { attempt: *attempt }),
            Action::Rouse { attempt, from } => self.rouse(*attempt, from.clone()),
            Action::Hark { .. } => return self.hark().await,
            Action::Check => return self.check().await,
            Action::Retry => self.say_after(RETRY, Event::Again),
            Action::Wait => {
                let wait = self.pauses.next(Instant::now());
                self.say_after(wait, Event::Again);
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

    fn say_after(&self, wait: Duration, event: Event) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            inputs.send(Input::Event(event)).ok();
        });
    }

    /// Beside all else: a source that does not answer must not keep the one waiting who says that the agent may start.
    fn rouse(&mut self, attempt: Attempt, from: String) {
        let (home, agent, inputs) = (self.here.home.clone(), self.agent.name.clone(), self.inputs.clone());
        self.silent = if is_held(&folder(&home, &agent), names::COMING) { 0 } else { self.silent + 1 };
        let asks = self.silent >= SILENT_LOOKS;
        if asks {
            self.silent = 0;
        }
        tokio::spawn(async move {
            if asks {
                let asked = tokio::time::timeout(ROUSES, how_it_stands(&home, &agent, &from)).await;
                if let Ok(Some(status)) = asked
                    && is_at_home_with(&status, &from)
                {
                    inputs.send(Input::Event(Event::GiveUp { attempt })).ok();
                }
            }
            tokio::time::sleep(OVERDUE).await;
            inputs.send(Input::Event(Event::Overdue { attempt })).ok();
        });
    }

    /// Law M8: the machine stands; may it be let go on? (It passes the gate once more when it is.)
    async fn ask_disk(&self) -> Result<(), Why> {
        self.resident().await?;
        // Which sites answer is what is asked here.
        let disk = self.wandisk.ask(&["status", &self.agent.disk], DISK).await.told()?;
        match obstacle(&disk) {
            Some(why) if !self.pauses.may_try() => Err(why.into()),
            _ => Ok(()),
        }
    }

    pub(super) async fn far(
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
    pub(super) fn document(&self) -> Result<Agent, Why> {
        Ok(Store::open(&self.here.home).told()?.agent(&self.agent.name).told()?.agent)
    }

    /// How the disk stands, as far as it is known here: a move must not wait for sites that take no part in it.
    pub(super) async fn disk(&self) -> Result<Value, Why> {
        self.wandisk.ask(&["status", &self.agent.disk, "--here"], DISK).await.told()
    }

    /// The gate: the disk's facts if it is resident here and free to be written.
    pub(super) async fn resident(&self) -> Result<Value, Why> {
        let disk = self.disk().await?;
        match disk["residency"].as_str() {
            Some("resident") => Ok(disk),
            other => Err(format!(
                "its disk is not resident at site {:?} ({}), but at site {:?}",
                self.site,
                other.unwrap_or("unknown"),
                disk["resident"].as_str().unwrap_or("unknown")
            )
            .into()),
        }
    }

    async fn launch(&mut self) -> Result<(), Why> {
        self.fits().await?;
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
                return Err("QEMU does not let it run".into());
            }
            self.qemu.call("cont", Value::Null).await.told()?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.reserved = None;
        self.net.runs(disk["epoch"].as_u64().unwrap_or(0));
        // The guest tells its neighbours where it is, too; one that cannot be made to is found all the same.
        self.qemu.call("announce-self", announcement()).await.ok();
        Ok(())
    }

    async fn quit(&mut self) -> Result<(), Why> {
        self.drop_copying();
        if let Err(error) = self.qemu.end().await {
            // One whose device nobody serves any more waits for it, a kill notwithstanding; it is asked to end again.
            if self.agent.front == Front::Ublk
                && let Ok(disk) = self.disk().await
            {
                self.attach(&disk, true).await.ok();
            }
            return Err(error).told();
        }
        self.reserved = None;
        let disk = match self.wandisk.ask(&["status", &self.agent.disk, "--here"], DISK).await {
            // It has not been here yet: there is nothing to let go of.
            Err(error) if error.is_no_disk() => return Ok(()),
            asked => asked.told()?,
        };
        self.let_go(&disk).await
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

    async fn listen(&mut self) -> Result<(), Why> {
        self.can_take().await?;
        let disk = self.disk().await?;
        self.has_room(&disk).await?;
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

    /// Whoever brings memory from the other site holds a mark; and where the disk has come, its source has committed, and will ask.
    async fn hark(&self) -> Result<Yield, Why> {
        if is_held(Path::new("."), names::COMING) {
            return Ok(Yield::Done);
        }
        let here = self.disk().await?["residency"] == json!("resident");
        Ok(if here { Yield::Done } else { Yield::NeverWill })
    }

    /// The word to start and the disk travel side by side: the disk may be last.
    async fn check(&self) -> Result<Yield, Why> {
        let end = Instant::now() + COMES;
        while let Err(why) = self.resident().await {
            if Instant::now() > end {
                return Err(why);
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(if self.taken(CHECKS).await.is_ok() { Yield::Done } else { Yield::NeverWill })
    }
}

/// What a site's supervisor says of an agent, where it can be asked.
async fn how_it_stands(home: &Path, agent: &str, site: &str) -> Option<Value> {
    let sites = Sites::read(home).ok()?;
    ask_far(sites.site(site).ok()?, agent, None, &Request::Status, ROUSES, |_| ()).await.ok()
}

/// Does a site that was moving an agent say that it has it, and moves it no more? (It was asked after it had begun: it is not yet to
/// begin.)
fn is_at_home_with(status: &Value, site: &str) -> bool {
    status["site"] == json!(site)
        && matches!(status["state"].as_str(), Some("running" | "paused" | "suspended" | "off"))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::agent::tests::example;

    /// The word to start comes from there, too, and waits for what is done here.
    #[tokio::test]
    async fn a_source_that_is_asked_and_says_nothing_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let (link, asked) = (folder.path().join("link"), folder.path().join("asked"));
        std::fs::write(&link, format!("#!/bin/sh\n: > {}\nexec cat > /dev/null\n", asked.display())).unwrap();
        std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o755)).unwrap();
        let sites = json!({ "format": 1, "id": "x", "name": "a", "sites": [{ "name": "b",
            "address": format!("cmd:{}", link.display()), "remote_home": null, "remote_wandisk": null,
            "id": null, "reads_only": false }] });
        std::fs::write(folder.path().join("site.json"), sites.to_string()).unwrap();
        let here = Here { home: folder.path().to_owned(), wandisk: Some(link) };
        let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref()).unwrap();
        let net = Teller::new(here.clone(), &example(), "a");
        let mut hands = Hands::new(example(), here, "a".to_owned(), wandisk, net, unbounded_channel().0);
        let began = Instant::now();
        let rouse = Action::Rouse { attempt: Attempt::from_u128(1), from: "b".to_owned() };
        for _ in 0..SILENT_LOOKS {
            assert!(!asked.exists(), "nothing has been silent for long");
            assert_eq!(hands.act(&rouse).await, Ok(Yield::Done));
        }
        assert!(began.elapsed() < ROUSES, "its answer was waited for");
        while !asked.exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "it was not asked");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn only_a_source_that_has_the_agent_and_does_not_move_it_has_given_it_up() {
        let says = |state: &str, site: &str| is_at_home_with(&json!({ "state": state, "site": site }), "b");
        assert!(says("running", "b") && says("suspended", "b") && says("off", "b"));
        for (state, site) in [("leaving", "b"), ("off", "a"), ("running", "c"), ("resuming", "b")] {
            assert!(!says(state, site), "{state} at {site}");
        }
        assert!(!is_at_home_with(&Value::Null, "b"));
    }
}
