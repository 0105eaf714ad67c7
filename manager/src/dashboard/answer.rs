//! What a request is answered.
//!
//! `/`, `/js/…`, `/novnc/…` files, which hold nothing that is secret; with the word ([`super::key`]) `/live` the document and its
//! changes as server-sent events, `/map?agent=` the map of a disk, `/log?agent=&before=` older lines of a log, `POST /do` a wish
//! ([`super::doings`]), and `/screen?agent=` the agent's display in a WebSocket.
//!
//! Invariant: without the word nothing is told of any agent and nothing done; a page of another origin is refused either way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use vmgl_proxy::web::guard::Guard;
use vmgl_proxy::web::reply::{self, dress, finish, upgrade};
use vmgl_proxy::web::shelf::ADVICE;
use vmgl_proxy::web::socket::Socket;

use super::doings::{Doings, Wish};
use super::door::{Place, leave};
use super::hub::Hub;
use super::key::Key;
use super::known::line_told;
use super::maps::Maps;
use super::shelf::Shelf;
use crate::agent::is_name;
use crate::agent::store::{Store, StoreError};
use crate::control::Here;
use crate::display;
use crate::words::with_causes;

/// Pages that hear events, and screens that are shown, at a time.
const PAGES: usize = 32;
const SCREENS: usize = 16;
/// A wish is some words.
const WISH: usize = 4 << 10;
/// How long its words, the change of protocols, and the way to a screen may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of a log that are given at once.
const OLDER: u32 = 500;
const JSON: &str = "application/json";

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// All that is needed to answer.
#[derive(Debug)]
pub struct House {
    /// This site.
    pub here: Here,
    /// What is seen.
    pub hub: Arc<Hub>,
    /// What is asked for.
    pub doings: Doings,
    /// Maps of disks.
    pub maps: Maps,
    /// The word.
    pub key: Key,
    /// For whom requests are.
    pub guard: Guard,
    /// Files.
    pub shelf: Shelf,
    /// Places of pages.
    pub pages: Arc<Semaphore>,
    /// Places of screens.
    pub screens: Arc<Semaphore>,
}

impl House {
    /// With places for pages and screens.
    #[must_use]
    pub fn new(here: Here, hub: Arc<Hub>, key: Key, guard: Guard, shelf: Shelf) -> House {
        House {
            doings: Doings::new(here.clone(), Arc::clone(&hub)),
            here,
            hub,
            maps: Maps::default(),
            key,
            guard,
            shelf,
            pages: Arc::new(Semaphore::new(PAGES)),
            screens: Arc::new(Semaphore::new(SCREENS)),
        }
    }
}

/// Answers a request.
pub async fn answer(request: Request<Incoming>, place: Place, house: Arc<House>) -> Answer {
    if let Err(why) = house.guard.host(request.headers()) {
        return text(StatusCode::FORBIDDEN, why.to_string());
    }
    let path = request.uri().path();
    let allowed = if path == "/do" { Method::POST } else { Method::GET };
    if *request.method() != allowed {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{allowed} is all there is here."));
        if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
            answer.headers_mut().insert(ALLOW, allowed);
        }
        return answer;
    }
    if let Some(item) = house.shelf.get(path) {
        return whole(finish(StatusCode::OK, item.kind, item.bytes));
    }
    if path.starts_with("/novnc/") && house.shelf.advice().is_some() {
        return text(StatusCode::NOT_FOUND, ADVICE);
    }
    if !["/live", "/map", "/log", "/do", "/screen"].contains(&path) {
        return text(StatusCode::NOT_FOUND, "There is nothing here.");
    }
    if let Err(why) = house.guard.socket(request.headers()) {
        return text(StatusCode::FORBIDDEN, why.to_string());
    }
    if !house.key.is_said(request.headers()) {
        return text(StatusCode::UNAUTHORIZED, "Open the address that `snowbird dashboard` printed.");
    }
    match path {
        "/live" => live(&place, &house),
        "/do" => wish(request, &house).await,
        _ => match agent(&request).map(str::to_owned) {
            None => text(StatusCode::BAD_REQUEST, "Which agent?"),
            Some(agent) if path == "/map" => json_of(house.maps.of(&house.here, &agent).await),
            Some(agent) if path == "/log" => json_of(log(&house.here, &agent, before(&request))),
            Some(agent) => screen(request, &place, &agent, house).await,
        },
    }
}

fn whole(answer: reply::Answer) -> Answer {
    answer.map(Full::boxed_unsync)
}

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    whole(reply::text(status, text))
}

fn json_of(answer: Result<Value, String>) -> Answer {
    match answer {
        Ok(value) => whole(finish(StatusCode::OK, JSON, Bytes::from(value.to_string()))),
        Err(why) => text(StatusCode::CONFLICT, why),
    }
}

/// A value of the query, which no name of ours needs to have quoted.
fn of_query<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let words = request.uri().query().unwrap_or_default().split('&');
    words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn agent<B>(request: &Request<B>) -> Option<&str> {
    of_query(request, "agent").filter(|name| is_name(name))
}

fn before<B>(request: &Request<B>) -> i64 {
    of_query(request, "before").and_then(|id| id.parse().ok()).unwrap_or(i64::MAX)
}

/// The document and its changes, for as long as the page takes them.
fn live(place: &Place, house: &House) -> Answer {
    let Ok(page) = Arc::clone(&house.pages).try_acquire_owned() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "As many pages are open as there may be.");
    };
    leave(place);
    let body = StreamBody::new(Arc::clone(&house.hub).events(page));
    let mut answer = Response::new(body.boxed_unsync());
    dress(&mut answer, "text/event-stream");
    answer
}

/// Older lines of a log.
fn log(here: &Here, agent: &str, before: i64) -> Result<Value, String> {
    let read = || -> Result<Value, StoreError> {
        let store = Store::open(&here.home)?;
        let lines = store.log_between(store.agent(agent)?.agent.uuid, i64::MIN, before, OLDER)?;
        let lines: Vec<Value> = lines.iter().map(|line| json!([line.id, line_told(line)])).collect();
        Ok(json!({ "lines": lines, "more": lines.len() == OLDER as usize }))
    };
    read().map_err(|error| with_causes(&error))
}

async fn wish(request: Request<Incoming>, house: &House) -> Answer {
    // Which no form of another page can send.
    if request.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != JSON) {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A wish is JSON.");
    }
    let body = timeout(PATIENCE, Limited::new(request.into_body(), WISH).collect()).await;
    let Ok(Ok(body)) = body else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, format!("A wish has at most {WISH} bytes."));
    };
    let wish = match serde_json::from_slice::<Wish>(&body.to_bytes()) {
        Ok(wish) if is_name(wish.agent()) => wish,
        Ok(_) => return text(StatusCode::BAD_REQUEST, "Which agent?"),
        Err(fault) => return text(StatusCode::BAD_REQUEST, format!("That is no wish: {fault}.")),
    };
    match house.doings.begin(wish) {
        Some(id) => json_of(Ok(json!({ "id": id }))),
        None => text(StatusCode::SERVICE_UNAVAILABLE, "Too much is under way."),
    }
}

/// The agent's display: of the same proxy as other viewers', which follows it where it goes.
async fn screen(mut request: Request<Incoming>, place: &Place, agent: &str, house: Arc<House>) -> Answer {
    let answer = match upgrade(&request) {
        Ok(answer) => answer,
        Err(refusal) => return whole(*refusal),
    };
    let Ok(seat) = Arc::clone(&house.screens).try_acquire_owned() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "As many screens are shown as there may be.");
    };
    let proxy = match timeout(PATIENCE, open(&house.here, agent)).await {
        Ok(Ok(proxy)) => proxy,
        Ok(Err(why)) => return text(StatusCode::CONFLICT, why),
        Err(_) => return text(StatusCode::GATEWAY_TIMEOUT, "The agent's display does not answer."),
    };
    leave(place);
    let opened = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(Ok(stream)) = timeout(PATIENCE, opened).await {
            let (mut socket, mut proxy) = (Socket::new(TokioIo::new(stream)).await, proxy);
            // Either end may go whenever it likes.
            tokio::io::copy_bidirectional(&mut socket, &mut proxy).await.ok();
        }
        drop(seat);
    });
    whole(answer)
}

async fn open(here: &Here, agent: &str) -> Result<TcpStream, String> {
    let known = Store::open(&here.home).and_then(|store| store.agent(agent));
    known.map_err(|error| with_causes(&error))?;
    let address = display::open(here, agent).await.map_err(|error| with_causes(&error))?;
    let stream = TcpStream::connect(&address).await.map_err(|error| with_causes(&error))?;
    stream.set_nodelay(true).ok();
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_a_query_is_a_name() {
        let of = |query: &str| {
            let request = Request::builder().uri(format!("/map?{query}")).body(()).unwrap();
            (agent(&request).map(str::to_owned), before(&request))
        };
        assert_eq!(of("agent=vm.1&before=17"), (Some("vm.1".to_owned()), 17));
        for odd in ["", "agent=", "agent=../x", "agent=%2e", "agents=vm", "agent=a%20b&before=x"] {
            assert_eq!(of(odd), (None, i64::MAX), "{odd}");
        }
    }
}
