//! `control.sock`: how commands of this site, and `serve` on behalf of peers, reach the keeper.
//!
//! The first line says what the connection is: `session` and a JSON [`SessionOrigin`] (a peer's session follows, spoken by
//! the peer layer); `pipes`, a number and a JSON [`SessionOrigin`] (so many bytes of a peer's session follow, the rest goes
//! over the two pipes that came with the line); or one JSON [`Command`]. A command is answered by lines of JSON: `{"progress":…}` any number of times, then `{"ok":…}` or
//! `{"error":{"code","message","hint"}}`.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::commands::Command;
use super::to_the_end::to_the_end;
use super::{Busy, Keeper};
use crate::peer::audit::SessionOrigin;
use crate::peer::error::Refusal;
use crate::peer::handed;
use crate::peer::limits::HELLO;
use crate::peer::message::Progress;

/// First word of a connection that carries a peer's session; a [`SessionOrigin`] follows on its line.
pub const SESSION: &str = "session";
/// First word of a connection with which a session's pipes come ([`handed`]); the number of bytes that were read from them
/// already and a [`SessionOrigin`] follow on its line.
pub const HANDED: &str = "pipes";
/// Longest line in bytes.
const LINE_MAX: u64 = 64 << 10;
/// Bytes of a session that are read before its pipes are handed over, at most: a hello and what frames it.
const HANDED_MAX: usize = 64 << 10;
/// Time for the first line. `serve` connects before it hears its dialler's hello.
const FIRST_LINE: Duration = Duration::from_secs(10).saturating_add(HELLO);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 256;

/// A line from the keeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// How far it is.
    Progress(Progress),
    /// It is done.
    Ok(Value),
    /// It is not.
    Error(Refusal),
}

/// A socket's path is limited to 108 bytes; the folder's file descriptor has a short one.
fn short_path(path: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = std::fs::File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((dir, short))
}

/// Listens at the disk's control socket. The caller is the keeper, so a socket that is there is a dead one's.
///
/// # Errors
/// Whatever the filesystem says.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, short) = short_path(path)?;
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to a disk's keeper.
///
/// # Errors
/// `NotFound` or `ConnectionRefused` where none runs.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_dir, short) = short_path(path)?;
    UnixStream::connect(short).await
}

/// Serves connections until `end`, and those that had connected by then: they are told that the keeper ends.
pub async fn serve(keeper: Arc<Keeper>, listener: UnixListener, end: oneshot::Receiver<()>) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut end = end.fuse();
    let mut ending = false;
    loop {
        let accepted = if ending {
            let Some(accepted) = listener.accept().now_or_never() else { return };
            accepted
        } else {
            tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut end => {
                    ending = true;
                    continue;
                }
            }
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(_) if ending => return,
            Err(e) => {
                tracing::warn!(error = %e, "a connection to the control socket failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let busy = keeper.busy();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let keeper = Arc::clone(&keeper);
        tokio::spawn(async move {
            if let Err(e) = connection(&keeper, busy, stream).await {
                tracing::debug!(error = %e, "a control connection ended early");
            }
            drop(place);
        });
    }
}

async fn connection(keeper: &Arc<Keeper>, busy: Busy, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let (read, pipes) = handed::Reading::of(read);
    let mut reader = BufReader::new(read);
    let line = tokio::time::timeout(FIRST_LINE, read_line(&mut reader)).await??;
    if let Some(told) = line.trim_end().strip_prefix(HANDED) {
        return session_over_pipes(keeper, busy, told.trim_start(), reader, pipes).await;
    }
    if let Some(origin) = line.trim_end().strip_prefix(SESSION) {
        // A line that is not understood permits nothing.
        let came: SessionOrigin = serde_json::from_str(origin.trim_start())?;
        // Sessions that have begun do not keep the keeper alive by themselves; their requests do.
        keeper.peers.accept(tokio::io::join(reader, write), came, busy, std::future::pending()).await;
        return Ok(());
    }
    if keeper.is_quitting() {
        let refusal = Refusal::new(crate::peer::error::Code::Again, "the disk's keeper is ending");
        return send(&mut write, &Line::Error(refusal)).await;
    }
    let command: Command = match serde_json::from_str(&line) {
        Ok(command) => command,
        Err(e) => {
            let refusal = Refusal::new(crate::peer::error::Code::Senseless, format!("not a command: {e}"));
            return send(&mut write, &Line::Error(refusal)).await;
        }
    };
    let (tell, mut hear) = tokio::sync::mpsc::channel::<Progress>(16);
    // Progress is news: when the listener is slow, the older news is left out.
    let report: super::Report = Arc::new(move |progress| drop(tell.try_send(progress)));
    let mut work = std::pin::pin!(work(keeper, command, &report));
    let mut byte = [0u8; 1];
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            Some(progress) = hear.recv() => send(&mut write, &Line::Progress(progress)).await?,
            // A caller went away (Ctrl-C).
            gone = reader.read(&mut byte) => if gone? == 0 { return Ok(()) },
        }
    };
    send(&mut write, &result.map_or_else(Line::Error, Line::Ok)).await
}

/// Runs a session over the pipes that came with a connection, until it ends or the connection does.
async fn session_over_pipes(
    keeper: &Arc<Keeper>,
    busy: Busy,
    told: &str,
    mut connection: BufReader<handed::Reading>,
    pipes: handed::Pipes,
) -> io::Result<()> {
    let senseless = || io::Error::new(io::ErrorKind::InvalidData, "no session is described");
    let (length, origin) = told.split_once(' ').ok_or_else(senseless)?;
    let length = length.parse().ok().filter(|length| *length <= HANDED_MAX).ok_or_else(senseless)?;
    // A line that is not understood permits nothing.
    let came: SessionOrigin = serde_json::from_str(origin)?;
    let (input, output) = pipes.take()?;
    let mut first = vec![0; length];
    tokio::time::timeout(FIRST_LINE, connection.read_exact(&mut first)).await??;
    let stream = tokio::io::join(io::Cursor::new(first).chain(input), output);
    // Nothing more is said over the connection.
    let gone = async move { drop(connection.read_u8().await) };
    keeper.peers.accept(stream, came, busy, gone).await;
    Ok(())
}

/// Does what was asked. Reports, and what only brings or compares bytes, end with their caller; everything else is done to
/// its end.
async fn work(keeper: &Arc<Keeper>, command: Command, report: &super::Report) -> Result<Value, Refusal> {
    if command.ends_with_its_caller() {
        return keeper.command(command, report).await;
    }
    let (keeper, report) = (Arc::clone(keeper), Arc::clone(report));
    to_the_end(async move {
        let _busy = keeper.busy();
        keeper.command(command, &report).await
    })
    .await
}

/// Reads one line of bounded length.
///
/// # Errors
/// `InvalidData` if it is longer.
pub async fn read_line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    let n = reader.take(LINE_MAX).read_line(&mut line).await?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long or was cut"));
    }
    Ok(line)
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await
}
