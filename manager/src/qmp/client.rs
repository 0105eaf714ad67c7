//! A client: calls with time-outs, events in order.
//!
//! One task reads the socket; a call registers under its id, writes its line and waits. Fault model: QEMU may stop answering
//! (its monitor hangs in a drain while a request of the guest waits: tried), may die at any byte, may say anything. A call
//! that is given up frees its place; its late answer is dropped. Events that nobody takes in time are dropped and counted:
//! whoever acts on them also asks from time to time.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::message::{self, Event, LINE_MAX, Message, MessageError, Version};
use crate::lines::next_line;

/// Calls that wait at a time; more are refused.
const WAITING_MAX: usize = 32;
/// Events that wait to be taken.
const EVENTS_MAX: usize = 256;

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket's own words.
    #[error("QEMU's monitor cannot be reached")]
    Io(#[from] io::Error),
    /// What came is no QMP.
    #[error("QEMU's monitor does not speak QMP")]
    Message(#[from] MessageError),
    /// QEMU refused.
    #[error("QEMU refused {command}: {description}")]
    Refused {
        /// What was asked.
        command: String,
        /// In its words.
        description: String,
    },
    /// No answer in time.
    #[error("QEMU did not answer {command} in {} ms", limit.as_millis())]
    Late {
        /// What was asked.
        command: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Too many wait already.
    #[error("QEMU has not answered {WAITING_MAX} earlier commands")]
    Busy,
    /// The connection has ended.
    #[error("QEMU has closed its monitor")]
    Closed,
}

type Answer = Result<Value, String>;

#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u64, oneshot::Sender<Answer>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    missed: AtomicU64,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    next_id: AtomicU64,
    version: Version,
}

/// What happens in QEMU, in order; ends when the connection does.
pub type Events = mpsc::Receiver<Event>;

impl Client {
    /// Connects, and makes QEMU listen to commands.
    ///
    /// # Errors
    /// [`QmpError`], at the latest after twice `limit`.
    pub async fn connect(path: &Path, limit: Duration) -> Result<(Client, Events), QmpError> {
        let late = |_| QmpError::Late { command: "the connection".to_owned(), limit };
        let greeted = async {
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            let mut reader = BufReader::new(reader);
            let line = next_line(&mut reader, LINE_MAX).await?.ok_or(QmpError::Closed)?;
            match message::parse(&line)? {
                Message::Greeting { version } => Ok((reader, writer, version)),
                _ => Err(QmpError::Message(MessageError::Unknown)),
            }
        };
        let (reader, writer, version) = timeout(limit, greeted).await.map_err(late)??;
        let shared = Arc::new(Shared::default());
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(read(reader, Arc::clone(&shared), sender));
        let client =
            Client { shared, writer: tokio::sync::Mutex::new(writer), next_id: AtomicU64::new(1), version };
        client.call("qmp_capabilities", Value::Null, limit).await?;
        Ok((client, events))
    }

    /// Which QEMU it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Events that nobody took in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// Does a command; `arguments` is an object, or `Null` for none.
    ///
    /// # Errors
    /// [`QmpError`], at the latest after `limit`.
    pub async fn call(&self, command: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if waiting.closed {
                return Err(QmpError::Closed);
            }
            if waiting.calls.len() >= WAITING_MAX {
                return Err(QmpError::Busy);
            }
            waiting.calls.insert(id, sender);
        }
        let asked = async {
            let line = message::command(id, command, &arguments);
            self.writer.lock().await.write_all(line.as_bytes()).await?;
            answer.await.map_err(|_| QmpError::Closed)
        };
        let result = timeout(limit, asked).await;
        self.shared.waiting().calls.remove(&id);
        match result {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(description))) => Err(QmpError::Refused { command: command.to_owned(), description }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(QmpError::Late { command: command.to_owned(), limit }),
        }
    }
}

/// Takes lines until there are none or one makes no sense.
async fn read(mut reader: BufReader<OwnedReadHalf>, shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    while let Ok(Some(line)) = next_line(&mut reader, LINE_MAX).await {
        let (id, answer) = match message::parse(&line) {
            Ok(Message::Return { id, value }) => (id, Ok(value)),
            Ok(Message::Error { id, description, .. }) => (id, Err(description)),
            Ok(Message::Event(event)) => {
                if events.try_send(event).is_err() {
                    shared.missed.fetch_add(1, Ordering::Relaxed);
                }
                continue;
            }
            Ok(Message::Greeting { .. }) => continue,
            Err(_) => break,
        };
        let call = id.and_then(|id| shared.waiting().calls.remove(&id));
        // Whoever gave the call up is gone.
        call.map(|call| call.send(answer).ok());
    }
    let mut waiting = shared.waiting();
    waiting.closed = true;
    // Their senders go, so all of them hear that the connection has.
    waiting.calls.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::net::UnixListener;

    const SOON: Duration = Duration::from_secs(20);
    const GREETING: &str = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 0, \"major\": 10}}, \"capabilities\": []}}\n";

    /// A QEMU that says these lines after the handshake, and then nothing.
    async fn connect(says: &'static str, closes: bool) -> (Client, Events, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(GREETING.as_bytes()).await.unwrap();
            let mut reader = BufReader::new(&mut stream);
            next_line(&mut reader, 1000).await.unwrap();
            let mut stream = reader.into_inner();
            stream.write_all(b"{\"return\": {}, \"id\": 1}\n").await.unwrap();
            let mut reader = BufReader::new(&mut stream);
            next_line(&mut reader, 1000).await.unwrap();
            stream.write_all(says.as_bytes()).await.unwrap();
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        let (client, events) = Client::connect(&path, SOON).await.unwrap();
        (client, events, folder)
    }

    #[tokio::test]
    async fn answers_find_their_calls_and_events_come_in_order() {
        let says = "{\"event\": \"STOP\"}\n{\"return\": 1, \"id\": 77}\n{\"event\": \"RESUME\"}\n{\"return\": [5], \"id\": 2}\n";
        let (client, mut events, _folder) = connect(says, false).await;
        assert_eq!(client.version().major, 10);
        assert_eq!(client.call("query-x", Value::Null, SOON).await.unwrap(), json!([5]));
        assert_eq!(events.recv().await.unwrap().name, "STOP");
        assert_eq!(events.recv().await.unwrap().name, "RESUME");
    }

    #[tokio::test]
    async fn a_refusal_keeps_qemus_words() {
        let says = "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"busy painting\"}}\n";
        let (client, _events, _folder) = connect(says, false).await;
        let error = client.call("paint", Value::Null, SOON).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused paint: busy painting");
    }

    #[tokio::test]
    async fn a_qemu_that_is_silent_or_gone_ends_the_call() {
        let (client, _events, _folder) = connect("", false).await;
        let late = client.call("query-x", Value::Null, Duration::from_millis(20)).await;
        assert!(matches!(late, Err(QmpError::Late { .. })), "{late:?}");
        assert!(client.shared.waiting().calls.is_empty());

        for says in ["", "nonsense\n"] {
            let (client, mut events, _folder) = connect(says, true).await;
            let closed = client.call("query-x", Value::Null, SOON).await;
            assert!(matches!(closed, Err(QmpError::Closed)), "{closed:?}");
            assert!(events.recv().await.is_none());
            assert!(matches!(client.call("query-x", Value::Null, SOON).await, Err(QmpError::Closed)));
        }
    }
}
