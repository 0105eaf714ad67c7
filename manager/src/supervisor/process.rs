//! The supervisor as a process ([`crate::seat`]): its beginning and its end. Who asks it is in [`super::asked`].

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::asked::listen;
use super::event::{Action, Event};
use super::hands::Hands;
use super::phase::{Machine, Phase};
use super::shell::{Input, Shell};
use crate::agent::store::Store;
use crate::control::{Here, SOCKET, folder};
use crate::net::teller::Teller;
use crate::seat::{Names, say, seated};
use crate::sites::Sites;
use crate::wandisk::Wandisk;

/// The command that is one.
pub const COMMAND: &str = "supervise";
const LOCK: &str = "supervisor.lock";
/// Of what takes longer it is said so often that it goes on.
const STILL: Duration = Duration::from_secs(30);

/// Supervises an agent until it is not here and nobody asks. Says on standard output, in one line, whether it began.
///
/// # Errors
/// What kept it from beginning, which it has said, or from going on.
pub fn supervise(here: Here, agent: &str) -> Result<()> {
    let (names, folder) = (Names { lock: LOCK, socket: SOCKET }, folder(&here.home, agent));
    seated(&folder, &names, |listener| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run(here, agent, listener))
    })
}

/// Takes the seat of an agent's supervisor, so that none begins for as long as the file is open; `None` where there is one.
///
/// # Errors
/// The file system's.
pub fn unsupervised(folder: &Path) -> std::io::Result<Option<File>> {
    crate::seat::lock(&folder.join(LOCK))
}

async fn run(here: Here, agent: &str, listener: std::os::unix::net::UnixListener) -> Result<()> {
    let prepared = prepare(&here, agent).await;
    let (shell, inputs, sender) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            say(&format!("failed {error:#}"));
            return Err(error);
        }
    };
    let listener = UnixListener::from_std(listener)?;
    tokio::spawn(listen(listener, sender));
    say("ready");
    let result = shell.run(inputs).await;
    std::fs::remove_file(SOCKET).ok();
    Ok(result?)
}

async fn prepare(
    here: &Here,
    agent: &str,
) -> Result<(Shell, UnboundedReceiver<Input>, UnboundedSender<Input>)> {
    let store = Store::open(&here.home)?;
    let kept = store.agent(agent)?;
    let machine: Machine =
        serde_json::from_str(&kept.phase).context("the agent's journal cannot be understood")?;
    let site = Sites::read(&here.home)?.name;
    let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref())?;
    let (sender, inputs) = unbounded_channel();
    let net = Teller::new(here.clone(), &kept.agent, &site);
    net.phase(&machine.phase);
    let mut hands =
        Hands::new(kept.agent.clone(), here.clone(), site.clone(), wandisk, net.clone(), sender.clone());
    let alive = hands.qemu.find_again().await;
    if matches!(machine.phase, Phase::Arriving { .. }) {
        hands.reserves_again();
    }
    let (queue, actions) = unbounded_channel();
    tokio::spawn(work(hands, actions, sender.clone()));
    sender.send(Input::Event(Event::Recovered { alive })).ok();
    Ok((Shell::new(kept.agent, site, store, machine, net, queue), inputs, sender))
}

/// One action after the other.
async fn work(mut hands: Hands, mut actions: UnboundedReceiver<Action>, inputs: UnboundedSender<Input>) {
    while let Some(action) = actions.recv().await {
        let result = {
            let acting = hands.act(&action);
            tokio::pin!(acting);
            loop {
                tokio::select! {
                    result = &mut acting => break result,
                    () = tokio::time::sleep(STILL) => drop(inputs.send(Input::Still)),
                }
            }
        };
        inputs.send(Input::Event(Event::Went { action, result })).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::agent::tests::example;
    use crate::supervisor::phase::Attempt;

    /// (The clock goes on by itself when everybody waits.)
    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_what_takes_long_hears_that_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("wandisk");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let here = Here { home: folder.path().to_owned(), wandisk: Some(program) };
        let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref()).unwrap();
        let (sender, mut inputs) = unbounded_channel();
        let net = Teller::new(here.clone(), &example(), "a");
        let hands = Hands::new(example(), here, "a".to_owned(), wandisk, net, sender.clone());
        let (queue, actions) = unbounded_channel();
        tokio::spawn(work(hands, actions, sender));
        queue.send(Action::Presend { attempt: Attempt::from_u128(1), to: "b".to_owned() }).unwrap();
        let mut said = 0;
        loop {
            match inputs.recv().await.unwrap() {
                Input::Still => said += 1,
                Input::Event(Event::Went { result, .. }) => {
                    assert!(result.is_err(), "{result:?}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(said > 1, "{said} times");
    }
}
