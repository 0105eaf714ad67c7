//! Where what was seen becomes what pages are told: the model behind a lock, and its changes for whoever listens.
//!
//! Invariant: a page gets the whole once and then every change in order; one that is too slow for that gets the whole anew. What
//! waits for a page is bounded by [`WAITING`] changes, which all pages share.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::Stream;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::timeout;

use super::model::{Model, Seen};

/// Changes that a page may be behind.
const WAITING: usize = 1024;
/// Changes are sent together up to so many bytes.
const TOGETHER: usize = 64 << 10;
/// A page hears something at least so often, or takes the connection for lost.
const ALIVE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct Hub {
    model: Mutex<Model>,
    changes: Sender<Arc<str>>,
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Hub {
    /// Of a page of this site.
    #[must_use]
    pub fn new(site: &str) -> Hub {
        Hub { model: Mutex::new(Model::new(site)), changes: broadcast::channel(WAITING).0 }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was seen.
    pub fn see(&self, seen: Seen) {
        let mut model = self.model();
        if let Some(patch) = model.see(now_ms(), seen) {
            // Under the lock, so that they are told in their order. That nobody listens is no fault.
            self.changes.send(event("change", &patch).into()).ok();
        }
    }

    /// What the document says of an agent.
    #[must_use]
    pub fn agent(&self, name: &str, member: &str) -> Option<Value> {
        self.model().document()["agents"].get(name)?.get(member).cloned()
    }

    /// The whole as an event, and all changes from then on.
    fn listen(&self) -> (String, Receiver<Arc<str>>) {
        let model = self.model();
        let whole = json!({ "now_ms": now_ms(), "document": model.document() });
        (event("whole", &whole), self.changes.subscribe())
    }

    /// The events for a page, as long as it takes them.
    pub fn events(
        self: Arc<Hub>,
        held: impl Send + 'static,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        let page = Page { hub: self, changes: None, _held: held };
        futures::stream::unfold(page, |mut page| async move {
            let text = page.next().await?;
            Some((Ok(Frame::data(Bytes::from(text))), page))
        })
    }
}

/// A page that listens; what it holds is let go when it ends.
struct Page<H> {
    hub: Arc<Hub>,
    changes: Option<Receiver<Arc<str>>>,
    _held: H,
}

impl<H> Page<H> {
    async fn next(&mut self) -> Option<String> {
        let Some(changes) = &mut self.changes else { return Some(self.whole()) };
        let mut text = match timeout(ALIVE, changes.recv()).await {
            Err(_) => return Some(event("now", &json!(now_ms()))),
            Ok(Ok(first)) => first.to_string(),
            Ok(Err(RecvError::Lagged(_))) => return Some(self.whole()),
            Ok(Err(RecvError::Closed)) => return None,
        };
        while text.len() < TOGETHER {
            match changes.try_recv() {
                Ok(more) => text.push_str(&more),
                Err(TryRecvError::Lagged(_)) => return Some(self.whole()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Some(text)
    }

    fn whole(&mut self) -> String {
        let (whole, changes) = self.hub.listen();
        self.changes = Some(changes);
        whole
    }
}

/// A server-sent event.
fn event(name: &str, data: &Value) -> String {
    // JSON in one line, whatever is in it.
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    fn sites(names: &[&str]) -> Seen {
        Seen::Sites(names.iter().map(|name| ((*name).to_owned(), json!({ "state": "unknown" }))).collect())
    }

    fn read(text: &str) -> Vec<(String, Value)> {
        let parts = text.split("\n\n").filter(|part| !part.is_empty());
        let one = |part: &str| {
            let (event, data) = part.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (event.strip_prefix("event: ").unwrap().to_owned(), data)
        };
        parts.map(one).collect()
    }

    #[tokio::test]
    async fn a_page_gets_the_whole_then_changes_and_the_whole_anew_when_it_was_too_slow() {
        let hub = Arc::new(Hub::new("desk"));
        let mut events = Box::pin(Arc::clone(&hub).events(()));
        let mut next = async || {
            let frame = events.next().await.unwrap().unwrap();
            read(std::str::from_utf8(&frame.into_data().unwrap()).unwrap())
        };
        assert_eq!(next().await[0].1["document"]["site"], "desk");
        hub.see(sites(&["a"]));
        hub.see(sites(&["a", "line\nend"]));
        let told = next().await;
        assert_eq!(told.len(), 2, "together: {told:?}");
        assert_eq!(told[1].1["sites"]["line\nend"]["state"], "unknown");
        for n in 0..=WAITING {
            hub.see(sites(&[&n.to_string()]));
        }
        let told = next().await;
        assert_eq!((told.len(), told[0].0.as_str()), (1, "whole"));
        assert_eq!(told[0].1["document"], *hub.model().document());
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_hears_that_nothing_happens() {
        let hub = Arc::new(Hub::new("desk"));
        let mut events = Box::pin(hub.events(()));
        events.next().await.unwrap().unwrap();
        let frame = events.next().await.unwrap().unwrap();
        let told = read(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        assert_eq!(told[0].0, "now");
    }
}
