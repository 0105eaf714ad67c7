//! The keeper as a process: opens the disk, listens, ends in order.
//!
//! Invariant: a keeper whose folder is no longer at its path ends, and takes no socket away but its own: another disk may be at
//! that path by then, with a keeper of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use wandisk_store::disk_dir::{CONTROL_SOCKET, KeeperLock};
use wandisk_store::{DiskDir, Folder, Home, is_no_space};

use super::ending::{Ending, Step};
use super::{AttachOptions, AttachReport, Keeper, control};
use crate::engine::Engine;
use crate::peer::error::Refusal;

/// A keeper that nobody asks anything, and whose resident has no session with it nor was cut off, ends after this time.
const IDLE: Duration = Duration::from_secs(5);
/// How long commands and peers' requests may take to end when the keeper does.
const DRAIN: Duration = Duration::from_secs(20);
/// How often it looks whether it may end.
const LOOK: Duration = Duration::from_millis(500);
/// The same while the disk is attached, when only a folder that is gone can end it unasked: what makes nobody wait must not
/// cost what works at the disk.
const LOOK_ATTACHED: Duration = Duration::from_secs(4);

/// A keeper that listens.
#[derive(Debug)]
pub struct Running {
    /// The keeper.
    pub keeper: Arc<Keeper>,
    /// Where its lock and its socket lie.
    folder: Folder,
    serving: tokio::task::JoinHandle<()>,
    end_serving: oneshot::Sender<()>,
    housekeeping: tokio::task::JoinHandle<()>,
    merging: tokio::task::JoinHandle<()>,
    scrubbing: tokio::task::JoinHandle<()>,
    keeping_trace: tokio::task::JoinHandle<()>,
    redialling: tokio::task::JoinHandle<()>,
}

/// Opens the disk and listens at its control socket.
///
/// # Errors
/// A [`Refusal`] for the command that wanted it.
pub async fn start(home: Home, dir: &DiskDir, lock: KeeperLock) -> Result<Running, Refusal> {
    let folder = lock.folder().clone();
    let engine = Engine::open(dir, lock, tokio::runtime::Handle::current()).await;
    let engine = engine.map_err(|e| not_started(dir, &e, e.wants_room()))?;
    let listener = control::listen(&dir.control_socket());
    let listener = listener.map_err(|e| not_started(dir, &e, is_no_space(&e)))?;
    let keeper = Keeper::new(home, engine);
    let (end_serving, end) = oneshot::channel();
    let serving = tokio::spawn(control::serve(Arc::clone(&keeper), listener, end));
    let housekeeping = tokio::spawn(Arc::clone(&keeper.engine).housekeeping());
    let scrubbing = tokio::spawn(Arc::clone(&keeper).scrub_from_time_to_time());
    let merging = tokio::spawn(Arc::clone(&keeper.engine).merge_overlays());
    let keeping_trace = tokio::spawn(Arc::clone(&keeper).keep_trace_from_time_to_time());
    let redialling = tokio::spawn(Arc::clone(&keeper).dial_again_after_cuts());
    Ok(Running {
        keeper,
        folder,
        serving,
        end_serving,
        housekeeping,
        merging,
        scrubbing,
        keeping_trace,
        redialling,
    })
}

/// Why there is no keeper, and what to do where its disk's filesystem is full.
fn not_started(dir: &DiskDir, error: &(dyn std::error::Error + 'static), is_full: bool) -> Refusal {
    let refusal = Refusal::failed(error);
    if !is_full {
        return refusal;
    }
    let folder = dir.path().display();
    refusal.hint(format!("make room in the filesystem of {folder}, which is full, and run the command again"))
}

impl Running {
    /// Runs until told to end, signalled, no longer needed, or the disk's folder is gone. A keeper in the foreground is
    /// needed as long as the disk is attached; one in the background until nobody has asked for a while.
    pub async fn until_end(self, foreground: bool) {
        let (mut term, mut int) =
            (signal(SignalKind::terminate()).ok(), signal(SignalKind::interrupt()).ok());
        loop {
            // While it is being attached or detached nobody waits for that here.
            let is_attached = self.keeper.attached.try_lock().is_ok_and(|attached| attached.is_some());
            let look = if is_attached { LOOK_ATTACHED } else { LOOK };
            tokio::select! {
                () = tokio::time::sleep(look) => {}
                () = self.keeper.end_bell.notified() => {}
                () = next(&mut term) => break,
                () = next(&mut int) => break,
            }
            if self.keeper.is_quitting() {
                break;
            }
            if !self.has_folder() {
                tracing::warn!("the disk's folder is gone");
                break;
            }
            let needless = if foreground {
                self.keeper.attached_as().await.is_none()
            } else {
                self.keeper.idle_for().await >= IDLE
            };
            if needless {
                break;
            }
        }
        self.end().await;
    }

    /// Is the disk still at its place, and not another one?
    fn has_folder(&self) -> bool {
        let dir = self.keeper.engine.dir();
        dir.exists() && self.folder.is_at(dir.path())
    }

    /// Ends in order: front-end drained, everything durable, marks cleared, socket gone, lock let go.
    async fn end(self) {
        let ending = Ending::watched();
        ending.step(Step::REQUESTS);
        // What is asked from here on is for the next keeper: new connections find no socket, and those that found this
        // one's are told.
        self.keeper.quit();
        self.redialling.abort();
        // By its folder, not by its path, where another keeper's may be.
        self.folder.remove_file(Path::new(CONTROL_SOCKET)).ok();
        self.end_serving.send(()).ok();
        self.serving.await.ok();
        if !self.keeper.drained(DRAIN).await {
            tracing::warn!("the keeper ends though something is still being done");
        }
        ending.step(Step::FRONT_END);
        if self.keeper.attached_as().await.is_some()
            && let Err(e) = self.keeper.detach().await
        {
            tracing::warn!(error = %e, "the keeper ends while the disk is in use: its device waits for the next one");
            self.keeper.leave().await;
        }
        self.housekeeping.abort();
        self.merging.abort();
        self.scrubbing.abort();
        self.keeping_trace.abort();
        self.keeper.keep_trace();
        ending.step(Step::SESSIONS);
        self.keeper.peers.close().await;
        ending.step(Step::STORE);
        if let Err(e) = self.keeper.engine.close().await {
            tracing::error!(error = %e, "the disk could not be closed in order; the next start recovers");
        }
        // Answers that are on their way (the command that ended this keeper waits for one).
        tokio::time::sleep(Duration::from_millis(50)).await;
        tracing::info!("the keeper has ended");
        ending.last(Step::PROCESS);
    }
}

async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The hidden command `keeper`: a background process of its own session, named by the disk.
///
/// # Errors
/// Only if nothing can be written to standard output.
pub async fn background(home: Home, dir: &DiskDir) -> std::io::Result<()> {
    rustix::process::setsid().ok();
    let lock = match dir.lock() {
        Ok(lock) => lock,
        Err(wandisk_store::OpenError::Kept) => return say("kept"),
        Err(e) => return say_refusal(&not_started(dir, &e, e.is_no_space())),
    };
    match start(home, dir, lock).await {
        Ok(running) => {
            say("ready")?;
            running.until_end(false).await;
            Ok(())
        }
        Err(refusal) => say_refusal(&refusal),
    }
}

/// `attach --foreground`: this process is the keeper until it is detached or signalled.
///
/// # Errors
/// A [`Refusal`].
pub async fn foreground(
    home: Home,
    dir: &DiskDir,
    lock: KeeperLock,
    options: AttachOptions,
    tell: impl FnOnce(&AttachReport),
) -> Result<(), Refusal> {
    let running = start(home, dir, lock).await?;
    match running.keeper.attach(options).await {
        Ok(report) => tell(&report),
        Err(e) => {
            running.end().await;
            return Err(e);
        }
    }
    running.until_end(true).await;
    Ok(())
}

fn say(word: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{word}")?;
    out.flush()
}

fn say_refusal(refusal: &Refusal) -> std::io::Result<()> {
    say(&serde_json::to_string(refusal).unwrap_or_default())
}
