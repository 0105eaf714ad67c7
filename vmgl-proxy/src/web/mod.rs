//! The door for browsers: the proxy's own page, noVNC's modules, how it stands, and a WebSocket that makes the
//! page a viewer like any other.
//!
//! `/` the page, `/novnc/…` modules ([`shelf`]), `/state` JSON ([`answer`]), `/websockify` RFB in binary messages
//! ([`socket`]). hyper reads HTTP, tungstenite WebSockets; nothing is parsed by hand here.
//!
//! Fault model: whoever can connect is hostile, and so is every other page that the user's browser shows
//! ([`guard`]). Bounds: [`CONNECTIONS`], and of each what [`VISITOR`] says ([`visit`]). A viewer's seat is counted with those of the plain door.
//!
//! Invariant: no request opens a file or changes anything but by the WebSocket, which only our page may open.

pub mod answer;
pub mod guard;
pub mod reply;
pub mod shelf;
pub mod socket;
pub mod visit;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::address::{Listener, Stream};
use crate::hub::Ways;
use crate::reception::Reception;
use crate::tap::Tap;
use guard::Guard;
use shelf::Shelf;

/// Most connections that are no viewers (yet).
const CONNECTIONS: usize = 128;
/// What one of them may take.
const VISITOR: visit::Limits = visit::Limits {
    headers: Duration::from_secs(10),
    visit: Duration::from_secs(60),
    head_bytes: 16 << 10,
    lines: 64,
};

/// What the door needs to answer.
#[derive(Debug)]
pub struct House {
    /// Where viewers are let in.
    pub reception: Reception,
    /// To the hub.
    pub ways: Ways,
    /// What the sensors read.
    pub tap: Tap,
    /// Who may ask.
    pub guard: Guard,
    /// What is served.
    pub shelf: Shelf,
}

/// Serves browsers; it does not end.
pub async fn serve(listener: Listener, house: House) -> Infallible {
    let (house, places) = (Arc::new(house), Arc::new(Semaphore::new(CONNECTIONS)));
    let mut tasks = JoinSet::new();
    loop {
        // The semaphore is closed nowhere.
        let place = Arc::clone(&places).acquire_owned().await;
        let (stream, from) = listener.next().await;
        let house = Arc::clone(&house);
        tasks.spawn(async move {
            visit(stream, from, house).await;
            drop(place);
        });
        while tasks.try_join_next().is_some() {}
    }
}

/// A connection, until it ends or has become a viewer's.
async fn visit(stream: Box<dyn Stream>, from: String, house: Arc<House>) {
    let name = from.clone();
    let service = move |request| {
        let (house, from) = (Arc::clone(&house), from.clone());
        async move { Ok(answer::answer(request, from, house).await) }
    };
    if let Err(fault) = visit::visit(stream, VISITOR, service, || false).await {
        tracing::info!("browser at {name}: {fault}");
    }
}
