//! The door for browsers: the proxy's own page, noVNC's modules, how it stands, and a WebSocket that makes the
//! page a viewer like any other.
//!
//! `/` the page, `/novnc/…` modules ([`shelf`]), `/state` JSON ([`answer`]), `/websockify` RFB in binary messages
//! ([`socket`]). hyper reads HTTP, tungstenite WebSockets; nothing is parsed by hand here.
//!
//! Fault model: whoever can connect is hostile, and so is every other page that the user's browser shows
//! ([`guard`]). Bounds: [`CONNECTIONS`], [`HEADERS`] before the first byte and [`VISIT`] for all requests of one
//! connection, [`HEAD`] bytes and [`LINES`] lines of headers. A viewer's seat is counted with those of the plain door.
//!
//! Invariant: no request opens a file or changes anything but by the WebSocket, which only our page may open.

pub mod answer;
pub mod guard;
pub mod reply;
pub mod shelf;
pub mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::address::{Listener, Stream};
use crate::hub::Ways;
use crate::reception::Reception;
use crate::tap::Tap;
use guard::Guard;
use shelf::Shelf;

/// Most connections that are no viewers (yet).
const CONNECTIONS: usize = 128;
/// How long the headers of a request may take, and the next request on an open connection.
const HEADERS: Duration = Duration::from_secs(10);
/// After that long a connection that is no viewer is ended after its present answer, which has the same time again.
const VISIT: Duration = Duration::from_secs(60);
/// Most bytes of a request's head.
const HEAD: usize = 16 << 10;
/// Most lines of it.
const LINES: usize = 64;

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
    let service = service_fn(move |request| {
        let (house, from) = (Arc::clone(&house), from.clone());
        async move { Ok::<_, Infallible>(answer::answer(request, from, house).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(LINES)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sleep(VISIT) => {
            connection.as_mut().graceful_shutdown();
            match timeout(VISIT, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::info!("browser at {name}: its last answer took more than {VISIT:?}"),
            }
        }
    };
    if let Err(fault) = ended {
        tracing::info!("browser at {name}: {fault}");
    }
}
