//! Many questions to a site's supervisors over one stream, for whoever looks at many agents there: an ssh server refuses logins when
//! some ten come at a time, and each is a process.
//!
//! After the opening one side says [`Question`]s, the other [`Word`]s: each line that a supervisor says, with the number of what it
//! was asked, and its end. Only how agents stand is asked so.
//!
//! Fault model: the other site may ask as much and as fast as it likes, and hear nothing. Questions that are open are bounded, and so is
//! what waits to be said; whoever does not hear is hung up on.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agent::is_name;
use crate::control::{AskError, Here, LINE_MAX, Request, say};
use crate::lines::next_line;
use crate::words::with_causes;

/// Questions that are open on a stream: two an agent of the most that a page shows, and some.
const OPEN_MAX: usize = 512;
/// Words that wait to be said or taken.
pub(crate) const WAITING: usize = 64;
/// Who does not take a line in this time is hung up on.
pub(crate) const HEARS: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Its number, by which it is answered.
    pub(crate) id: u64,
    /// Of which agent.
    pub(crate) agent: String,
    /// What; `None`: nobody hears the answer to this number any more.
    pub(crate) ask: Option<Request>,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Word {
    /// The question's number.
    pub(crate) id: u64,
    /// A line of the supervisor's; `None`: it says no more.
    pub(crate) said: Option<Value>,
}

/// A line of either.
pub(crate) async fn tell<S: AsyncWrite + Unpin>(stream: &mut S, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let told = async {
        stream.write_all(&line).await?;
        stream.flush().await
    };
    timeout(HEARS, told).await?
}

/// Answers until the other side has gone.
///
/// # Errors
/// The stream's; also when what is said is no question.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(here: &Here, peer: S) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(peer);
    let (words, mut waiting) = channel(WAITING);
    let heard = hear(here, BufReader::new(reader), words);
    let told = async {
        while let Some(word) = waiting.recv().await {
            tell(&mut writer, &word).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = heard => ended,
        ended = told => ended,
    }
}

async fn hear<S: AsyncRead + Unpin>(
    here: &Here,
    mut questions: BufReader<S>,
    words: Sender<Word>,
) -> io::Result<()> {
    // Each is a set of one task, which ends when it is dropped.
    let mut open: HashMap<u64, JoinSet<()>> = HashMap::new();
    while let Some(line) = next_line(&mut questions, LINE_MAX).await? {
        let Question { id, agent, ask } = serde_json::from_slice(&line)?;
        open.retain(|_, task| {
            while task.try_join_next().is_some() {}
            !task.is_empty()
        });
        let Some(request) = ask else {
            open.remove(&id);
            continue;
        };
        let looks = matches!(request, Request::Status | Request::Follow | Request::Sense { .. });
        let mut task = JoinSet::new();
        if looks && is_name(&agent) && open.len() < OPEN_MAX {
            task.spawn(answer(here.clone(), agent, request, id, words.clone()));
            open.insert(id, task);
        } else {
            refuse(id, "this is not answered so, or too much is asked at a time", &words).await;
        }
    }
    Ok(())
}

async fn refuse(id: u64, why: &str, words: &Sender<Word>) {
    let error = json!({ "error": { "message": why, "hint": null } });
    for said in [Some(error), None] {
        words.send(Word { id, said }).await.ok();
    }
}

async fn answer(here: Here, agent: String, request: Request, id: u64, words: Sender<Word>) {
    match relay(&here, &agent, &request, id, &words).await {
        Ok(()) => drop(words.send(Word { id, said: None }).await),
        Err(error) => refuse(id, &with_causes(&error), &words).await,
    }
}

/// Passes on what this site's supervisor says.
async fn relay(
    here: &Here,
    agent: &str,
    request: &Request,
    id: u64,
    words: &Sender<Word>,
) -> Result<(), AskError> {
    let mut stream = BufReader::new(here.supervisor(agent).await?);
    say(&mut stream, request).await?;
    while let Some(line) = next_line(&mut stream, LINE_MAX).await? {
        let said = serde_json::from_slice(&line).map_err(|_| AskError::Nonsense)?;
        if words.send(Word { id, said: Some(said) }).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    use super::*;
    use crate::control::{SOCKET, folder};

    const SOON: Duration = Duration::from_secs(20);

    /// A supervisor that says some lines to whoever asks, and then waits.
    fn supervised(home: &std::path::Path, agent: &str, says: &'static str) {
        let folder = folder(home, agent);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    stream.write_all(says.as_bytes()).await.unwrap();
                    // Until whoever asked has gone.
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await.ok();
                });
            }
        });
    }

    #[tokio::test]
    async fn questions_about_many_agents_are_answered_by_their_numbers_and_nothing_is_done() {
        let home = tempfile::tempdir().unwrap();
        supervised(home.path(), "one", "{\"progress\":1}\n{\"ok\":2}\n");
        supervised(home.path(), "two", "{\"progress\":3}\n");
        let here = Here { home: home.path().to_owned(), wandisk: None };
        let (near, far) = tokio::io::duplex(1 << 10);
        let serving = tokio::spawn(async move { serve(&here, far).await });
        let (near, mut asks) = tokio::io::split(near);
        let mut near = BufReader::new(near);
        let mut ask = async |id: u64, agent: &str, ask: Option<Request>| {
            tell(&mut asks, &Question { id, agent: agent.to_owned(), ask }).await.unwrap();
        };
        let mut next = async || {
            let line = timeout(SOON, next_line(&mut near, LINE_MAX)).await.unwrap().unwrap().unwrap();
            let word: Word = serde_json::from_slice(&line).unwrap();
            (word.id, word.said)
        };
        ask(7, "one", Some(Request::Status)).await;
        assert_eq!(next().await, (7, Some(json!({ "progress": 1 }))));
        assert_eq!(next().await, (7, Some(json!({ "ok": 2 }))));
        ask(8, "two", Some(Request::Follow)).await;
        assert_eq!(next().await, (8, Some(json!({ "progress": 3 }))));
        for (id, agent, request) in [(9, "one", Request::Kill), (10, "../x", Request::Status)] {
            ask(id, agent, Some(request)).await;
            let (of, said) = next().await;
            assert!(of == id && said.unwrap()["error"]["message"].is_string());
            assert_eq!(next().await, (id, None));
        }
        // Nobody hears them any more, and others are heard.
        ask(7, "", None).await;
        ask(8, "", None).await;
        ask(11, "two", Some(Request::Status)).await;
        assert_eq!(next().await, (11, Some(json!({ "progress": 3 }))));
        drop((asks, near));
        timeout(SOON, serving).await.unwrap().unwrap().unwrap();
    }
}
