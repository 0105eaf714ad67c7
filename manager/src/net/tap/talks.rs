//! Datagrams: each pair of ends that the agent uses has a socket at the host for a while.
//!
//! Invariant: pairs, and what waits in each, are bounded; one without room is as a datagram that was lost.
//!
//! Answers that do not fit into one packet of the agent's are dropped: they are not cut in pieces, and pieces are not put together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::outside::DNS;
use super::packets;
use super::pump::Wires;
use crate::net::frame::Mac;

/// Pairs at a time.
const TALKS_MAX: usize = 1024;
/// Datagrams of the agent's that wait in one.
const WAITING_MAX: usize = 32;
/// How long one that is silent is kept; a question for a name has one answer.
const SILENT: Duration = Duration::from_secs(120);
const SILENT_DNS: Duration = Duration::from_secs(15);

/// Both ends, as the agent sees them.
type Ends = (SocketAddr, SocketAddr);

/// All of them.
#[derive(Debug)]
pub(super) struct Talks {
    wires: Arc<Wires>,
    known: Mutex<HashMap<Ends, Sender<Vec<u8>>>>,
}

impl Talks {
    pub(super) fn new(wires: Arc<Wires>) -> Arc<Talks> {
        Arc::new(Talks { wires, known: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Ends, Sender<Vec<u8>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent sends a datagram.
    pub(super) fn send(self: &Arc<Self>, agent: Mac, ends: Ends, content: &[u8]) {
        let mut known = self.known();
        if let Some(talk) = known.get(&ends) {
            talk.try_send(content.to_vec()).ok();
            return;
        }
        let Some(outer) = self.wires.reached(ends.1).filter(|_| known.len() < TALKS_MAX) else { return };
        let (sender, sent) = channel(WAITING_MAX);
        sender.try_send(content.to_vec()).ok();
        known.insert(ends, sender);
        let talks = Arc::clone(self);
        tokio::spawn(async move {
            // Without a socket what was sent is lost.
            talks.carry(agent, ends, outer, sent).await.ok();
            talks.known().remove(&ends);
        });
    }

    /// Until nothing was said for a while.
    async fn carry(
        &self,
        agent: Mac,
        (from, to): Ends,
        outer: SocketAddr,
        mut sent: Receiver<Vec<u8>>,
    ) -> std::io::Result<()> {
        let any: IpAddr =
            if outer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(outer).await?;
        let silent = if to.port() == DNS { SILENT_DNS } else { SILENT };
        // One more than fits, so that what was cut shows.
        let mut buffer = [0; packets::MTU + 1];
        loop {
            let said = async {
                tokio::select! {
                    content = sent.recv() => content.map(Err),
                    // A port that nobody has is told as an error of the socket's, which goes on.
                    len = socket.recv(&mut buffer) => Some(Ok(len.ok())),
                }
            };
            match timeout(silent, said).await {
                Ok(Some(Err(content))) => drop(socket.send(&content).await),
                Ok(Some(Ok(len))) => {
                    let content = len.and_then(|len| buffer.get(..len));
                    if let Some(frame) =
                        content.and_then(|content| packets::datagram(agent, to, from, content))
                    {
                        self.wires.to_agent(&frame).await;
                    }
                }
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
}
