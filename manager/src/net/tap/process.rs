//! A tap's process: it begins, gives up what it can, and is asked ([`super::ask`]) until it shall end, or another has its place.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};

use super::ask::Request;
use super::flows::Flows;
use super::inside::{Leases, Namespace, Sockets};
use super::pump::{Wires, from_namespace, from_switch};
use super::talks::Talks;
use super::{confine, inside, missing};
use crate::control::{LINE_MAX, done, failed};
use crate::lines::next_line;
use crate::net::config::{FORWARDS_MAX, Forward};
use crate::net::names;

/// Who asks at a time: a switch, and one that comes after it.
const ASKING_MAX: usize = 4;
/// How often it is looked whether another has this one's place.
const LOOK: Duration = Duration::from_secs(2);

/// Is the gateway of the agent whose folder is the current one, until it shall end.
///
/// # Errors
/// What kept it from beginning, or going on.
pub(crate) fn serve() -> Result<()> {
    if let Some(why) = missing() {
        bail!(why);
    }
    let namespace = inside::begin()?;
    for name in [names::GATEWAY, names::GATEWAY_ASK] {
        std::fs::remove_file(name).ok();
    }
    let switch = UnixDatagram::bind(names::GATEWAY).context("the gateway's port")?;
    let own = std::process::id().to_string();
    std::fs::write(names::GATEWAY_PID, own).context("the gateway's number")?;
    let seat = seat().context("the gateway's number")?;
    let asked = std::os::unix::net::UnixListener::bind(names::GATEWAY_ASK);
    let asked = asked.context("cannot listen in the agent's folder")?;
    asked.set_nonblocking(true)?;
    confine::enter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(run(namespace, switch, asked, seat));
    runtime.shutdown_background();
    result
}

/// Which file says that this process is the gateway: a later one writes another.
fn seat() -> std::io::Result<(u64, u64)> {
    let found = std::fs::metadata(names::GATEWAY_PID)?;
    Ok((found.dev(), found.ino()))
}

async fn run(
    namespace: Namespace,
    switch: UnixDatagram,
    asked: std::os::unix::net::UnixListener,
    own_seat: (u64, u64),
) -> Result<()> {
    let Namespace { device, doors, sockets, leases } = namespace;
    let wires = Arc::new(Wires::new(switch, device)?);
    let (flows, talks) = (Flows::new(Arc::clone(&wires)), Talks::new(Arc::clone(&wires)));
    let mut tasks = JoinSet::new();
    tasks.spawn(from_switch(Arc::clone(&wires), Arc::clone(&flows), talks));
    tasks.spawn(from_namespace(Arc::clone(&wires)));
    for door in doors {
        tasks.spawn(Arc::clone(&flows).take(TcpListener::from_std(door)?));
    }
    let asks =
        Arc::new(Asked { wires, flows, sockets, leases, forwards: Mutex::default(), end: Notify::new() });
    tasks.spawn(listen(UnixListener::from_std(asked)?, Arc::clone(&asks)));
    let replaced = async {
        while seat().is_ok_and(|seat| seat == own_seat) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = asks.end.notified() => Ok(()),
        // The agent's folder is gone, or another gateway has begun in it.
        () = replaced => Ok(()),
        ended = tasks.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error).context("the gateway cannot go on"),
            _ => bail!("the gateway ended by itself"),
        },
    }
}

/// What it is asked about.
struct Asked {
    wires: Arc<Wires>,
    flows: Arc<Flows>,
    sockets: Sockets,
    leases: Leases,
    forwards: Mutex<HashMap<SocketAddrV4, JoinHandle<()>>>,
    end: Notify,
}

impl Asked {
    fn forwards(&self) -> MutexGuard<'_, HashMap<SocketAddrV4, JoinHandle<()>>> {
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request) -> Result<(), String> {
        match request {
            Request::Look => match self.leases.ended() {
                Some(said) => Err(format!("there, but it gives no addresses: dnsmasq has ended ({said})")),
                None => Ok(()),
            },
            Request::Names { at } => {
                self.wires.set_names(at);
                Ok(())
            }
            Request::Forward { forward } => self.forward(forward).await,
            Request::Unforward { forward } => {
                if let Some(listens) = self.forwards().remove(&forward.host) {
                    listens.abort();
                }
                Ok(())
            }
            Request::End => {
                self.end.notify_one();
                Ok(())
            }
        }
    }

    async fn forward(&self, Forward { host, guest_port }: Forward) -> Result<(), String> {
        let full = self.forwards().len() >= FORWARDS_MAX;
        if full {
            return Err(format!("a gateway has at most {FORWARDS_MAX} forwards"));
        }
        let listener = TcpListener::bind(host).await;
        let listener = listener.map_err(|error| format!("nobody can listen at {host}: {error}"))?;
        let listens = Arc::clone(&self.flows).forward(listener, guest_port, self.sockets.clone());
        self.forwards().insert(host, tokio::spawn(listens));
        Ok(())
    }
}

async fn listen(listener: UnixListener, asked: Arc<Asked>) -> std::io::Result<()> {
    let places = Arc::new(Semaphore::new(ASKING_MAX));
    loop {
        let (stream, _) = listener.accept().await?;
        // The ones before it may have died and not be known to have.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            hear(stream, &asked).await.ok();
            drop(place);
        });
    }
}

async fn hear(stream: UnixStream, asked: &Asked) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(line) = next_line(&mut stream, LINE_MAX).await? {
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => match asked.answer(request).await {
                Ok(()) => done(&Value::Null),
                Err(why) => failed(&why, None),
            },
            Err(_) => failed("this cannot be asked here", None),
        };
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
