//! `ctl`: a unix socket (mode 0600) that takes one line of JSON a question and gives one a answer.
//!
//! `{"do":"status"}`, `{"do":"viewers"}`, `{"do":"gl"}`, `{"do":"glrenew"}` (with
//! `"to":ADDR`, to another desk), `{"do":"glopen","at":ADDR}`, `{"do":"glshut"}`, `{"do":"glleave"}`, `{"do":"prepare","to":ADDR}`, `{"do":"hold"}`, `{"do":"rehome"}` (with
//! `"to"`, or to what is prepared), `{"do":"cancel"}`. Answers are `{"ok":…}` or `{"error":"…"}`; prepare and rehome
//! answer when they are done.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::address::{Address, Listener};
use crate::gl::entrance::Entrance;
use crate::hub::{Ask, Ways};
use crate::link::Means;
use crate::rehome::Event;

/// Longest line, in bytes.
const LINE: u64 = 8 << 10;
/// Most conversations at once; others wait to be accepted.
const MOST: usize = 32;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// How it stands.
    Status {},
    /// Who looks.
    Viewers {},
    /// Programs that draw with OpenGL here.
    Gl {},
    /// Have them take other renderers.
    GlRenew {
        /// Those of the proxy at this address, as the agent reaches it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Listen for such programs, and for the watcher of their windows.
    GlOpen {
        /// Where, if no door is open yet.
        at: String,
    },
    /// Listen for them no longer.
    GlShut {},
    /// The same, and have all of them bring home what only their renderers have and go: another desk will be where this one is for
    /// them.
    GlLeave {},
    /// Load ahead.
    Prepare {
        /// The new server.
        to: String,
    },
    /// Keep input back until the next rehome is done, or a cancel.
    Hold {},
    /// Show the prepared one or `to`.
    Rehome {
        /// The new server, if it is not prepared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Stay.
    Cancel {},
}

/// Where viewers come in, as `status` tells it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Doors {
    /// The address of plain viewers.
    pub listening: String,
    /// What to type into a browser.
    pub browse: Option<String>,
    /// Where OpenGL programs of the agent come in, and who draws for them.
    #[serde(skip)]
    pub gl: Option<Entrance>,
}

/// Answers at `path` until accepting fails.
///
/// # Errors
/// What listening and accepting give.
pub async fn serve(path: &Path, doors: Doors, ways: Ways, means: Means) -> io::Result<()> {
    let listener = Address::Unix(path.to_owned()).listen().await?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    answer_all(listener, doors, ways, means).await
}

async fn answer_all(listener: Listener, doors: Doors, ways: Ways, means: Means) -> io::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.len() >= MOST {
            tasks.join_next().await;
        }
        let (stream, _) = listener.accept().await?;
        let (doors, ways, means) = (doors.clone(), ways.clone(), means.clone());
        tasks.spawn(async move {
            let (read, mut write) = tokio::io::split(stream);
            let mut lines = BufReader::new(read);
            loop {
                let mut line = Vec::new();
                let read = (&mut lines).take(LINE).read_until(b'\n', &mut line).await;
                if !read.is_ok_and(|len| len > 0) || line.last() != Some(&b'\n') {
                    return;
                }
                let said = match serde_json::from_slice(&line) {
                    Ok(command) => answer(command, &doors, &ways, &means).await,
                    Err(fault) => Err(format!("no command: {fault}")),
                };
                let mut said = match said {
                    Ok(value) => json!({ "ok": value }),
                    Err(why) => json!({ "error": why }),
                }
                .to_string();
                said.push('\n');
                if write.write_all(said.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        while tasks.try_join_next().is_some() {}
    }
}

async fn answer(command: Command, doors: &Doors, ways: &Ways, means: &Means) -> Result<Value, String> {
    let parse = |to: String| to.parse::<Address>().map_err(|fault| fault.to_string());
    let gl = || doors.gl.as_ref().ok_or_else(|| "this proxy draws no OpenGL".to_owned());
    let ask = match command {
        Command::Viewers {} => return Ok(viewers(means)),
        Command::Gl {} => return Ok(gl()?.renderers().told()),
        Command::GlRenew { to } => {
            let to = to.map(parse).transpose()?;
            return Ok(json!({ "told": gl()?.renderers().renew(to.as_ref()) }));
        }
        Command::GlOpen { at } => {
            let at = parse(at)?;
            let open = gl()?.open(&at).await.map_err(|fault| format!("listening at {at}: {fault}"))?;
            return Ok(json!({ "at": open }));
        }
        Command::GlLeave {} => {
            let (told, stay) = gl()?.leave().await;
            return Ok(json!({ "told": told, "stay": stay }));
        }
        Command::GlShut {} => return Ok(json!({ "was_open": gl()?.shut() })),
        Command::Status {} => Ask::Status,
        Command::Hold {} => Ask::Hold,
        Command::Prepare { to } => Ask::Change(Event::Prepare(parse(to)?)),
        Command::Rehome { to } => Ask::Change(Event::Rehome(to.map(parse).transpose()?)),
        Command::Cancel {} => Ask::Change(Event::Cancel),
    };
    let (place, answer) = oneshot::channel();
    let ended = |_| "the proxy ends".to_owned();
    ways.ask.send((ask, place)).await.map_err(|_| "the proxy ends".to_owned())?;
    let status = answer.await.map_err(ended)??;
    let mut status = serde_json::to_value(status).map_err(|fault| fault.to_string())?;
    if let Some(fields) = status.as_object_mut() {
        let shown = means.display.lock();
        fields.insert("listening".to_owned(), doors.listening.clone().into());
        fields.insert("browse".to_owned(), doors.browse.clone().into());
        fields.insert("gl_listening".to_owned(), doors.gl.as_ref().and_then(Entrance::at).into());
        fields.insert("viewers".to_owned(), shown.viewers.len().into());
        fields.insert("last_viewer_end".to_owned(), shown.viewer_end.clone().into());
        drop(shown);
        let readings = serde_json::to_value(means.tap.readings()).map_err(|fault| fault.to_string())?;
        fields.insert("readings".to_owned(), readings);
    }
    Ok(status)
}

fn viewers(means: &Means) -> Value {
    let shown = means.display.lock();
    let list = shown.viewers.iter().map(|(id, viewer)| {
        let owed = viewer.debt.damage.area();
        json!({ "id": id, "from": viewer.from, "updates": viewer.updates, "bytes": viewer.bytes, "owed_pixels": owed })
    });
    list.collect()
}

/// Asks the proxy at `path` and gives its answer.
///
/// # Errors
/// When nobody answers there, or with the reason why it was not done.
pub async fn ask(path: &Path, command: &Command) -> Result<Value, AskError> {
    let mut stream = UnixStream::connect(path).await?;
    let mut line = serde_json::to_vec(command).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut said = String::new();
    BufReader::new(stream.take(1 << 20)).read_line(&mut said).await?;
    let mut said: Value = serde_json::from_str(&said).map_err(io::Error::from)?;
    match said.get("error").and_then(Value::as_str) {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None => Ok(said["ok"].take()),
    }
}

/// Why a question had no good answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket.
    #[error("the proxy does not answer: {0}")]
    Io(#[from] io::Error),
    /// The proxy said no.
    #[error("{0}")]
    Refused(String),
}
