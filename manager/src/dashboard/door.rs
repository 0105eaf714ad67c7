//! Connections of browsers: how many, how long, and how slow they may be.
//!
//! Fault model: whoever can connect is hostile. Who has not said the word has one of [`VISITORS`] places, [`HEADERS`] for each
//! request, and [`VISIT`] in all. A page's events and screens, which stay, have places of their own, so that visitors who say
//! nothing cannot keep pages out for longer than their time. Who does not take what is sent is hung up on by the system after
//! [`TAKES`]; what waits for one is a piece of [`super::hub`]'s stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::answer::{House, answer};

/// Connections at a time that are no page's events or screen (yet).
const VISITORS: usize = 128;
/// How long the headers of a request may take, and the next request on an open connection.
const HEADERS: Duration = Duration::from_secs(5);
/// After that long a connection ends with its present answer, if that is none that stays.
const VISIT: Duration = Duration::from_secs(60);
/// Most bytes of a request's head, and lines of it.
const HEAD: usize = 16 << 10;
const LINES: usize = 64;
/// How long what was sent may be on its way.
const TAKES: Duration = Duration::from_secs(30);
/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A visitor's place, which is given back when it becomes something that stays.
pub type Place = Arc<std::sync::Mutex<Option<OwnedSemaphorePermit>>>;

/// Gives a visitor's place back.
pub fn leave(place: &Place) {
    drop(place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
}

fn stays(place: &Place) -> bool {
    place.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_none()
}

/// Lets browsers in; it does not end.
pub async fn serve(listener: TcpListener, house: Arc<House>) -> Infallible {
    let places = Arc::new(Semaphore::new(VISITORS));
    let mut tasks = JoinSet::new();
    loop {
        // It is closed nowhere.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let takes = u32::try_from(TAKES.as_millis()).unwrap_or(u32::MAX);
        set_tcp_user_timeout(&stream, takes).ok();
        stream.set_nodelay(true).ok();
        let (house, place) = (Arc::clone(&house), Arc::new(std::sync::Mutex::new(place)));
        tasks.spawn(visit(stream, place, house));
        while tasks.try_join_next().is_some() {}
    }
}

/// A connection, until it ends.
async fn visit(stream: TcpStream, place: Place, house: Arc<House>) {
    let at = Arc::clone(&place);
    let service = service_fn(move |request| {
        let (house, at) = (Arc::clone(&house), Arc::clone(&at));
        async move { Ok::<_, Infallible>(answer(request, at, house).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(LINES)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A browser that has gone is nothing to tell.
        _ = connection.as_mut() => return,
        () = tokio::time::sleep(VISIT) => connection.as_mut().graceful_shutdown(),
    }
    if stays(&place) {
        connection.await.ok();
    } else {
        tokio::time::timeout(VISIT, connection).await.ok();
    }
}
