//! The command's side of `control.sock`: finds the keeper or starts one, asks, shows progress.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use wandisk_store::DiskDir;

use super::commands::Command;
use super::control::{self, Line};
use crate::peer::error::{Code, Refusal};
use crate::peer::message::Progress;

/// A keeper that runs may be busy starting; this long its answer is waited for.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Lines of the log that an error shows.
const LOG_TAIL: usize = 3;

/// Connects to the disk's keeper, starting one where none runs.
///
/// # Errors
/// A [`Refusal`] that says why none could be started.
pub async fn connect(home: &std::path::Path, dir: &DiskDir) -> Result<UnixStream, Refusal> {
    if !dir.exists() {
        let name = dir.name();
        return Err(Refusal::new(Code::NoDisk, format!("there is no disk named {name:?} at this site"))
            .hint("see `wandisk ls`"));
    }
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match control::connect(&dir.control_socket()).await {
            Ok(stream) => return Ok(stream),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(e) => return Err(Refusal::failed(&e)),
        }
        match start(home, dir).await? {
            Started::Ready => {}
            // Somebody else's keeper holds the lock: starting, or about to end.
            Started::Kept if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Started::Kept => {
                return Err(Refusal::new(Code::Failed, "the disk's keeper runs but does not answer")
                    .hint(format!("see {}", dir.log_path().display())));
            }
        }
    }
}

enum Started {
    Ready,
    Kept,
}

/// Starts a background keeper; it says `ready` on its standard output when its socket is there.
async fn start(home: &std::path::Path, dir: &DiskDir) -> Result<Started, Refusal> {
    let failed = |e: io::Error| Refusal::failed(&e);
    let program = std::env::current_exe().map_err(failed)?;
    let mut child = tokio::process::Command::new(program)
        .arg("--home")
        .arg(home)
        .args(["keeper", dir.name()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let Some(stdout) = child.stdout.take() else { return Err(failed(io::ErrorKind::BrokenPipe.into())) };
    let mut reader = BufReader::new(stdout);
    let line = control::read_line(&mut reader).await.unwrap_or_default();
    match line.trim_end() {
        "ready" => Ok(Started::Ready),
        "kept" => Ok(Started::Kept),
        other => {
            let refusal = serde_json::from_str::<Refusal>(other);
            Err(refusal.unwrap_or_else(|_| {
                Refusal::new(Code::Failed, format!("the disk's keeper did not start{}", log_tail(dir)))
                    .hint(format!("see {}", dir.log_path().display()))
            }))
        }
    }
}

fn log_tail(dir: &DiskDir) -> String {
    let text = std::fs::read_to_string(dir.log_path()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(LOG_TAIL).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.into_iter().rev().collect::<Vec<_>>().join("; ")) }
}

/// Asks the keeper to carry a command out.
///
/// # Errors
/// What it refused.
pub async fn run(
    home: &std::path::Path,
    dir: &DiskDir,
    command: &Command,
    mut on_progress: impl FnMut(Progress),
) -> Result<Value, Refusal> {
    let stream = connect(home, dir).await?;
    let (read, mut write) = stream.into_split();
    let mut text = serde_json::to_string(command).map_err(|e| Refusal::failed(&e))?;
    text.push('\n');
    write.write_all(text.as_bytes()).await.map_err(|e| Refusal::failed(&e))?;
    let mut reader = BufReader::new(read);
    loop {
        let line = control::read_line(&mut reader).await.map_err(|e| {
            Refusal::new(Code::Failed, format!("the disk's keeper ended before it answered ({e}){}", log_tail(dir)))
                .hint("run the command again: what was durable is not lost")
        })?;
        let line: Line = serde_json::from_str(&line).map_err(|e| Refusal::failed(&e))?;
        match line {
            Line::Progress(progress) => on_progress(progress),
            Line::Ok(value) => return Ok(value),
            Line::Error(refusal) => return Err(refusal),
        }
    }
}

/// Waits until no keeper holds the disk any more, and holds it.
///
/// # Errors
/// A [`Refusal`] if it does not end.
pub async fn take_over_lock(dir: &DiskDir) -> Result<wandisk_store::disk_dir::KeeperLock, Refusal> {
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match dir.lock() {
            Ok(lock) => return Ok(lock),
            Err(wandisk_store::OpenError::Kept) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => return Err(Refusal::failed(&e)),
        }
    }
}
