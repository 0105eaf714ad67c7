//! The disk at the place where this agent's QEMU looks for it: an NBD socket in the agent's folder, or a name there that leads to
//! the disk's block device.
//!
//! Invariant: what somebody else has attached is neither used nor detached. A socket is told by its path. A device has a number that
//! anybody's may have: it is the agent's where the name leads to it, which leads to [`COMES`] from before this site's attach until its
//! number is known, and goes when the disk is detached.
//!
//! Fault model: the supervisor may die between any two steps; the next one goes on from where the name leads. The process that serves
//! the disk may die: clients of NBD see it by their connection, users of a device wait until it is served again, for ever. So its end
//! is heard here ([`Event::KeeperEnded`]).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use super::hands::{DISK, Hands};
use super::shell::Input;
use super::why::{Sentence, Why};
use crate::agent::Front;
use crate::agent::command_line::names;
use crate::control::folder;

/// Where the device's name leads while the device is made.
const COMES: &str = "comes";
/// A request for a chunk that nobody gives fails after this time, and the machine stands (law M8): it is told soon, and
/// a link that is only dialled again is waited for.
const FETCH: &str = "10s";

/// Hears of a process's end, as long as that is wanted.
#[derive(Debug)]
pub(super) struct Heard {
    pid: Pid,
    wanted: Arc<AtomicBool>,
}

impl Heard {
    /// From then on: [`Event::KeeperEnded`].
    fn from(pid: Pid, inputs: UnboundedSender<Input>) -> Heard {
        let wanted = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&wanted);
        std::thread::spawn(move || {
            // One that cannot be heard has ended already.
            if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
                let mut ends = [PollFd::new(&process, PollFlags::IN)];
                rustix::io::retry_on_intr(|| poll(&mut ends, None)).ok();
            }
            if still.load(Ordering::SeqCst) {
                inputs.send(Input::Event(Event::KeeperEnded)).ok();
            }
        });
        Heard { pid, wanted }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::SeqCst);
    }
}

impl Hands {
    /// Attached where QEMU looks for it, already or now.
    pub(super) async fn attach(&mut self, disk: &Value, standby: bool) -> Result<(), Why> {
        let attached = disk["attached"] == json!(true);
        if attached && !self.is_ours(disk) {
            return Err("its disk is attached for somebody else".into());
        }
        match self.agent.front {
            Front::Nbd if attached => Ok(()),
            Front::Nbd => {
                let address =
                    format!("unix:{}", self.socket().to_str().ok_or("the folder's name is no UTF-8")?);
                self.attach_as(&["--nbd", &address], standby).await.map(drop)
            }
            Front::Ublk if attached => self.serves(disk),
            Front::Ublk => {
                lead(&self.device(), Path::new(COMES)).told()?;
                let report = self.attach_as(&["--ublk"], standby).await?;
                self.serves(&report)
            }
        }
    }

    /// Detached, if it was attached for this agent.
    pub(super) async fn let_go(&mut self, disk: &Value) -> Result<(), Why> {
        self.keeper = None;
        if disk["attached"] == json!(true) && self.is_ours(disk) {
            self.wandisk.ask(&["detach", &self.agent.disk], DISK).await.told()?;
        }
        match std::fs::remove_file(self.device()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).told(),
            _ => Ok(()),
        }
    }

    async fn attach_as(&self, front: &[&str], standby: bool) -> Result<Value, Why> {
        let standby: &[&str] = if standby { &["--standby"] } else { &[] };
        let args = [&["attach", &self.agent.disk, "--fetch-timeout", FETCH][..], front, standby].concat();
        self.wandisk.ask(&args, DISK).await.told()
    }

    /// Of a disk that is attached here: for this agent?
    fn is_ours(&self, disk: &Value) -> bool {
        match self.agent.front {
            Front::Nbd => {
                let socket = self.socket();
                socket
                    .to_str()
                    .is_some_and(|socket| disk["uri"].as_str().is_some_and(|uri| uri.contains(socket)))
            }
            Front::Ublk => {
                let leads = std::fs::read_link(self.device()).ok();
                leads
                    .zip(disk["device"].as_str())
                    .is_some_and(|(leads, device)| leads == Path::new(device) || leads == Path::new(COMES))
            }
        }
    }

    /// This device, of this process: from `wandisk attach` or `status`.
    fn serves(&mut self, disk: &Value) -> Result<(), Why> {
        let device = disk["device"].as_str().ok_or("wandisk names no device")?;
        lead(&self.device(), Path::new(device)).told()?;
        let pid = disk["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or("wandisk does not say which process serves its device")?;
        if self.keeper.as_ref().is_none_or(|heard| heard.pid != pid) {
            self.keeper = Some(Heard::from(pid, self.inputs.clone()));
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        folder(&self.here.home, &self.agent.name).join(names::DISK)
    }

    fn device(&self) -> PathBuf {
        folder(&self.here.home, &self.agent.name).join(names::DEVICE)
    }
}

/// Has a name lead there, and nowhere else.
fn lead(name: &Path, to: &Path) -> std::io::Result<()> {
    if std::fs::read_link(name).is_ok_and(|leads| leads == to) {
        return Ok(());
    }
    match std::fs::remove_file(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(to, name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::agent::Agent;
    use crate::agent::tests::example;
    use crate::control::Here;
    use crate::net::teller::Teller;
    use crate::supervisor::event::{Action, Yield};
    use crate::wandisk::Wandisk;

    /// Hands in a folder whose `wandisk` answers this, and notes what it was asked.
    fn hands(home: &Path, front: Front, answer: &Value) -> (Hands, UnboundedReceiver<Input>) {
        let program = home.join("wandisk");
        let text = format!("#!/bin/sh\nshift 3\necho \"$@\" >> {}/asked\necho '{answer}'\n", home.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let agent = Agent { front, ..example() };
        std::fs::create_dir_all(folder(home, &agent.name)).unwrap();
        let here = Here { home: home.to_owned(), wandisk: Some(program.clone()) };
        let wandisk = Wandisk::find(home, Some(&program)).unwrap();
        let net = Teller::new(here.clone(), &agent, "desk");
        let (sender, inputs) = unbounded_channel();
        (Hands::new(agent, here, "desk".to_owned(), wandisk, net, sender), inputs)
    }

    fn asked(home: &Path) -> String {
        std::fs::read_to_string(home.join("asked")).unwrap_or_default()
    }

    #[tokio::test]
    async fn what_somebody_else_has_attached_is_neither_used_nor_detached() {
        let home = tempfile::tempdir().unwrap();
        for front in [Front::Nbd, Front::Ublk] {
            let (mut hands, _inputs) = hands(home.path(), front, &json!({}));
            let disk = json!({ "attached": true, "device": "/dev/ublkb0", "uri": "nbd+unix:///?socket=/a/b", "pid": 1 });
            let error = hands.attach(&disk, false).await.unwrap_err();
            assert!(error.message.contains("somebody else"), "{error}");
            hands.let_go(&disk).await.unwrap();
            assert_eq!(asked(home.path()), "");
        }
    }

    #[tokio::test]
    async fn of_an_agent_whose_disk_was_never_here_there_is_nothing_to_let_go_of() {
        let home = tempfile::tempdir().unwrap();
        let none = json!({ "error": { "message": "no disk is called so", "hint": null, "code": "no-disk" } });
        let (mut hands, _inputs) = hands(home.path(), Front::Nbd, &none);
        assert_eq!(hands.act(&Action::Quit).await, Ok(Yield::Done));
        assert_eq!(asked(home.path()), "status work --here\n");
    }

    #[tokio::test]
    async fn a_device_is_found_by_its_name_also_by_the_next_supervisor() {
        let home = tempfile::tempdir().unwrap();
        let disk = json!({ "attached": true, "device": "/dev/ublkb3", "pid": std::process::id() });
        let (mut first, _inputs) = hands(home.path(), Front::Ublk, &disk);
        first.attach(&json!({ "attached": false }), true).await.unwrap();
        assert_eq!(asked(home.path()), "attach work --fetch-timeout 10s --ublk --standby\n");
        let name = first.device();
        assert_eq!(std::fs::read_link(&name).unwrap(), Path::new("/dev/ublkb3"));
        drop(first);
        // It died after the attach, and before it knew the number.
        lead(&name, Path::new(COMES)).unwrap();
        let (mut next, _inputs) = hands(home.path(), Front::Ublk, &disk);
        next.attach(&disk, false).await.unwrap();
        assert_eq!(std::fs::read_link(&name).unwrap(), Path::new("/dev/ublkb3"));
        next.let_go(&disk).await.unwrap();
        assert!(asked(home.path()).ends_with("\ndetach work\n") && name.read_link().is_err());
    }

    #[tokio::test]
    async fn the_end_of_the_process_that_serves_a_device_is_heard() {
        let home = tempfile::tempdir().unwrap();
        let mut keeper = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let disk = json!({ "attached": true, "device": "/dev/ublkb3", "pid": keeper.id() });
        let (mut hands, mut inputs) = hands(home.path(), Front::Ublk, &disk);
        hands.attach(&json!({ "attached": false }), false).await.unwrap();
        hands.attach(&disk, false).await.unwrap();
        assert!(inputs.try_recv().is_err());
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        assert!(matches!(inputs.recv().await, Some(Input::Event(Event::KeeperEnded))));
        assert!(inputs.try_recv().is_err(), "it was heard twice");
    }
}
