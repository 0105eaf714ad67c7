//! The supervisor as a process ([`crate::seat`]): who asks it, and its end.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::event::{Action, Event};
use super::hands::Hands;
use super::phase::Machine;
use super::shell::{Input, Shell};
use crate::agent::store::Store;
use crate::control::{Here, LINE_MAX, Request, SOCKET, failed, folder};
use crate::lines::next_line;
use crate::net::teller::Teller;
use crate::seat::{Names, say, seated};
use crate::sites::Sites;
use crate::wandisk::Wandisk;

/// Connections at a time; more wait.
const ASKING_MAX: usize = 16;
/// A connection that says nothing is dropped. Longer than memory may be copied: a source has its way to the destination's supervisor
/// open by then, before it needs it.
const FIRST_WORD: Duration = Duration::from_secs(45 * 60);
/// Who does not read what it asked for is hung up on.
const HEARS: Duration = Duration::from_secs(10);
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
            say(&format!("failed {error:#}"))?;
            return Err(error);
        }
    };
    let listener = UnixListener::from_std(listener)?;
    tokio::spawn(listen(listener, sender));
    say("ready")?;
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

async fn listen(listener: UnixListener, inputs: UnboundedSender<Input>) {
    let places = Arc::new(Semaphore::new(ASKING_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let inputs = inputs.clone();
        tokio::spawn(async move {
            serve(stream, &inputs).await.ok();
            drop(place);
        });
    }
}

/// One request, and what is said to it.
async fn serve(stream: UnixStream, inputs: &UnboundedSender<Input>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Ok(Ok(Some(line))) = timeout(FIRST_WORD, next_line(&mut stream, LINE_MAX)).await else {
        return Ok(());
    };
    let Ok(request) = serde_json::from_slice::<Request>(&line) else {
        let line = failed("the request cannot be understood", Some("use the same version at all sites"));
        return stream.get_mut().write_all(line.as_bytes()).await;
    };
    let (reply, mut lines) = unbounded_channel();
    if inputs.send(Input::Ask { request, reply }).is_err() {
        return Ok(());
    }
    let result = answer(stream.into_inner(), &mut lines).await;
    inputs.send(Input::Gone).ok();
    result
}

/// Passes lines on until there are no more, or whoever asked has gone.
async fn answer(mut stream: UnixStream, lines: &mut UnboundedReceiver<String>) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut more = [0; 1];
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                // Who does not read is not waited for: what is to be said to it piles up here.
                Some(line) => timeout(HEARS, writer.write_all(line.as_bytes())).await??,
                None => return Ok(()),
            },
            // Nothing more is to be said by it.
            _ = reader.read(&mut more) => return Ok(()),
        }
    }
}
