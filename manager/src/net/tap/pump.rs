//! Frames between the switch and the namespace.
//!
//! Invariant: whoever sends frames of the namespace's waits for the switch, so that the kernel's TCP there is held back before
//! anything is lost; what comes from the agent waits for nobody.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixDatagram;
use tun_rs::SyncDevice;

use super::flows::Flows;
use super::outside::reached;
use super::packets::{self, Sent};
use super::talks::Talks;
use crate::net::frame::{FRAME_MAX, Mac};
use crate::net::names;

/// Both ends, and what is known of the host's side.
#[derive(Debug)]
pub(super) struct Wires {
    switch: UnixDatagram,
    device: AsyncFd<Device>,
    names: Mutex<Option<IpAddr>>,
}

/// A tap, which has no words for people.
struct Device(SyncDevice);

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a tap")
    }
}

impl std::os::fd::AsRawFd for Device {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Wires {
    pub(super) fn new(switch: std::os::unix::net::UnixDatagram, device: SyncDevice) -> io::Result<Wires> {
        switch.set_nonblocking(true)?;
        let switch = UnixDatagram::from_std(switch)?;
        #[expect(
            deprecated,
            reason = "its danger is a descriptor that changes; a tap's is its own while it lives"
        )]
        let device = AsyncFd::with_interest(Device(device), Interest::READABLE)?;
        Ok(Wires { switch, device, names: Mutex::new(None) })
    }

    /// The host asks this name server.
    pub(super) fn set_names(&self, at: Option<IpAddr>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Where a destination of the agent's is for the host.
    pub(super) fn reached(&self, to: SocketAddr) -> Option<SocketAddr> {
        reached(to, *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// To the agent, by way of the switch. Where none is, the frame is lost, as on a wire that is not plugged in.
    pub(super) async fn to_agent(&self, frame: &[u8]) {
        self.switch.send_to(frame, names::GATEWAY_PORT).await.ok();
    }

    /// To the kernel in the namespace; what that has no room for is lost.
    pub(super) fn to_namespace(&self, frame: &mut [u8]) {
        packets::for_tap(frame);
        self.device.get_ref().0.send(frame).ok();
    }
}

/// What the agent sends, for ever.
pub(super) async fn from_switch(wires: Arc<Wires>, flows: Arc<Flows>, talks: Arc<Talks>) -> io::Result<()> {
    // One more than the longest, so that a longer one shows.
    let mut buffer = [0; FRAME_MAX + 1];
    loop {
        let len = wires.switch.recv(&mut buffer).await?;
        let frame = &mut buffer[..len];
        match packets::read(frame) {
            None => {}
            Some(Sent::Other) => wires.to_namespace(frame),
            Some(Sent::Opens { from, to }) => flows.opens(from, to, frame),
            Some(Sent::Datagram { from, to, content }) => {
                let agent = frame.get(6..12).and_then(|mac| mac.try_into().ok()).map_or(Mac::BROADCAST, Mac);
                talks.send(agent, (from, to), &frame[content]);
            }
        }
    }
}

/// What the namespace sends, for ever.
pub(super) async fn from_namespace(wires: Arc<Wires>) -> io::Result<()> {
    let mut buffer = [0; FRAME_MAX + 1];
    loop {
        let mut ready = wires.device.readable().await?;
        match ready.try_io(|device| device.get_ref().0.recv(&mut buffer)) {
            Ok(Ok(len)) => {
                let frame = &mut buffer[..len];
                packets::for_agent(frame);
                wires.to_agent(frame).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_would_wait) => {}
        }
    }
}
