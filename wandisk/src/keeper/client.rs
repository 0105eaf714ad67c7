//! The command's side of `control.sock`: finds the keeper or starts one, asks, shows progress.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use wandisk_store::{DiskDir, Home, Tombstone};

use super::commands::Command;
use super::control::{self, Line};
use crate::peer::error::{Code, Refusal};
use crate::peer::message::Progress;

/// A keeper that runs may be busy starting; this long its answer is waited for.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A keeper that was told to end has done so by then, nearly always.
const GIVES_WAY: Duration = Duration::from_secs(1);
/// Keepers that are asked, one after the other, before it is an error that none answers.
const TRIES: u32 = 5;
/// Lines of the log that an error shows.
const LOG_TAIL: usize = 3;

/// Connects to the disk's keeper, starting one where none runs.
///
/// # Errors
/// A [`Refusal`] that says why none could be started.
pub async fn connect(home: &std::path::Path, dir: &DiskDir) -> Result<UnixStream, Refusal> {
    if !dir.exists() {
        let name = dir.name();
        let refusal = Refusal::new(Code::NoDisk, format!("there is no disk named {name:?} at this site"));
        let buried = Home::open(home).ok().and_then(|home| Some((home.tombstone_named(name)?, home)));
        return Err(match buried {
            Some((tombstone, home)) => refusal.hint(removed(&tombstone, &home)),
            None => refusal.hint("see `wandisk ls`"),
        });
    }
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        match control::connect(&dir.control_socket()).await {
            Ok(stream) => return Ok(stream),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) => {}
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

/// Where a disk was when its replica here was removed.
fn removed(tombstone: &Tombstone, home: &Home) -> String {
    let Some(site) = tombstone.released_to else {
        return "its replica here was removed, and it was resident here".to_owned();
    };
    let name = home.site_by_id(site).map_or_else(|| site.to_string(), |s| s.name.clone());
    format!(
        "its replica here was removed; it was resident at {name} (epoch {}): `wandisk sync` there makes a new one",
        tombstone.epoch
    )
}

/// Set by sshd where `authorized_keys` forces a command.
const FORCED: &str = "SSH_ORIGINAL_COMMAND";

/// Variables that sshd and the login set, not the peer.
fn is_ours(name: &str) -> bool {
    ["HOME", "LOGNAME", "PATH", "SHELL", "TZ", "USER", "XDG_RUNTIME_DIR"].contains(&name)
}

enum Started {
    Ready,
    Kept,
}

/// Starts a background keeper; it says `ready` on its standard output when its socket is there.
async fn start(home: &std::path::Path, dir: &DiskDir) -> Result<Started, Refusal> {
    let failed = |e: io::Error| Refusal::failed(&e);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = tokio::process::Command::new(program);
    if std::env::var_os(FORCED).is_some() {
        // Behind a forced command the environment is the peer's as far as sshd lets it: no agent, no settings of its.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours)));
    }
    let mut child = command
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
    if lines.is_empty() {
        String::new()
    } else {
        format!(": {}", lines.into_iter().rev().collect::<Vec<_>>().join("; "))
    }
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
    let mut text = serde_json::to_string(command).map_err(|e| Refusal::failed(&e))?;
    text.push('\n');
    let mut tries = 0;
    loop {
        tries += 1;
        match run_once(home, dir, &text, &mut on_progress).await {
            // A keeper that was about to end, or that ended to open the disk anew: the next one is asked.
            Err(Ended::Unanswered | Ended::Again(_)) if tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(Ended::Again(refusal) | Ended::Refused(refusal)) => return Err(refusal),
            Err(Ended::Unanswered) => {
                let text = format!("the disk's keeper ended before it answered{}", log_tail(dir));
                return Err(Refusal::new(Code::Failed, text)
                    .hint("run the command again: what was durable is not lost"));
            }
            Ok(value) => return Ok(value),
        }
    }
}

enum Ended {
    /// The connection ended before a line came.
    Unanswered,
    Again(Refusal),
    Refused(Refusal),
}

async fn run_once(
    home: &std::path::Path,
    dir: &DiskDir,
    text: &str,
    on_progress: &mut impl FnMut(Progress),
) -> Result<Value, Ended> {
    let stream = connect(home, dir).await.map_err(Ended::Refused)?;
    ask(stream, dir, text, on_progress).await
}

async fn ask(
    stream: UnixStream,
    dir: &DiskDir,
    text: &str,
    on_progress: &mut impl FnMut(Progress),
) -> Result<Value, Ended> {
    let (read, mut write) = stream.into_split();
    write.write_all(text.as_bytes()).await.map_err(|_| Ended::Unanswered)?;
    let mut reader = BufReader::new(read);
    let mut answered = false;
    loop {
        let line = match control::read_line(&mut reader).await {
            Ok(line) => line,
            Err(_) if !answered => return Err(Ended::Unanswered),
            Err(e) => {
                let text = format!("the disk's keeper ended in the middle ({e}){}", log_tail(dir));
                let refusal = Refusal::new(Code::Failed, text);
                return Err(Ended::Refused(
                    refusal.hint("run the command again: what was durable is not lost"),
                ));
            }
        };
        answered = true;
        let line: Line = serde_json::from_str(&line).map_err(|e| Ended::Refused(Refusal::failed(&e)))?;
        match line {
            Line::Progress(progress) => on_progress(progress),
            Line::Ok(value) => return Ok(value),
            Line::Error(refusal) if refusal.code == Code::Again => return Err(Ended::Again(refusal)),
            Line::Error(refusal) => return Err(Ended::Refused(refusal)),
        }
    }
}

/// Waits until no keeper holds the disk any more, and holds it. One that peers have had started meanwhile is asked to give way.
///
/// # Errors
/// A [`Refusal`] if it does not end.
pub async fn take_over_lock(dir: &DiskDir) -> Result<wandisk_store::disk_dir::KeeperLock, Refusal> {
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    let mut asks_at = tokio::time::Instant::now() + GIVES_WAY;
    loop {
        match dir.lock() {
            Ok(lock) => return Ok(lock),
            Err(wandisk_store::OpenError::Kept) if tokio::time::Instant::now() < deadline => {
                if tokio::time::Instant::now() >= asks_at {
                    ask_to_quit(dir).await?;
                    asks_at = tokio::time::Instant::now() + GIVES_WAY;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => return Err(Refusal::failed(&e)),
        }
    }
}

/// Asks the keeper to end, if one listens. One that does not answer is not waited for.
async fn ask_to_quit(dir: &DiskDir) -> Result<(), Refusal> {
    let text = serde_json::to_string(&Command::Quit).map_err(|e| Refusal::failed(&e))? + "\n";
    let Ok(stream) = control::connect(&dir.control_socket()).await else { return Ok(()) };
    match tokio::time::timeout(GIVES_WAY, ask(stream, dir, &text, &mut |_| {})).await {
        Ok(Err(Ended::Refused(refusal))) => Err(refusal),
        Ok(Ok(_) | Err(Ended::Unanswered | Ended::Again(_))) | Err(_) => Ok(()),
    }
}
