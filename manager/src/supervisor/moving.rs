//! The hands of a move, at the site that the agent leaves: the disk's hand-over in steps, and back again. Memory
//! on its way is in [`super::copying`].
//!
//! Fault model: as in [`super::hands`]; what is under way when a move ends is dropped by it ([`Hands::drop_copying`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::event::{Event, Yield};
use super::hands::{DISK, Hands};
use super::phase::Attempt;
use super::shell::Input;
use super::why::{Sentence, SentenceOf, Why};
use crate::agent::Front;
use crate::control::{AskError, Request, ask};
use crate::qmp::QmpError;
use crate::words::with_causes;

/// The table ahead: its bytes may be many.
const PRESEND: Duration = Duration::from_secs(120);
/// It is given up at once; one whose supervisor died meanwhile holds the agent's writes no longer than this.
const AHEAD: &str = "10s";
/// The hook at the switchover (law M3): the agent stands meanwhile, and QEMU would not notice a dead link.
pub(super) const HOOK: Duration = Duration::from_secs(10);
/// The disk's hand-over ends by itself if it is not committed by then. Longer than hook and [`super::shell`]'s limit of the rest.
const LEASE: &str = "60s";
/// The other site asks its disk and starts the machine.
const GOES: Duration = Duration::from_secs(30);
/// Bytes a second: the link is the limit, or [`super::pace`], not QEMU's own default of 128 MiB.
pub(super) const BANDWIDTH: u64 = 1 << 40;

impl Hands {
    /// A hand-over that is prepared and given up: the other site has a replica with the table then, and the second one, while
    /// the agent stands, has little to send. Meanwhile ways are opened to what is asked there next, each of which is a login.
    ///
    /// It worked as soon as the other site has a replica, which is all that its QEMU needs; the rest goes on beside what is
    /// done next, and before memory goes it is waited for ([`Hands::table_is_there`]).
    pub(super) async fn presend(&mut self, attempt: Attempt, to: &str) -> Result<(), Why> {
        self.opens_way(to);
        self.dials_bulk(to);
        let (wandisk, disk, to) = (self.wandisk.clone(), self.agent.disk.clone(), to.to_owned());
        let inputs = self.inputs.clone();
        let (tell, hears) = oneshot::channel();
        let table = tokio::spawn(async move {
            let mut tell = Some(tell);
            let news = |news: &Value| {
                if news["phase"] == json!("replica")
                    && let Some(tell) = tell.take()
                {
                    tell.send(()).ok();
                }
            };
            let name = attempt.to_string();
            let args = ["prepare", &disk, "--to", &to, "--lease", AHEAD, "--name", &name];
            let answer = wandisk.ask_hearing(&args, PRESEND, news).await.told()?;
            let token = answer["token"].as_str().ok_or("wandisk gave no token")?;
            inputs.send(Input::TableAhead(answer["bytes"].as_u64().unwrap_or(0))).ok();
            wandisk.ask(&["abort", &disk, "--token", token], DISK).await.map(drop).told()
        });
        if let Some(earlier) = self.table.replace(table) {
            earlier.abort();
        }
        match hears.await {
            Ok(()) => Ok(()),
            // It is over, well or not.
            Err(_) => self.table_is_there().await,
        }
    }

    /// What went ahead of the table is there, and its hand-over given up.
    pub(super) async fn table_is_there(&mut self) -> Result<(), Why> {
        match self.table.take() {
            Some(table) => table.await.told()?,
            None => Ok(()),
        }
    }

    /// The agent stands: whoever comes here waits for nothing but this.
    pub(super) async fn prepare(&self, attempt: Attempt, to: &str) -> Result<Yield, Why> {
        let (began, name) = (Instant::now(), attempt.to_string());
        let args = ["prepare", self.agent.disk.as_str(), "--to", to, "--lease", LEASE, "--name", &name];
        let mut answer = self.wandisk.ask(&args, HOOK).await.told()?;
        let token = answer["token"].as_str().ok_or("wandisk gave no token")?.to_owned();
        answer["all_ms"] = json!(began.elapsed().as_secs_f64() * 1e3);
        self.inputs.send(Input::Prepared(answer)).ok();
        Ok(Yield::Token(token))
    }

    /// QEMU sends the rest. Its answer is not waited for: it may come as late as the rest of memory has left, for whoever sends
    /// that holds the lock that QEMU's monitor needs. Where it says no, the copying has failed.
    pub(super) fn go_on(&mut self) -> Result<(), Why> {
        let client = Arc::clone(self.qemu.client().told()?);
        let inputs = self.inputs.clone();
        self.copying.push(tokio::spawn(async move {
            let state = json!({ "state": "pre-switchover" });
            let answer = client.call("migrate-continue", state, HOOK).await;
            let told = match answer {
                Err(error @ QmpError::Refused { .. }) => {
                    Input::Event(Event::CopyFailed { why: with_causes(&error).into() })
                }
                _ => Input::Continued,
            };
            inputs.send(told).ok();
        }));
        Ok(())
    }

    pub(super) async fn commit(&mut self, token: &str, attempt: Attempt) -> Result<Yield, Why> {
        let mut way = self.way(&self.document()?).await;
        let going = &mut self.going;
        let released = |news: &Value| {
            if news["phase"] == json!("released")
                && let Some(mut way) = way.take()
            {
                let go = async move { ask(&mut way, &Request::Go { attempt }, GOES, |_| ()).await };
                *going = Some(tokio::spawn(go));
            }
        };
        let mut args = vec!["commit", self.agent.disk.as_str(), "--token", token];
        // The machine that stands here has the device open, and may have to go on with it. (An NBD client connects again.)
        if self.agent.front == Front::Ublk {
            args.push("--standby");
        }
        let failed = match self.wandisk.ask_hearing(&args, DISK, released).await {
            Ok(_) => return Ok(Yield::Done),
            Err(error) => Err(error).told(),
        };
        // What is resident and in no attempt was not given away, and this token is worth nothing any more.
        let disk = self.disk().await?;
        let free = disk["residency"] == json!("resident") && disk["attempt"].is_null();
        if free { Ok(Yield::StillHere) } else { failed }
    }

    pub(super) async fn go(&mut self, attempt: Attempt, to: &str) -> Result<Yield, Why> {
        let (document, request) = (self.document()?, Request::Go { attempt });
        let ahead = match self.going.take() {
            Some(going) => going.await.unwrap_or(Err(AskError::Closed)),
            None => Err(AskError::Closed),
        };
        let answer = match ahead {
            // Nobody heard it, or nobody's answer was heard: it is asked for again, which it may be.
            Err(AskError::Closed | AskError::Io(_)) => {
                self.far(to, Some(&document), &request, GOES).await.told_of(to)?
            }
            answered => answered.told_of(to)?,
        };
        self.account().await;
        match answer["started"].as_bool() {
            Some(true) => Ok(Yield::Started),
            Some(false) => Ok(Yield::NeverWill),
            None => Err(AskError::Nonsense).told_of(to),
        }
    }

    pub(super) async fn free(&mut self, attempt: Attempt) -> Result<(), Why> {
        if let Some(table) = self.table.take() {
            // What wandisk has begun for it it does to its end, and that is waited for by this abort.
            table.abort();
        }
        // By its name: a command that a dead supervisor left behind may come after this, and would hold the agent's writes, or let it
        // stand for each far chunk.
        let name = attempt.to_string();
        let aborted = self.wandisk.ask(&["abort", &self.agent.disk, "--name", &name], DISK).await;
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
            Err(error) => Err(moved.told().err().unwrap_or(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::agent::tests::example;
    use crate::control::Here;
    use crate::net::teller::Teller;
    use crate::wandisk::Wandisk;

    const TRY: Attempt = Attempt::from_u128(7);

    /// What the table goes ahead by.
    fn ahead() -> String {
        format!("prepare work --to big --lease 10s --name {TRY}")
    }

    /// Hands whose `wandisk` says that the other site has a replica, and no more before the file `whole` is there; what it was asked
    /// is in the file `asked`, who works at a hand-over in `works`.
    fn hands(folder: &Path) -> Hands {
        let (program, at) = (folder.join("wandisk"), folder.display());
        let script = format!(
            "#!/bin/sh\nshift 3\necho \"$@\" >> {at}/asked\n\
             if [ $1 = prepare ]; then\n echo $$ > {at}/works\n echo '{{\"progress\": {{\"phase\": \"replica\"}}}}' >&2\n\
             while [ ! -e {at}/whole ]; do sleep 0.02; done\nfi\n\
             echo '{{\"token\": \"t\", \"residency\": \"resident\", \"attempt\": null}}'\n"
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let here = Here { home: folder.to_owned(), wandisk: Some(program.clone()) };
        let wandisk = Wandisk::find(&here.home, Some(&program)).unwrap();
        let net = Teller::new(here.clone(), &example(), "desk");
        Hands::new(example(), here, "desk".to_owned(), wandisk, net, unbounded_channel().0)
    }

    #[tokio::test]
    async fn the_other_site_gets_ready_while_the_table_goes_and_memory_waits_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let mut hands = hands(folder.path());
        let asked = || std::fs::read_to_string(folder.path().join("asked")).unwrap();
        hands.presend(TRY, "big").await.unwrap();
        assert_eq!(asked(), format!("{}\n", ahead()));
        std::fs::write(folder.path().join("whole"), "").unwrap();
        hands.table_is_there().await.unwrap();
        assert_eq!(asked(), format!("{}\nabort work --token t\n", ahead()));
        // Nothing is on its way any more.
        hands.table_is_there().await.unwrap();
    }

    #[tokio::test]
    async fn a_move_that_is_given_up_while_the_table_goes_leaves_nobody_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut hands = hands(folder.path());
        hands.presend(TRY, "big").await.unwrap();
        let works = std::fs::read_to_string(folder.path().join("works")).unwrap();
        hands.free(TRY).await.unwrap();
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked.lines().nth(1), Some(format!("abort work --name {TRY}").as_str()), "{asked}");
        let end = Instant::now() + Duration::from_secs(60);
        let alive = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z")
        };
        while alive(&works) {
            assert!(Instant::now() < end, "it goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(hands.table.is_none());
    }

    #[tokio::test]
    async fn what_bounds_the_disk_for_a_try_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let hands = hands(folder.path());
        hands.quiesce(TRY).await.unwrap();
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked, format!("quiesce work --wait 200ms --name {TRY}\n"));
    }

    /// A supervisor that dies between the two holds its agent's writes for as long as the lease.
    #[tokio::test]
    async fn the_table_goes_ahead_under_a_short_lease_and_is_given_up_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (program, asked) = (folder.path().join("wandisk"), folder.path().join("asked"));
        let script =
            format!("#!/bin/sh\nshift 3\necho \"$@\" >> {}\necho '{{\"token\": \"t\"}}'\n", asked.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let here = Here { home: folder.path().to_owned(), wandisk: Some(program.clone()) };
        let wandisk = Wandisk::find(&here.home, Some(&program)).unwrap();
        let net = Teller::new(here.clone(), &example(), "desk");
        let mut hands = Hands::new(example(), here, "desk".to_owned(), wandisk, net, unbounded_channel().0);
        // (This one says nothing on its way, as one of another version: it is waited for to its end.)
        hands.presend(TRY, "big").await.unwrap();
        let asked = std::fs::read_to_string(asked).unwrap();
        assert_eq!(asked, format!("{}\nabort work --token t\n", ahead()));
    }
}
