//! The supervisor as a process ([`crate::seat`]): its beginning and its end. Who asks it is in [`super::asked`].

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::asked::listen;
use super::event::{Action, Event};
use super::hands::Hands;
use super::phase::Machine;
use super::shell::{Input, Shell};
use crate::agent::store::Store;
use crate::control::{Here, SOCKET, folder};
use crate::net::teller::Teller;
use crate::seat::{Names, say, seated};
use crate::sites::Sites;
use crate::wandisk::Wandisk;

const LOCK: &str = "supervisor.lock";

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
    let (queue, actions) = unbounded_channel();
    tokio::spawn(work(hands, actions, sender.clone()));
    sender.send(Input::Event(Event::Recovered { alive })).ok();
    Ok((Shell::new(kept.agent, site, store, machine, net, queue), inputs, sender))
}

/// One action after the other.
async fn work(mut hands: Hands, mut actions: UnboundedReceiver<Action>, inputs: UnboundedSender<Input>) {
    while let Some(action) = actions.recv().await {
        let result = hands.act(&action).await;
        inputs.send(Input::Event(Event::Went { action, result })).ok();
    }
}
