//! What a request is answered.
//!
//! `/state` gives JSON: `phase` as in `ctl status`; `size` of the screen; `rtt_ms` from here to the server, if it is known;
//! `full` when no seat is free; `view_only` when viewers have no say; `updates` and `bytes` sent so far to the viewer named
//! by `?id=`. It tells neither names nor contents, and other pages cannot read it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::House;
use super::reply::{Answer, finish, text, upgrade};
use super::shelf::{ADVICE, Item};
use super::socket::Socket;
use crate::hub::{Ask, Status};

/// How long the hub, and the change of protocols after our answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most letters and digits of a viewer's name.
const ID: usize = 32;

/// Answers a request; one for the WebSocket becomes a viewer in a task of its own.
pub async fn answer(request: Request<Incoming>, from: String, house: Arc<House>) -> Answer {
    if let Err(why) = house.guard.host(request.headers()) {
        return text(StatusCode::FORBIDDEN, why.to_string());
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are all there is.");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/websockify" => socket(request, from, house),
        "/state" => state(id(&request), &house).await,
        path => match house.shelf.get(path) {
            Some(item) => file(item.clone()),
            None if path.starts_with("/novnc/") && !house.shelf.is_whole() => {
                text(StatusCode::NOT_FOUND, ADVICE)
            }
            None => text(StatusCode::NOT_FOUND, "There is nothing here."),
        },
    }
}

fn file(item: Item) -> Answer {
    finish(StatusCode::OK, item.kind, item.bytes)
}

/// The page's name for its viewer: `id=NAME` in the query.
fn id(request: &Request<Incoming>) -> Option<&str> {
    let id =
        request.uri().query().unwrap_or_default().split('&').find_map(|word| word.strip_prefix("id="))?;
    let good = (1..=ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then_some(id)
}

/// How a browser's viewer is called in `ctl viewers`.
fn called(from: &str, id: Option<&str>) -> String {
    id.map_or_else(|| format!("{from} (browser)"), |id| format!("{from} (browser {id})"))
}

async fn state(id: Option<&str>, house: &House) -> Answer {
    let Some((status, rtt)) = standing(house).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "The proxy is busy.");
    };
    let (size, sent) = {
        let shown = house.reception.display().lock();
        let ours = id.map(|id| format!("(browser {id})"));
        let ours = ours.and_then(|end| shown.viewers.values().find(|viewer| viewer.from.ends_with(&end)));
        let sent = ours.map(|viewer| (viewer.updates, viewer.bytes));
        ((shown.picture.width(), shown.picture.height()), sent)
    };
    let state = json!({
        "phase": status.phase,
        "size": [size.0, size.1],
        "rtt_ms": rtt,
        "full": house.reception.is_full(),
        "view_only": house.reception.view_only(),
        "updates": sent.map(|sent| sent.0),
        "bytes": sent.map(|sent| sent.1),
    });
    finish(StatusCode::OK, "application/json", Bytes::from(state.to_string()))
}

async fn standing(house: &House) -> Option<(Status, Option<f64>)> {
    let (place, answer) = oneshot::channel();
    let asked = async {
        house.ways.ask.send((Ask::Status, place)).await.ok()?;
        answer.await.ok()?.ok()
    };
    let status = timeout(PATIENCE, asked).await.ok()??;
    Some((status, house.tap.readings().rtt))
}

/// Opens the WebSocket, if it is ours to open.
fn socket(mut request: Request<Incoming>, from: String, house: Arc<House>) -> Answer {
    if let Err(why) = house.guard.socket(request.headers()) {
        tracing::warn!("browser at {from}: {why}");
        return text(StatusCode::FORBIDDEN, why.to_string());
    }
    let answer = match upgrade(&request) {
        Ok(answer) => answer,
        Err(refusal) => return *refusal,
    };
    let Some(seat) = house.reception.seat() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "All seats for viewers are taken.");
    };
    let name = called(&from, id(&request));
    let opened = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match timeout(PATIENCE, opened).await {
            Ok(Ok(stream)) => {
                let stream = Socket::new(TokioIo::new(stream)).await;
                house.reception.serve(seat, Box::new(stream), name).await;
            }
            Ok(Err(fault)) => tracing::info!("browser at {from}: {fault}"),
            Err(_) => tracing::info!("browser at {from}: no WebSocket came"),
        }
    });
    answer
}
