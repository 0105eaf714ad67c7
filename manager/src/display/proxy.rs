//! The program `vmgl-proxy`: started in the agent's folder, found again, asked over its `ctl` socket, ended.
//!
//! It outlives whoever started it. The kernel says who listens at its socket, so no file with a process id can be wrong.
//!
//! Fault model: it may be missing, end at any time, hang (every question has a time-out), or say something that is no answer. Of one that
//! dies the system closes what was opened last first: conversations with it have ended before its socket stops to take new ones, and
//! before its port is free.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::agent::machine::find;
use crate::control::connect;
use crate::lines::next_line;

/// The program.
const PROGRAM: &str = "vmgl-proxy";
/// The proxy's socket in the agent's folder.
pub const CTL: &str = "view.ctl";
/// Where viewers came in last: they find it there again.
const PORT: &str = "view.port";
/// What it said.
const LOG: &str = "view.log";
/// How long it may take to begin, and to end.
const BEGIN: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// It answers from memory.
const SOON: Duration = Duration::from_secs(5);
/// No answer is longer.
const ANSWER_MAX: usize = 1 << 20;

/// Why a proxy gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It is not installed.
    #[error("the program {PROGRAM} is to be found neither beside snowbird nor in the PATH")]
    Missing,
    /// It could not be started.
    #[error("the display proxy could not be started")]
    Start(#[source] io::Error),
    /// It ended at once.
    #[error("the display proxy ended at once: {0}")]
    Ended(String),
    /// None runs.
    #[error("no display proxy of the agent runs at this site")]
    None,
    /// The conversation broke.
    #[error("the connection to the display proxy broke")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("the display proxy did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It said something else.
    #[error("the display proxy's answer cannot be understood")]
    Nonsense,
    /// It could not do it, in its words.
    #[error("the display proxy: {0}")]
    Refused(String),
}

/// The program's file.
///
/// # Errors
/// [`ProxyError::Missing`].
pub(super) fn program() -> Result<PathBuf, ProxyError> {
    find(PROGRAM).ok_or(ProxyError::Missing)
}

/// A proxy that runs.
#[derive(Debug)]
pub(super) struct Proxy {
    pid: Pid,
    /// To be read when it has ended.
    end: AsyncFd<OwnedFd>,
    /// What its status was.
    pub(super) status: Value,
}

impl Proxy {
    /// The one that runs in this folder; one that is just ending is waited for, and is none.
    ///
    /// # Errors
    /// [`ProxyError`]; [`ProxyError::None`] if there is none.
    pub(super) async fn found(folder: &Path) -> Result<Proxy, ProxyError> {
        let end = Instant::now() + SOON;
        loop {
            match Proxy::met(folder).await {
                Err(ProxyError::Io(_)) if Instant::now() < end => tokio::time::sleep(LOOK).await,
                other => return other,
            }
        }
    }

    async fn met(folder: &Path) -> Result<Proxy, ProxyError> {
        let listener = socket_peercred(reach(folder).await?).map_err(io::Error::from)?;
        let pid = listener.pid;
        let end = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?;
        #[expect(
            deprecated,
            reason = "its danger is a descriptor that changes; a process's is its own while it lives"
        )]
        let end = AsyncFd::with_interest(end, Interest::READABLE)?;
        // (That it answers says that the process is this one.)
        let status = ask(folder, &json!({ "do": "status" })).await?;
        Ok(Proxy { pid, end, status })
    }

    /// Starts one at the address at which viewers found the last one, if that is free.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub(super) async fn start(folder: &Path, upstream: &str) -> Result<Proxy, ProxyError> {
        let last = std::fs::read_to_string(folder.join(PORT)).ok().and_then(|port| port.trim().parse().ok());
        let started = match last {
            Some(port) => Proxy::start_at(folder, upstream, port).await,
            None => Err(ProxyError::None),
        };
        let proxy = match started {
            Err(ProxyError::None | ProxyError::Ended(_)) => Proxy::start_at(folder, upstream, 0).await?,
            other => other?,
        };
        let port = proxy.address().and_then(|address| Some(address.rsplit_once(':')?.1.to_owned()));
        std::fs::write(folder.join(PORT), port.ok_or(ProxyError::Nonsense)?).map_err(ProxyError::Start)?;
        Ok(proxy)
    }

    async fn start_at(folder: &Path, upstream: &str, port: u16) -> Result<Proxy, ProxyError> {
        let log = File::create(folder.join(LOG)).map_err(ProxyError::Start)?;
        let mut command = Command::new(program()?);
        command.args(["serve", "--upstream", upstream, "--ctl", CTL]);
        command.args(["--listen", &format!("tcp:127.0.0.1:{port}")]).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(ProxyError::Start)?).stderr(log);
        let mut child = command.spawn().map_err(ProxyError::Start)?;
        let end = Instant::now() + BEGIN;
        loop {
            match Proxy::found(folder).await {
                Ok(proxy) => return Ok(proxy),
                Err(ProxyError::None) => {}
                Err(error) => {
                    child.start_kill().map_err(ProxyError::Start)?;
                    return Err(error);
                }
            }
            if child.try_wait().map_err(ProxyError::Start)?.is_some() {
                return Err(ProxyError::Ended(last_words(folder)));
            }
            if Instant::now() > end {
                child.start_kill().map_err(ProxyError::Start)?;
                return Err(ProxyError::Late(BEGIN));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Where viewers come in: a host and a port.
    pub(super) fn address(&self) -> Option<String> {
        address_of(&self.status)
    }

    /// Waits until it has ended. (A conversation with it ends sooner, when viewers' address may not be free yet.)
    pub(super) async fn gone(&self) {
        self.end.readable().await.ok();
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`ProxyError::Late`] if it does not.
    pub(super) async fn end(self) -> Result<(), ProxyError> {
        kill_process(self.pid, Signal::TERM).ok();
        timeout(BEGIN, self.gone()).await.map_err(|_| ProxyError::Late(BEGIN))
    }
}

/// Where viewers come in, by a proxy's status.
pub(super) fn address_of(status: &Value) -> Option<String> {
    status["listening"].as_str()?.strip_prefix("tcp:").map(str::to_owned)
}

/// The last line that it said.
fn last_words(folder: &Path) -> String {
    let text = std::fs::read(folder.join(LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// Asks the proxy of an agent's folder something that it answers from memory.
///
/// # Errors
/// [`ProxyError`].
pub async fn ask(folder: &Path, question: &Value) -> Result<Value, ProxyError> {
    ask_within(folder, question, SOON).await
}

/// Asks for what takes time.
///
/// # Errors
/// [`ProxyError`].
pub async fn ask_within(folder: &Path, question: &Value, patience: Duration) -> Result<Value, ProxyError> {
    let mut stream = BufReader::new(tell(folder, question).await?);
    let line = timeout(patience, next_line(&mut stream, ANSWER_MAX)).await;
    let line = line.map_err(|_| ProxyError::Late(patience))??;
    let closed = || ProxyError::Io(io::ErrorKind::UnexpectedEof.into());
    let mut answer: Value =
        serde_json::from_slice(&line.ok_or_else(closed)?).map_err(|_| ProxyError::Nonsense)?;
    if let Some(why) = answer["error"].as_str() {
        return Err(ProxyError::Refused(why.to_owned()));
    }
    answer.get_mut("ok").map(Value::take).ok_or(ProxyError::Nonsense)
}

/// Tells it something and gives the stream on which it will answer; who does not wait for that drops it.
///
/// # Errors
/// [`ProxyError`].
pub(super) async fn tell(folder: &Path, question: &Value) -> Result<UnixStream, ProxyError> {
    let mut stream = reach(folder).await?;
    timeout(SOON, stream.write_all(format!("{question}\n").as_bytes()))
        .await
        .map_err(|_| ProxyError::Late(SOON))??;
    Ok(stream)
}

async fn reach(folder: &Path) -> Result<UnixStream, ProxyError> {
    connect(folder, CTL).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ProxyError::None,
        _ => ProxyError::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::net::UnixListener;

    /// Asks one that answers so.
    async fn answered(answer: &'static str) -> Result<Value, ProxyError> {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(CTL)).unwrap();
        tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            next_line(&mut stream, ANSWER_MAX).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        ask(folder.path(), &json!({ "do": "status" })).await
    }

    #[tokio::test]
    async fn answers_refusals_nonsense_and_nobody_are_told_apart() {
        assert_eq!(answered("{\"ok\":{\"viewers\":1}}\n").await.unwrap()["viewers"], 1);
        let refused = answered("{\"error\":\"no server\"}\n").await.unwrap_err();
        assert_eq!(refused.to_string(), "the display proxy: no server");
        for odd in ["7\n", "{}\n", "x\n"] {
            assert!(matches!(answered(odd).await, Err(ProxyError::Nonsense)), "{odd}");
        }
        assert!(matches!(answered("").await, Err(ProxyError::Io(_))));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(folder.path(), &json!(1)).await, Err(ProxyError::None)));
        assert!(matches!(ask(&folder.path().join("none"), &json!(1)).await, Err(ProxyError::None)));
    }

    /// Takes some conversations and ends them without a word, as one that dies; then the next one is there, or none.
    async fn dies(listener: UnixListener, is_followed: bool) {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        if !is_followed {
            return;
        }
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            tokio::spawn(async move {
                while next_line(&mut stream, ANSWER_MAX).await.unwrap().is_some() {
                    stream.write_all(b"{\"ok\":{\"viewers\":1}}\n").await.unwrap();
                }
            });
        }
    }

    /// A process that answers how it stands and ends each conversation; it lives on with what it listens at.
    const LINGERS: &str = "
import socket
at = socket.socket(socket.AF_UNIX)
at.bind('view.ctl')
at.listen()
while True:
    asked, _ = at.accept()
    if asked.recv(100):
        asked.sendall(b'{\"ok\":{}}\\n')
    asked.close()";

    #[tokio::test]
    async fn one_that_has_ended_its_conversations_is_not_gone_before_its_process_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-c", LINGERS]).current_dir(folder.path()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let found = async {
            loop {
                match Proxy::found(folder.path()).await {
                    Err(ProxyError::None) => tokio::time::sleep(LOOK).await,
                    other => return other,
                }
            }
        };
        let proxy = timeout(Duration::from_secs(60), found).await.unwrap().unwrap();
        assert!(timeout(Duration::from_millis(300), proxy.gone()).await.is_err(), "it is there");
        child.start_kill().unwrap();
        timeout(Duration::from_secs(60), proxy.gone()).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_just_ending_is_none_and_the_next_one_is_found() {
        for is_followed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join(CTL)).unwrap();
            tokio::spawn(dies(listener, is_followed));
            let found = Proxy::found(folder.path()).await;
            match found {
                Ok(proxy) => assert!(is_followed && proxy.status["viewers"] == 1, "{:?}", proxy.status),
                Err(error) => assert!(!is_followed && matches!(error, ProxyError::None), "{error}"),
            }
        }
    }
}
