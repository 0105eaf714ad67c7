//! How supervisors are asked: a line of JSON, then lines of JSON until one that is an end.
//!
//! At this site over the socket in the agent's folder; at another one through `snowbird host --stdio`, which begins with an
//! [`Opening`] and then carries bytes. Both ends bound each line and each wait.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, select_ok};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use uuid::Uuid;

use crate::agent::automatic::Settings;
use crate::agent::{Agent, BootFile};
pub use crate::ask_error::AskError;
use crate::lines::next_line;
use crate::sites::{Link, Site};
use crate::supervisor::process::COMMAND;
use crate::words::heard;

mod questions;

pub use questions::{entrust, facts, inventory_of, map_of, open_desk};

/// Longest line, either way: a description and some words.
pub const LINE_MAX: usize = 256 << 10;
/// The version of what is said between sites.
pub const PROTOCOL: u32 = 4;
/// The socket in an agent's folder.
pub const SOCKET: &str = "control.sock";
/// How long a supervisor may take to begin: it waits for a QEMU that is there already.
const BEGIN: Duration = Duration::from_secs(45);
/// Until it is looked again whether it has begun, at first and at most.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_MOST: Duration = Duration::from_millis(500);
/// What processes of an agent said before they died, in its folder; only a defect makes them say anything.
const LAST_WORDS: &str = "daemons.log";
const LAST_WORDS_MAX: u64 = 64 << 10;
/// How long another site may take to answer at all.
const REACH: Duration = Duration::from_secs(30);
/// A connection that others use, too, may be dead: when nothing has come over it for this long, the site is dialled beside it.
const SHARED_QUIET: Duration = Duration::from_secs(5);

/// What a supervisor is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// How does it stand?
    Status,
    /// What do its processors want? Told line after line, as events of `sensors`, until nobody hears.
    Sense {
        /// Time from one line to the next.
        every_ms: u64,
    },
    /// How does it stand, now and after each change, a move's progress included, until it is off there? Each is told as news.
    Follow,
    /// Begin, or go on.
    Launch,
    /// The same, also if it left for another site: that one is lost, and its disk is here.
    LaunchHere,
    /// Press the power button, and wait.
    Shutdown,
    /// End now.
    Kill,
    /// Have this file of its site, or nothing, in the CD drive.
    Cd {
        /// Which.
        file: Option<BootFile>,
        /// Also if the guest uses what is there.
        force: bool,
    },
    /// Move to another site.
    Migrate {
        /// Its name, at the site that is asked.
        to: String,
    },
    /// Stand, with memory in a file.
    Suspend,
    /// Go on with the memory of that file.
    Resume {
        /// At this site; `None`: here.
        at: Option<String>,
        /// Also if the disk was elsewhere in between.
        force: bool,
    },
    /// Do not move, or suspend, after all.
    Cancel,
    /// By another supervisor: get ready.
    Arrive {
        /// Which try.
        attempt: Uuid,
        /// Its site.
        from: String,
        /// What it may be silent for between two words, in seconds.
        #[serde(default = "patience_s")]
        patience_s: u64,
    },
    /// By another supervisor: start.
    Go {
        /// Which try.
        attempt: Uuid,
    },
    /// By this site's end of a link: all has been sent to QEMU. Has it taken it?
    Loaded {
        /// Which try.
        attempt: Uuid,
    },
    /// By another supervisor: nothing comes.
    GiveUp {
        /// Which try.
        attempt: Uuid,
    },
}

/// What the source of a move may be silent for unless it says otherwise, in seconds: longer than its longest way from one word to
/// the next, which is from the answer to [`Request::Arrive`] to the stream's beginning.
#[must_use]
pub fn patience_s() -> u64 {
    60
}

/// What a stream through `snowbird host --stdio` is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// [`PROTOCOL`].
    pub snowbird: u32,
    /// Which agent.
    pub agent: String,
    /// What to connect to.
    pub open: Open,
    /// What the agent is, for a site that may not know it.
    pub document: Option<Agent>,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Open {
    /// The supervisor.
    Control,
    /// The QEMU that waits for a migration's stream, which comes packed.
    Memory,
    /// Nothing: the answer has the host's [`crate::facts::Facts`].
    Facts,
    /// Nothing: the answer has what the site has for agents ([`crate::inventory::Inventory`]).
    Inventory,
    /// The QEMU's screen, RFB.
    Display,
    /// A VNC server inside the agent, by its network; asked at its home. The answer is its port.
    Guest {
        /// Its port; `None`: the first that answers.
        port: Option<u16>,
    },
    /// Itself: what is said comes back, so that the line can be measured.
    Echo,
    /// All supervisors: how agents stand is asked and answered by numbers ([`crate::exchange`]).
    Many,
    /// The same QEMU, for the image of a suspended agent: `len_bytes` follow, and then an end is said.
    Image {
        /// Which try.
        attempt: Uuid,
        /// What follows.
        len_bytes: u64,
        /// Unpacked.
        unpacked_bytes: u64,
        /// Of what follows, in hex.
        blake3: String,
    },
    /// The agent's switch.
    Network,
    /// Nothing: all that the site has of the agent in the document is removed.
    Forget,
    /// Nothing: the answer has the map of a disk's replica there, as `wandisk map` tells it.
    Map {
        /// The disk.
        disk: String,
        /// Cells at most.
        cells: u32,
    },
    /// Nothing: the site, which is the agent's home, keeps its display, and draws what its OpenGL programs draw.
    Desk {
        /// By this door; none is opened yet without.
        port: Option<u16>,
    },
    /// The user's word about moves, and what was learnt, for the agent's new home.
    Automatic {
        /// The word.
        settings: Settings,
        /// As [`crate::agent::store::Store::learnt`] keeps it.
        learnt: Option<String>,
    },
}

/// Asks, and takes lines until the end; news on the way go to `news`.
///
/// # Errors
/// [`AskError`], at the latest when for `patience` nothing was said.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    request: &impl Serialize,
    patience: Duration,
    news: impl FnMut(&Value),
) -> Result<Value, AskError> {
    say(stream, request).await?;
    read_end(stream, patience, news).await
}

/// Asks; what is said to it is heard by [`hear`].
///
/// # Errors
/// The stream's.
pub async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    request: &impl Serialize,
) -> Result<(), AskError> {
    let mut line = serde_json::to_vec(request).map_err(|_| AskError::Nonsense)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await?;
    Ok(stream.get_mut().flush().await?)
}

/// A line that is said to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// More follows.
    News(Value),
    /// It ended well.
    End(Value),
}

/// The next line. Whoever takes his time holds the other side back: nothing is read before it is asked for (but what fits in
/// the stream's buffers).
///
/// # Errors
/// [`AskError`], at the latest after `patience`.
pub async fn hear<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    patience: Duration,
) -> Result<Said, AskError> {
    let line =
        timeout(patience, next_line(stream, LINE_MAX)).await.map_err(|_| AskError::Late(patience))??;
    said_in(&serde_json::from_slice(&line.ok_or(AskError::Closed)?).map_err(|_| AskError::Nonsense)?)
}

/// What is said in a line. A sentence is for people's eyes, whoever says it: bounded, and of one line.
pub(crate) fn said_in(line: &Value) -> Result<Said, AskError> {
    if let Some(error) = line.get("error") {
        let word = |name: &str| error[name].as_str().map(heard);
        let message = word("message").ok_or(AskError::Nonsense)?;
        return Err(AskError::Refused { message, hint: word("hint") });
    }
    match (line.get("ok"), line.get("progress")) {
        (Some(value), _) => Ok(Said::End(value.clone())),
        (None, Some(progress)) => Ok(Said::News(progress.clone())),
        (None, None) => Err(AskError::Nonsense),
    }
}

/// Takes lines until the end; news on the way go to `news`.
///
/// # Errors
/// [`AskError`], at the latest when for `patience` nothing was said.
pub async fn read_end<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    patience: Duration,
    mut news: impl FnMut(&Value),
) -> Result<Value, AskError> {
    loop {
        match hear(stream, patience).await? {
            Said::News(progress) => news(&progress),
            Said::End(value) => return Ok(value),
        }
    }
}

/// A line that ends an exchange well.
#[must_use]
pub fn done(value: &Value) -> String {
    format!("{}\n", json!({ "ok": value }))
}

/// A line that ends it badly.
#[must_use]
pub fn failed(message: &str, hint: Option<&str>) -> String {
    format!("{}\n", json!({ "error": { "message": message, "hint": hint } }))
}

/// The folder of an agent at a site.
#[must_use]
pub fn folder(home: &Path, agent: &str) -> PathBuf {
    home.join("agents").join(agent)
}

/// Connects to a socket in an agent's folder, however long the folder's name is.
///
/// # Errors
/// The socket's.
pub async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    // A unix socket's address holds 107 bytes; this one is short.
    let open = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", open.as_raw_fd())).await
}

/// Where a process of an agent says why it dies.
fn last_words(folder: &Path) -> Stdio {
    let path = folder.join(LAST_WORDS);
    let long = std::fs::metadata(&path).is_ok_and(|found| found.len() > LAST_WORDS_MAX);
    if long {
        std::fs::remove_file(&path).ok();
    }
    let file = std::fs::File::options().append(true).create(true).open(&path);
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// How this process starts others of its kind.
#[derive(Clone, Debug)]
pub struct Here {
    /// The site's folder.
    pub home: PathBuf,
    /// The program `wandisk`, if it was named.
    pub wandisk: Option<PathBuf>,
}

impl Here {
    /// A connection to an agent's supervisor, which is started where none runs.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn supervisor(&self, agent: &str) -> Result<UnixStream, AskError> {
        self.reach(COMMAND, agent, SOCKET).await
    }

    /// A connection to a socket of an agent's switch, which is started where none runs.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn switch(&self, agent: &str, socket: &str) -> Result<UnixStream, AskError> {
        self.reach("switch", agent, socket).await
    }

    async fn reach(&self, process: &str, agent: &str, socket: &str) -> Result<UnixStream, AskError> {
        let folder = folder(&self.home, agent);
        let end = Instant::now() + BEGIN;
        let mut pause = LOOK;
        loop {
            if let Ok(stream) = connect(&folder, socket).await {
                return Ok(stream);
            }
            self.daemon(process, agent).await?;
            if Instant::now() > end {
                return Err(AskError::Late(BEGIN));
            }
            tokio::time::sleep(pause).await;
            pause = LOOK_MOST.min(pause * 2);
        }
    }

    /// Starts a process of an agent, by its command, and waits until it says that it is ready, or that there is one.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn daemon(&self, command_word: &str, agent: &str) -> Result<(), AskError> {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.arg("--home").arg(&self.home);
        if let Some(wandisk) = &self.wandisk {
            command.arg("--wandisk").arg(wandisk);
        }
        command.args([command_word, agent]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(last_words(&folder(&self.home, agent)));
        let mut child = command.spawn()?;
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout.take(4096));
            timeout(BEGIN, stdout.read_line(&mut said)).await.map_err(|_| AskError::Late(BEGIN))??;
        }
        match said.trim_end().split_once(' ').unwrap_or((said.trim_end(), "")) {
            ("ready" | "kept", _) => Ok(()),
            ("failed", why) => Err(AskError::Start(why.to_owned())),
            _ => Err(AskError::Start("it said nothing".to_owned())),
        }
    }

    /// Asks this site's supervisor of an agent.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &self,
        agent: &str,
        request: &Request,
        patience: Duration,
        mut news: impl FnMut(&Value),
    ) -> Result<Value, AskError> {
        let moves = matches!(request, Request::Migrate { .. } | Request::Resume { at: Some(_), .. });
        for last in [false, true] {
            let mut stream = BufReader::new(self.supervisor(agent).await?);
            match ask(&mut stream, request, patience, &mut news).await {
                // It was just ending, and the next one answers. (A move may have begun: it is not asked for twice.)
                Err(AskError::Closed | AskError::Io(_)) if !last && !moves => {}
                other => return other,
            }
        }
        Err(AskError::Closed)
    }
}

/// Opens a stream to an agent at another site.
///
/// # Errors
/// [`AskError`].
pub async fn open(site: &Site, opening: &Opening) -> Result<BufReader<Link>, AskError> {
    Ok(opened(site, opening).await?.0)
}

/// As [`open`], for what is short or mostly waits: over a connection that such streams share, where the link has one
/// ([`Site::dial_shared`]).
///
/// # Errors
/// [`AskError`].
pub async fn open_soon(site: &Site, opening: &Opening) -> Result<BufReader<Link>, AskError> {
    let Some((link, was_there)) = site.dial_shared().await? else { return open(site, opening).await };
    let mut shared = Box::pin(settled(opened_over(site, link, opening)));
    if !was_there {
        return shared.await?;
    }
    match timeout(SHARED_QUIET, &mut shared).await {
        Ok(Ok(settled)) => settled,
        Ok(Err(_)) => open(site, opening).await,
        Err(_) => {
            let own = Box::pin(settled(opened(site, opening)));
            select_ok([shared as BoxFuture<'_, _>, own]).await?.0
        }
    }
}

/// What the other site said, be it a no; an error where it said nothing.
async fn settled(
    opened: impl Future<Output = Result<(BufReader<Link>, Value), AskError>>,
) -> Result<Result<BufReader<Link>, AskError>, AskError> {
    match opened.await {
        Ok((stream, _)) => Ok(Ok(stream)),
        Err(refused @ AskError::Refused { .. }) => Ok(Err(refused)),
        Err(error) => Err(error),
    }
}

/// Opens a stream to another site, and gives what it said first.
///
/// # Errors
/// [`AskError`].
pub async fn opened(site: &Site, opening: &Opening) -> Result<(BufReader<Link>, Value), AskError> {
    opened_over(site, site.dial()?, opening).await
}

async fn opened_over(
    site: &Site,
    link: Link,
    opening: &Opening,
) -> Result<(BufReader<Link>, Value), AskError> {
    let mut stream = BufReader::new(link);
    match ask(&mut stream, opening, REACH, |_| ()).await {
        Ok(answer) => Ok((stream, answer)),
        Err(refused @ AskError::Refused { .. }) => Err(refused.at(&site.name)),
        Err(source) => Err(AskError::Unreachable { site: site.name.clone(), source: Box::new(source) }),
    }
}

/// Asks the supervisor of an agent at another site.
///
/// # Errors
/// [`AskError`].
pub async fn ask_far(
    site: &Site,
    agent: &str,
    document: Option<&Agent>,
    request: &Request,
    patience: Duration,
    news: impl FnMut(&Value),
) -> Result<Value, AskError> {
    let opening = Opening {
        snowbird: PROTOCOL,
        agent: agent.to_owned(),
        open: Open::Control,
        document: document.cloned(),
    };
    let mut stream = open(site, &opening).await?;
    ask(&mut stream, request, patience, news).await.map_err(|error| error.at(&site.name))
}

/// As [`ask_far`], by [`open_soon`].
///
/// # Errors
/// [`AskError`].
pub async fn ask_soon(
    site: &Site,
    agent: &str,
    request: &Request,
    patience: Duration,
    news: impl FnMut(&Value),
) -> Result<Value, AskError> {
    let opening =
        Opening { snowbird: PROTOCOL, agent: agent.to_owned(), open: Open::Control, document: None };
    let mut stream = open_soon(site, &opening).await?;
    ask(&mut stream, request, patience, news).await.map_err(|error| error.at(&site.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    async fn answered(lines: &'static str) -> (Result<Value, AskError>, Vec<Value>) {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        tokio::spawn(async move {
            let mut reader = BufReader::new(&mut far);
            next_line(&mut reader, LINE_MAX).await.unwrap();
            far.write_all(lines.as_bytes()).await.unwrap();
        });
        let mut news = Vec::new();
        let result = ask(&mut BufReader::new(near), &Request::Status, SOON, |n| news.push(n.clone())).await;
        (result, news)
    }

    #[tokio::test]
    async fn news_come_before_the_end_and_ends_are_told_apart() {
        let (result, news) = answered("{\"progress\": 1}\n{\"progress\": 2}\n{\"ok\": [3]}\n").await;
        assert_eq!((result.unwrap(), news), (json!([3]), vec![json!(1), json!(2)]));
        let (result, _) = answered("{\"error\": {\"message\": \"no\", \"hint\": null}}\n").await;
        assert_eq!(result.unwrap_err().to_string(), "no");
        assert!(matches!(answered("").await.0, Err(AskError::Closed)));
        for odd in ["7\n", "{}\n", "x\n", "{\"error\": {}}\n"] {
            assert!(matches!(answered(odd).await.0, Err(AskError::Nonsense)), "{odd}");
        }
    }

    #[test]
    fn requests_are_words_that_people_can_read() {
        let line = serde_json::to_string(&Request::Migrate { to: "b".to_owned() }).unwrap();
        assert_eq!(line, "{\"do\":\"migrate\",\"to\":\"b\"}");
    }
}
