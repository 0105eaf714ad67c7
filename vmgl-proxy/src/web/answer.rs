//! What a request is answered.
//!
//! `/state` gives JSON: `phase` as in `ctl status`; `size` of the screen; `rtt_ms` from here to the server, if it is known;
//! `full` when no seat is free; `view_only` when viewers have no say; `updates` and `bytes` sent so far to the viewer named
//! by `?id=`. It tells neither names nor contents, and other pages cannot read it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, REFERRER_POLICY, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::House;
use super::shelf::{ADVICE, Item};
use super::socket::Socket;
use crate::hub::{Ask, Status};

/// How long the hub, and the change of protocols after our answer, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most letters and digits of a viewer's name.
const ID: usize = 32;
/// Scripts, styles and connections are ours alone; noVNC draws cursors and JPEG by way of `data:` pictures.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TEXT: &str = "text/plain; charset=utf-8";

type Answer = Response<Full<Bytes>>;

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

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    finish(status, TEXT, Bytes::from(text.into()))
}

fn finish(status: StatusCode, kind: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    *answer.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
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
    let headers = request.headers();
    let upgrades = has(headers, &CONNECTION, "upgrade") && has(headers, &UPGRADE, "websocket");
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| upgrades && key.len() == 24) else {
        return text(StatusCode::BAD_REQUEST, "This is the way for WebSockets.");
    };
    if request.method() != Method::GET || !has(headers, &SEC_WEBSOCKET_VERSION, "13") {
        let mut answer = text(StatusCode::UPGRADE_REQUIRED, "WebSockets of version 13 are served.");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return answer;
    }
    let Some(seat) = house.reception.seat() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "All seats for viewers are taken.");
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let binary = has(headers, &SEC_WEBSOCKET_PROTOCOL, "binary");
    let answered = answer.headers_mut();
    answered.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if binary {
        answered.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
    }
    match HeaderValue::try_from(accept) {
        Ok(accept) => answered.insert(SEC_WEBSOCKET_ACCEPT, accept),
        Err(fault) => return text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()),
    };
    let name = called(&from, id(&request));
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match timeout(PATIENCE, upgrade).await {
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

/// Whether a header that is a list has this word.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}
