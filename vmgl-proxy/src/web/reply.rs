//! Answers to browsers: what each is dressed in, and the one that opens a WebSocket.
//!
//! Invariant: nothing leaves without the policy: scripts, styles and connections of this door alone, in no frame, kept nowhere.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Scripts, styles and connections are ours alone; noVNC draws cursors and JPEG by way of `data:` pictures.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer that is there as a whole.
pub type Answer = Response<Full<Bytes>>;

/// A sentence.
pub fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    finish(status, TEXT, Bytes::from(text.into()))
}

/// These bytes.
#[must_use]
pub fn finish(status: StatusCode, kind: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(bytes));
    *answer.status_mut() = status;
    dress(&mut answer, kind);
    answer
}

/// Gives an answer of this media type the headers that all have.
pub fn dress<B>(answer: &mut Response<B>, kind: &'static str) {
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
}

/// The answer that opens the WebSocket a request wants.
///
/// # Errors
/// The answer to one that wants none, or cannot have it.
pub fn upgrade<B>(request: &Request<B>) -> Result<Answer, Box<Answer>> {
    let headers = request.headers();
    let upgrades = has(headers, &CONNECTION, "upgrade") && has(headers, &UPGRADE, "websocket");
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|key| upgrades && key.len() == 24) else {
        return Err(text(StatusCode::BAD_REQUEST, "This is the way for WebSockets.").into());
    };
    if request.method() != Method::GET || !has(headers, &SEC_WEBSOCKET_VERSION, "13") {
        let mut answer = text(StatusCode::UPGRADE_REQUIRED, "WebSockets of version 13 are served.");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(answer.into());
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|fault| Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string())))?;
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = answer.headers_mut();
    answered.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if has(headers, &SEC_WEBSOCKET_PROTOCOL, "binary") {
        answered.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("binary"));
    }
    answered.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(answer)
}

/// Whether a header that is a list has this word.
#[must_use]
pub fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|each| each.trim().eq_ignore_ascii_case(word))
}
