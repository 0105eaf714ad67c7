//! Connections: those that the agent opens, those that come by forwards, and how their two halves are joined.
//!
//! The agent's first packet is held until the outer half is open, and only then given to the namespace, whose TCP takes the
//! connection in; who is refused outside is refused inside, and who does not answer is not answered for. The agent repeats its first
//! packet meanwhile, as it would anyway.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::inside::Sockets;
use super::packets;
use super::pump::Wires;
use crate::net::AGENT_IP;

/// Connections at a time, those that are being opened included.
const FLOWS_MAX: usize = 1024;
/// What is on its way in a connection here, each way; the kernel has more.
const BUFFER: usize = 32 << 10;
/// How long the other end may take to answer. (The agent asks for longer, and then it is asked anew.)
const CONNECT: Duration = Duration::from_secs(20);
/// How long the agent may take to go on when its connection was taken.
const ACCEPT: Duration = Duration::from_secs(30);
/// Until a listener that found no room tries again.
const AGAIN: Duration = Duration::from_millis(100);

/// Both ends, as the agent sees them.
type Ends = (SocketAddr, SocketAddr);

/// One that the agent has opened.
#[derive(Debug)]
enum Flow {
    Opening,
    /// Its outer half is there.
    Open(u64, TcpStream, OwnedSemaphorePermit),
    /// Its inner half, too. (A first packet that was sent twice may come late: it opens nothing.)
    Joined,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Flows {
    wires: Arc<Wires>,
    /// Those that the agent has opened, and how many there were.
    opened: Mutex<(HashMap<Ends, Flow>, u64)>,
    places: Arc<Semaphore>,
}

impl Flows {
    pub(super) fn new(wires: Arc<Wires>) -> Arc<Flows> {
        let places = Arc::new(Semaphore::new(FLOWS_MAX));
        Arc::new(Flows { wires, opened: Mutex::default(), places })
    }

    fn opened(&self) -> MutexGuard<'_, (HashMap<Ends, Flow>, u64)> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent opens a connection, or says so again.
    pub(super) fn opens(self: &Arc<Self>, from: SocketAddr, to: SocketAddr, frame: &mut [u8]) {
        let ends = (from, to);
        match self.opened().0.get(&ends) {
            Some(Flow::Opening) => return,
            Some(Flow::Open(..) | Flow::Joined) => return self.wires.to_namespace(frame),
            None => {}
        }
        let Some(outer) = self.wires.reached(to) else { return self.refuse(frame) };
        // Without a place it is as if the packet had been lost.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        self.opened().0.insert(ends, Flow::Opening);
        let (flows, mut frame) = (Arc::clone(self), frame.to_vec());
        tokio::spawn(async move {
            match timeout(CONNECT, TcpStream::connect(outer)).await {
                Ok(Ok(stream)) => {
                    let id = flows.open(ends, stream, place);
                    flows.wires.to_namespace(&mut frame);
                    sleep(ACCEPT).await;
                    flows.forget(ends, id);
                }
                failed => {
                    flows.opened().0.remove(&ends);
                    if failed
                        .is_ok_and(|tried| tried.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused))
                    {
                        flows.refuse(&frame);
                    }
                }
            }
        });
    }

    fn open(&self, ends: Ends, stream: TcpStream, place: OwnedSemaphorePermit) -> u64 {
        let mut opened = self.opened();
        opened.1 += 1;
        let id = opened.1;
        opened.0.insert(ends, Flow::Open(id, stream, place));
        id
    }

    /// The agent never went on with it.
    fn forget(&self, ends: Ends, id: u64) {
        let mut opened = self.opened();
        if matches!(opened.0.get(&ends), Some(Flow::Open(other, ..)) if *other == id) {
            opened.0.remove(&ends);
        }
    }

    fn refuse(&self, frame: &[u8]) {
        let Some(said) = packets::refusal(frame) else { return };
        let wires = Arc::clone(&self.wires);
        tokio::spawn(async move { wires.to_agent(&said).await });
    }

    /// Takes the agent's connections, for ever.
    pub(super) async fn take(self: Arc<Self>, door: TcpListener) -> io::Result<()> {
        loop {
            let Ok((inner, from)) = door.accept().await else {
                sleep(AGAIN).await;
                continue;
            };
            let meant: io::Result<SocketAddr> = match from {
                SocketAddr::V4(_) => sockopt::ip_original_dst(&inner).map(Into::into).map_err(Into::into),
                SocketAddr::V6(_) => sockopt::ipv6_original_dst(&inner).map(Into::into).map_err(Into::into),
            };
            // In packets no address has a scope; in sockets those of one cable do.
            let plain = |end: SocketAddr| SocketAddr::new(end.ip(), end.port());
            match meant.ok().and_then(|to| self.joins((plain(from), plain(to)))) {
                Some((ends, outer, place)) => {
                    let flows = Arc::clone(&self);
                    tokio::spawn(async move {
                        join(inner, outer, place).await;
                        flows.opened().0.remove(&ends);
                    });
                }
                // One that was given up meanwhile.
                None => reset(&inner),
            }
        }
    }

    /// Its inner half is there: gives the outer one.
    fn joins(&self, ends: Ends) -> Option<(Ends, TcpStream, OwnedSemaphorePermit)> {
        match self.opened().0.get_mut(&ends).map(|flow| std::mem::replace(flow, Flow::Joined)) {
            Some(Flow::Open(_, outer, place)) => Some((ends, outer, place)),
            // The kernel took one that was not given to it by `opens`.
            Some(Flow::Opening | Flow::Joined) | None => None,
        }
    }

    /// Lets connections to this listener into the agent, for ever.
    pub(super) async fn forward(self: Arc<Self>, listener: TcpListener, port: u16, sockets: Sockets) {
        loop {
            let Ok((outer, _)) = listener.accept().await else {
                sleep(AGAIN).await;
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                reset(&outer);
                continue;
            };
            let sockets = sockets.clone();
            tokio::spawn(async move {
                let Ok(socket) = sockets.one().await else { return reset(&outer) };
                match timeout(CONNECT, socket.connect((AGENT_IP, port).into())).await {
                    Ok(Ok(inner)) => join(inner, outer, place).await,
                    Ok(Err(_)) | Err(_) => reset(&outer),
                }
            });
        }
    }
}

/// Carries bytes until both have ended, or one is broken: then so is the other.
async fn join(mut inner: TcpStream, mut outer: TcpStream, place: OwnedSemaphorePermit) {
    for half in [&inner, &outer] {
        half.set_nodelay(true).ok();
        // Each end would notice by itself that the other is gone, were they one connection.
        sockopt::set_socket_keepalive(half.as_fd(), true).ok();
    }
    if copy_bidirectional_with_sizes(&mut inner, &mut outer, BUFFER, BUFFER).await.is_err() {
        reset(&inner);
        reset(&outer);
    }
    drop(place);
}

/// It breaks when it is let go of, instead of ending.
fn reset(stream: &TcpStream) {
    sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).ok();
}
