//! Connections of browsers: how many, how long, and how slow they may be.
//!
//! Fault model: whoever can connect is hostile. Who has not said the word has one of [`VISITORS`] places, and takes no more than
//! [`VISITOR`] says ([`visit`]). A page's events and screens, which stay, have places of their own, so that visitors who say
//! nothing cannot keep pages out for longer than their time. Who does not take what is sent is hung up on by the system after
//! [`TAKES`]; what waits for one is a piece of [`super::hub`]'s stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use vmgl_proxy::web::visit;

use super::answer::{House, answer};

/// Connections at a time that are no page's events or screen (yet).
const VISITORS: usize = 128;
/// What one of them may take; what stays has all the time that it wants.
const VISITOR: visit::Limits = visit::Limits {
    headers: Duration::from_secs(5),
    visit: Duration::from_secs(60),
    head_bytes: 16 << 10,
    lines: 64,
};
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

/// A connection, until it ends. (A browser that has gone is nothing to tell.)
async fn visit(stream: TcpStream, place: Place, house: Arc<House>) {
    let at = Arc::clone(&place);
    let service = move |request| {
        let (house, at) = (Arc::clone(&house), Arc::clone(&at));
        async move { Ok(answer(request, at, house).await) }
    };
    visit::visit(stream, VISITOR, service, || stays(&place)).await.ok();
}
