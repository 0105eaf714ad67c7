//! The seat of a process: one of its kind an agent and site, found by a lock that dies with it; a socket where it is asked; and one
//! line to whoever started it, which says whether it began (`ready`), is there already (`kept`), or why it could not (`failed …`).
//!
//! It is in a session of its own, since the login, or the link, that began it may end, and its folder is the agent's, so that sockets have
//! short names.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result};

/// Of files in the agent's folder.
#[derive(Debug)]
pub(crate) struct Names {
    /// Whoever has it is the one.
    pub(crate) lock: &'static str,
    /// Where it is asked.
    pub(crate) socket: &'static str,
}

/// Takes a seat and runs until that ends; says so where it is taken, or cannot be. (That it is ready is said by who runs.)
///
/// # Errors
/// What kept it from beginning, which it has said, or from going on.
pub(crate) fn seated(
    folder: &Path,
    names: &Names,
    run: impl FnOnce(UnixListener) -> Result<()>,
) -> Result<()> {
    alone(folder, names.lock, || match listen(names.socket) {
        Ok(listener) => run(listener),
        Err(error) => {
            say(&format!("failed {error:#}"));
            Err(error)
        }
    })
}

/// The same for one that is asked nothing there, or has sockets of its own.
///
/// # Errors
/// As [`seated`].
pub(crate) fn alone(folder: &Path, lock: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    match detach(folder, lock) {
        Ok(Some(lock)) => {
            let result = run();
            drop(lock);
            result
        }
        Ok(None) => {
            say("kept");
            Ok(())
        }
        Err(error) => {
            say(&format!("failed {error:#}"));
            Err(error)
        }
    }
}

fn listen(socket: &str) -> Result<UnixListener> {
    std::fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket).context("cannot listen in the agent's folder")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A word to whoever started this process, which reads one line. Who was killed meanwhile hears nothing, and what it began goes on.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.replace('\n', " ")).and_then(|()| out.flush()).ok();
}

/// Makes this a process of its own in an agent's folder: the only one of its kind, by a lock that dies with it, and in a
/// session of its own, since the login, or the link, that began it may end. `None` if there is another one.
///
/// # Errors
/// The file system's.
fn detach(folder: &Path, name: &str) -> Result<Option<File>> {
    std::env::set_current_dir(folder).with_context(|| format!("cannot use {}", folder.display()))?;
    let lock =
        lock(Path::new(name)).with_context(|| format!("cannot lock {name} in {}", folder.display()))?;
    if lock.is_some() {
        rustix::process::setsid().ok();
    }
    Ok(lock)
}

/// Takes a lock; `None` if another process has it.
///
/// # Errors
/// The file system's.
pub(crate) fn lock(file: &Path) -> std::io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(file)?;
    let free = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(free.then_some(lock))
}

/// Makes the folder of an agent, for its user alone.
///
/// # Errors
/// The file system's.
pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))
}
