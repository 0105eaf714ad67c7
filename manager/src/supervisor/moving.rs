//! The hands of a move, at the site that the agent leaves: the disk's hand-over in steps, and back again. Memory
//! on its way is in [`super::copying`].
//!
//! Fault model: as in [`super::hands`]; what is under way when a move ends is dropped by it ([`Hands::drop_copying`]).

use std::time::Duration;

use serde_json::{Value, json};

use super::event::Yield;
use super::hands::{DISK, Hands, Sentence, Why};
use super::phase::Attempt;
use crate::agent::Front;
use crate::control::{AskError, Request, ask};
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
    /// the agent stands, has little to send.
    pub(super) async fn presend(&mut self, to: &str) -> Result<(), Why> {
        self.opens_way(to);
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
        let error = match self.wandisk.ask_hearing(&args, DISK, released).await {
            Ok(_) => return Ok(Yield::Done),
            Err(error) => with_causes(&error),
        };
        // What is resident and in no attempt was not given away, and this token is worth nothing any more.
        let disk = self.disk().await?;
        let free = disk["residency"] == json!("resident") && disk["attempt"].is_null();
        if free { Ok(Yield::StillHere) } else { Err(error) }
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
                self.far(to, Some(&document), &request, GOES).await.told()?
            }
            answered => answered.told()?,
        };
        self.account().await;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::agent::tests::example;
    use crate::control::Here;
    use crate::net::teller::Teller;
    use crate::wandisk::Wandisk;

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
        hands.presend("big").await.unwrap();
        let asked = std::fs::read_to_string(asked).unwrap();
        assert_eq!(asked, "prepare work --to big --lease 10s\nabort work --token t\n");
    }
}
