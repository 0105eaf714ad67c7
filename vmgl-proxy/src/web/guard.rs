//! Which requests come from the proxy's own page: pure.
//!
//! A browser carries requests of any page to any address it can reach, the user's own loopback included. Two
//! things tell ours from others':
//! - **`Host`**: a page of another site whose name was made to lead here ("DNS rebinding") names that site.
//!   Let in are addresses, which no name can stand for, `localhost`, and the names the user gave.
//! - **`Origin`**, which a browser sends with every WebSocket: it has to be the page that `Host` gives.
//!   Who sends none is no browser, and could as well have used the plain door.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use thiserror::Error;

/// Why a request is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// No `Host`, several, or one that cannot be read.
    #[error("a request says once which host it is for")]
    NoHost,
    /// A name that is not ours.
    #[error("{0:?} is no name of this proxy: use its address, or start it with --ws-name")]
    Host(String),
    /// Another page.
    #[error("a page of another origin may not look at this display")]
    Origin,
}

/// The names of the proxy.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    names: Vec<String>,
}

impl Guard {
    /// A guard that knows these names beside `localhost` and addresses.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request may have an answer; the host it names.
    ///
    /// # Errors
    /// When it is for somebody else.
    pub fn host<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refused> {
        let text = once(headers, &HOST).ok_or(Refused::NoHost)?;
        let authority: Authority = text.parse().map_err(|_| Refused::NoHost)?;
        let host = authority.host().to_ascii_lowercase();
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let known = inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
            || host == "localhost"
            || self.names.contains(&host);
        if text.contains('@') {
            return Err(Refused::NoHost);
        }
        if known { Ok(text) } else { Err(Refused::Host(host)) }
    }

    /// Whether a WebSocket may be opened.
    ///
    /// # Errors
    /// When it is for somebody else, or from another page.
    pub fn socket(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let host = self.host(headers)?;
        if !headers.contains_key(ORIGIN) {
            return Ok(());
        }
        let origin = once(headers, &ORIGIN).ok_or(Refused::Origin)?;
        // Where something else brings TLS to us its page is https, and the host the same.
        let from = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        if from.is_some_and(|from| from.eq_ignore_ascii_case(host)) { Ok(()) } else { Err(Refused::Origin) }
    }
}

/// A header's value, if it is there once and is text.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn addresses_localhost_and_given_names_are_served_and_no_others() {
        let guard = Guard::new(["Desk.Example".to_owned()]);
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1:6080", "[::1]:6080", "desk.example", "10.1.2.3"]
        {
            assert_eq!(guard.host(&headers(&[(HOST, good)])), Ok(good), "{good}");
        }
        let bad =
            ["evil.example:6080", "localhost.evil.example", "localhost.", "127.0.0.1.evil.example", "[x]"];
        for bad in bad.into_iter().chain(["a@127.0.0.1", "", "127.0.0.1/x", "2130706433", "[::1"]) {
            assert!(guard.host(&headers(&[(HOST, bad)])).is_err(), "{bad}");
        }
        assert_eq!(guard.host(&headers(&[])), Err(Refused::NoHost));
        assert_eq!(guard.host(&headers(&[(HOST, "localhost"), (HOST, "localhost")])), Err(Refused::NoHost));
    }

    #[test]
    fn a_socket_is_opened_for_our_own_page_or_for_no_page() {
        let guard = Guard::default();
        let from = |host, origin| guard.socket(&headers(&[(HOST, host), (ORIGIN, origin)]));
        assert_eq!(guard.socket(&headers(&[(HOST, "localhost:1")])), Ok(()));
        assert_eq!(from("localhost:1", "http://localhost:1"), Ok(()));
        assert_eq!(from("[::1]:1", "https://[::1]:1"), Ok(()));
        for other in ["http://localhost:2", "http://localhost", "http://evil.example", "null", "", "file://"]
        {
            assert_eq!(from("localhost:1", other), Err(Refused::Origin), "{other}");
        }
        assert_eq!(from("localhost:1", "ws://localhost:1"), Err(Refused::Origin));
        let twice = [(HOST, "localhost:1"), (ORIGIN, "http://localhost:1"), (ORIGIN, "http://localhost:1")];
        assert_eq!(guard.socket(&headers(&twice)), Err(Refused::Origin));
        assert!(from("evil.example", "http://evil.example").is_err());
    }
}
