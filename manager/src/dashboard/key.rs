//! The word that a page must know. It stands behind the `#` of the address, which no browser sends anywhere: the page reads it
//! there and says it with each request. Pure.
//!
//! Other users of the machine can connect to a loopback address, too: without the word they get the empty page and nothing else.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use uuid::Uuid;

/// Before it in the protocols of a WebSocket, where a page can say nothing else.
const PROTOCOL: &str = "key.";
/// No word is longer.
const LONGEST: usize = 128;

/// The word, and its hash: by these two are compared, so that the time this takes tells nothing.
#[derive(Clone, Debug)]
pub struct Key {
    word: String,
    hash: blake3::Hash,
}

impl Key {
    /// A new one, which nobody can guess: 244 random bits.
    #[must_use]
    pub fn random() -> Key {
        Key::of(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    fn of(word: String) -> Key {
        let hash = blake3::hash(word.as_bytes());
        Key { word, hash }
    }

    /// The word.
    #[must_use]
    pub fn word(&self) -> &str {
        &self.word
    }

    /// Does a request say it?
    #[must_use]
    pub fn is_said(&self, headers: &HeaderMap) -> bool {
        let bearer =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        let offered = protocols.into_iter().flat_map(|list| list.split(',')).map(str::trim);
        let mut said = offered.filter_map(|word| word.strip_prefix(PROTOCOL)).chain(bearer);
        said.any(|word| word.len() <= LONGEST && blake3::hash(word.as_bytes()) == self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_opens_whichever_way_it_is_said() {
        let key = Key::of("right".to_owned());
        let said = |name: hyper::header::HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            key.is_said(&headers)
        };
        assert!(said(AUTHORIZATION, "Bearer right"));
        assert!(said(SEC_WEBSOCKET_PROTOCOL, "binary, key.right"));
        for (name, value) in [
            (AUTHORIZATION, "Bearer wrong"),
            (AUTHORIZATION, "Basic right"),
            (AUTHORIZATION, "right"),
            (AUTHORIZATION, "Bearer "),
            (SEC_WEBSOCKET_PROTOCOL, "right"),
            (SEC_WEBSOCKET_PROTOCOL, "binary, key.rightly"),
        ] {
            assert!(!said(name, value), "{value}");
        }
        assert!(!key.is_said(&HeaderMap::new()));
        assert_eq!(Key::random().word().len(), 64);
    }
}
