//! How a supervisor tells the switch at its site what the agent does, without waiting for it.
//!
//! Words are told in order by one task. If the switch is not there it is started, and if it dies the next one is started and told
//! all that still counts; only an end is told to nobody where nobody is. What cannot be told is in the agent's log, once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

use super::ask::Request;
use super::names;
use crate::agent::Agent;
use crate::agent::store::Store;
use crate::control::{AskError, Here, ask, connect, folder};
use crate::supervisor::phase::{End, Leave, Phase};

/// How long the switch may take to answer.
const SOON: Duration = Duration::from_secs(10);
/// Until it is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// Tells; a copy tells to the same switch.
#[derive(Clone, Debug)]
pub struct Teller {
    words: UnboundedSender<Request>,
}

impl Teller {
    /// Begins a task in the current runtime, which ends with the last copy.
    #[must_use]
    pub fn new(here: Here, agent: &Agent, site: &str) -> Teller {
        let (words, heard) = unbounded_channel();
        let at_home = agent.home == site;
        let telling = Telling {
            here,
            agent: agent.name.clone(),
            uuid: agent.uuid,
            at_home,
            counts: Vec::new(),
            stream: None,
            noted: false,
        };
        tokio::spawn(telling.run(heard));
        Teller { words }
    }

    fn say(&self, word: Request) {
        self.words.send(word).ok();
    }

    /// Where the agent stands now.
    pub fn phase(&self, phase: &Phase) {
        match phase {
            Phase::Launching
            | Phase::Running
            | Phase::Paused { .. }
            | Phase::Arriving { .. }
            | Phase::Resuming { .. } => self.say(Request::Expect),
            Phase::Leaving { to, at: Leave::Copying, .. } => self.say(Request::Moving { to: to.clone() }),
            Phase::Leaving { .. } | Phase::Suspending { .. } => {}
            Phase::Off(End::Left { to }) => self.say(Request::Left { to: to.clone() }),
            // Whoever talks to a suspended agent has no answer for as long as it is one: nobody keeps that.
            Phase::Off(_) | Phase::Suspended { .. } => self.say(Request::Ended),
        }
    }

    /// QEMU says that the agent stands.
    pub fn stands(&self) {
        self.say(Request::Stands);
    }

    /// It was let run; its disk is in this epoch.
    pub fn runs(&self, epoch: u64) {
        self.say(Request::Runs { epoch });
    }
}

struct Telling {
    here: Here,
    agent: String,
    uuid: Uuid,
    at_home: bool,
    /// What a new switch would have to be told.
    counts: Vec<Request>,
    stream: Option<BufReader<UnixStream>>,
    noted: bool,
}

impl Telling {
    async fn run(mut self, mut words: UnboundedReceiver<Request>) {
        loop {
            let mut broken = [0; 1];
            tokio::select! {
                word = words.recv() => {
                    let Some(word) = word else { return };
                    self.keep(&word);
                    if self.stream.is_some() && self.tell(&word).await.is_ok() {
                        continue;
                    }
                }
                // It says nothing unasked: this is its end.
                _ = read(self.stream.as_mut(), &mut broken) => {}
            }
            self.stream = None;
            while let Err(error) = self.tell_all().await {
                if !std::mem::replace(&mut self.noted, true) {
                    let line = format!("its network cannot be told what it does: {error}");
                    Store::open(&self.here.home).and_then(|mut store| store.note(self.uuid, &line)).ok();
                }
                match tokio::time::timeout(AGAIN, words.recv()).await {
                    Ok(Some(word)) => self.keep(&word),
                    Ok(None) => return,
                    Err(_) => {}
                }
            }
            self.noted = false;
        }
    }

    /// Is the switch needed for what it would be told?
    fn needed(&self) -> bool {
        match self.counts.last() {
            None | Some(Request::Ended) => false,
            Some(Request::Left { .. }) => self.at_home,
            Some(_) => true,
        }
    }

    fn keep(&mut self, word: &Request) {
        match word {
            Request::Expect if !self.over() => {
                self.counts.retain(|known| !matches!(known, Request::Moving { .. }));
            }
            Request::Expect | Request::Ended | Request::Left { .. } => self.counts = Vec::new(),
            Request::Stands | Request::Runs { .. } => {
                let old = |known: &Request| matches!(known, Request::Stands | Request::Runs { .. });
                self.counts.retain(|known| !old(known));
            }
            _ => {}
        }
        if !self.counts.contains(word) {
            self.counts.push(word.clone());
        }
    }

    fn over(&self) -> bool {
        matches!(self.counts.last(), None | Some(Request::Ended | Request::Left { .. }))
    }

    async fn tell(&mut self, word: &Request) -> Result<(), AskError> {
        let Some(stream) = &mut self.stream else { return Err(AskError::Closed) };
        ask(stream, word, SOON, |_| ()).await.map(drop)
    }

    async fn tell_all(&mut self) -> Result<(), AskError> {
        let found = connect(&folder(&self.here.home, &self.agent), names::ASK).await;
        let stream = match found {
            Ok(stream) => stream,
            Err(_) if !self.needed() => return Ok(()),
            Err(_) => self.here.switch(&self.agent, names::ASK).await?,
        };
        self.stream = Some(BufReader::new(stream));
        for word in self.counts.clone() {
            if let Err(error) = self.tell(&word).await {
                self.stream = None;
                return Err(error);
            }
        }
        Ok(())
    }
}

async fn read(stream: Option<&mut BufReader<UnixStream>>, bytes: &mut [u8]) -> std::io::Result<usize> {
    match stream {
        Some(stream) => stream.read(bytes).await,
        None => std::future::pending().await,
    }
}
