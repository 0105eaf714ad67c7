//! The lines to other sites over which their supervisors are asked: one a site, however many agents are there ([`crate::exchange`]).
//!
//! A line is begun by who asks first, and ends when nobody has asked anything for a while. Where it breaks, everybody who asks there
//! hears so, and begins the next by asking anew.
//!
//! Fault model: the other site may say anything. What it says to who is gone, or to a number that nobody has, is dropped; what is not
//! taken yet holds the line back, whose users all take at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, BufReader};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::control::{AskError, LINE_MAX, Open, Opening, PROTOCOL, Request, Said, open, said_in};
use crate::exchange::{Question, WAITING, Word, tell};
use crate::lines::next_line;
use crate::reach::Asks;
use crate::sites::Site;
use crate::words::with_causes;

/// A line that nobody uses ends after this time.
const IDLE: Duration = Duration::from_secs(30);
/// It is looked so often whether somebody has gone.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer may take that needs no guest.
const SOON: Duration = Duration::from_secs(60);

/// Words of an answer, or why there are none.
type Words = Sender<Result<Value, String>>;

struct Asked {
    agent: String,
    request: Request,
    words: Words,
}

/// One a site.
#[derive(Default)]
pub struct Lines(Mutex<HashMap<String, Sender<Asked>>>);

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Lines {
    /// Asks the supervisor of an agent at a site, and takes what it says until the end; news on the way go to `news`.
    ///
    /// # Errors
    /// [`AskError`], at the latest when for `patience` nothing was said.
    pub async fn ask(
        &self,
        site: &Site,
        agent: &str,
        request: &Request,
        patience: Duration,
        mut news: impl FnMut(&Value),
    ) -> Result<Value, AskError> {
        let (words, mut said) = channel(WAITING);
        let asked = Asked { agent: agent.to_owned(), request: request.clone(), words };
        self.line(site).send(asked).await.map_err(|_| AskError::Closed)?;
        loop {
            let word = timeout(patience, said.recv()).await.map_err(|_| AskError::Late(patience))?;
            match word.ok_or(AskError::Closed)? {
                Ok(line) => match said_in(&line).map_err(|error| error.at(&site.name))? {
                    Said::News(progress) => news(&progress),
                    Said::End(value) => return Ok(value),
                },
                Err(message) => return Err(AskError::Refused { message, hint: None }),
            }
        }
    }

    /// The line to a site, which is begun where there is none.
    fn line(&self, site: &Site) -> Sender<Asked> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&site.name).filter(|line| !line.is_closed()) {
            return line.clone();
        }
        let (line, asked) = channel(WAITING);
        tokio::spawn(run(site.clone(), asked));
        lines.insert(site.name.clone(), line.clone());
        line
    }
}

impl Asks for Lines {
    async fn status(&self, site: &Site, agent: &str) -> Result<Value, AskError> {
        self.ask(site, agent, &Request::Status, SOON, |_| ()).await
    }
}

/// A line, from its beginning to its end.
async fn run(site: Site, mut asked: Receiver<Asked>) {
    let opening = Opening { snowbird: PROTOCOL, agent: String::new(), open: Open::Many, document: None };
    match open(&site, &opening).await {
        Ok(stream) => {
            let (reader, writer) = tokio::io::split(stream);
            carry(BufReader::new(reader), writer, asked).await;
        }
        // Whoever asked meanwhile hears why; whoever asks later tries again.
        Err(error) => {
            asked.close();
            while let Some(Asked { words, .. }) = asked.recv().await {
                words.send(Err(with_causes(&error))).await.ok();
            }
        }
    }
}

/// Questions there, words back, until either ends.
async fn carry<R: AsyncRead + Send + Unpin + 'static>(
    reader: BufReader<R>,
    mut writer: impl tokio::io::AsyncWrite + Unpin,
    mut asked: Receiver<Asked>,
) {
    let (sender, mut words) = channel(WAITING);
    // Ends with this.
    let mut reading = JoinSet::new();
    reading.spawn(read(reader, sender));
    let mut open: HashMap<u64, Words> = HashMap::new();
    let (mut last, mut used) = (0, Instant::now());
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let nobody = |id| Question { id, agent: String::new(), ask: None };
        let question = tokio::select! {
            one = asked.recv() => {
                let Some(Asked { agent, request, words }) = one else { return };
                last += 1;
                open.insert(last, words);
                Question { id: last, agent, ask: Some(request) }
            }
            word = words.recv() => match word {
                None => return,
                Some(Word { id, said: None }) => {
                    open.remove(&id);
                    continue;
                }
                Some(Word { id, said: Some(line) }) => {
                    let Some(to) = open.get(&id) else { continue };
                    if to.send(Ok(line)).await.is_ok() {
                        continue;
                    }
                    open.remove(&id);
                    nobody(id)
                }
            },
            _ = look.tick() => {
                let gone = open.iter().find(|(_, words)| words.is_closed()).map(|(id, _)| *id);
                match gone {
                    Some(id) => {
                        open.remove(&id);
                        nobody(id)
                    }
                    None if open.is_empty() && used.elapsed() > IDLE => return,
                    None => continue,
                }
            }
        };
        used = Instant::now();
        if tell(&mut writer, &question).await.is_err() {
            return;
        }
    }
}

async fn read<R: AsyncRead + Unpin>(mut stream: BufReader<R>, words: Sender<Word>) {
    while let Ok(Some(line)) = next_line(&mut stream, LINE_MAX).await {
        let Ok(word) = serde_json::from_slice(&line) else { return };
        if words.send(word).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// A line whose other end is here, and what is asked on it.
    fn line() -> (Sender<Asked>, BufReader<tokio::io::DuplexStream>) {
        let (near, far) = tokio::io::duplex(1 << 10);
        let (sender, asked) = channel(WAITING);
        let (reader, writer) = tokio::io::split(near);
        tokio::spawn(carry(BufReader::new(reader), writer, asked));
        (sender, BufReader::new(far))
    }

    async fn ask(line: &Sender<Asked>, agent: &str) -> Receiver<Result<Value, String>> {
        let (words, said) = channel(WAITING);
        line.send(Asked { agent: agent.to_owned(), request: Request::Follow, words }).await.unwrap();
        said
    }

    async fn question(far: &mut BufReader<tokio::io::DuplexStream>) -> Question {
        let line = timeout(SOON, next_line(far, LINE_MAX)).await.unwrap().unwrap().unwrap();
        serde_json::from_slice(&line).unwrap()
    }

    #[tokio::test]
    async fn each_who_asks_hears_his_own_answer_and_who_has_gone_is_told_of() {
        let (line, mut far) = line();
        let mut one = ask(&line, "one").await;
        let first = question(&mut far).await;
        let two = ask(&line, "two").await;
        let second = question(&mut far).await;
        assert_eq!((first.agent.as_str(), second.agent.as_str()), ("one", "two"));
        assert_ne!(first.id, second.id);
        // What nobody asked for is nobody's.
        for (id, said) in [(second.id + 1, json!(1)), (second.id, json!(2)), (first.id, json!(3))] {
            tell(far.get_mut(), &Word { id, said: Some(said) }).await.unwrap();
        }
        assert_eq!(timeout(SOON, one.recv()).await.unwrap(), Some(Ok(json!(3))));
        drop(two);
        let gone = question(&mut far).await;
        assert!(gone.id == second.id && gone.ask.is_none());
        tell(far.get_mut(), &Word { id: first.id, said: None }).await.unwrap();
        assert_eq!(timeout(SOON, one.recv()).await.unwrap(), None);
        // The line breaks.
        let mut three = ask(&line, "three").await;
        question(&mut far).await;
        drop(far);
        assert_eq!(timeout(SOON, three.recv()).await.unwrap(), None);
        timeout(SOON, line.closed()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_nobody_uses_ends() {
        let (line, mut far) = line();
        let said = ask(&line, "one").await;
        question(&mut far).await;
        // (The clock goes on by itself when everybody waits.)
        assert!(timeout(10 * IDLE, line.closed()).await.is_err(), "somebody hears");
        drop(said);
        line.closed().await;
    }
}
