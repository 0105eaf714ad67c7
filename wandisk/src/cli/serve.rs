//! `wandisk serve --stdio`: the far end of a link.
//!
//! What the peer may do is on this command line, so in the `authorized_keys` of this site; neither what the peer says nor
//! its environment changes it. In order: the command that the peer asked for is looked at; where the disk is known from
//! the command line its keeper is found (started, if none runs) and the process confined; the peer's hello is read under a
//! deadline and checked; then, confined further, the stream is handed to the keeper or carried to it, or a talk about the site held.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, ReadBuf};
use wandisk_store::{DiskDir, DiskId, Home};

use super::args::{Cli, ServeArgs};
use super::output::{self, Failure};
use super::run::open_home;
use crate::keeper::{client, control};
use crate::peer::audit::{SessionOrigin, connection};
use crate::peer::error::{Code, Refusal};
use crate::peer::limits::HELLO;
use crate::peer::message::HelloFields;
use crate::peer::permit::{self, Permit};
use crate::peer::{carry, dial, frame, handed, lobby};
use crate::sandbox::{self, Level};

/// Threads of a talk about the site.
const THREADS: usize = 2;

/// Serves one peer and gives the exit code.
pub(super) fn main(cli: &Cli, args: &ServeArgs) -> ExitCode {
    match serve(cli, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::warn!(why = failure.text(), "a peer was not served");
            output::failed(cli, &failure)
        }
    }
}

fn serve(cli: &Cli, args: &ServeArgs) -> Result<(), Failure> {
    let home = open_home(cli)?;
    let permit = Permit { disk: args.disk, site: args.site, mode: args.mode };
    if let Some(original) = std::env::var_os("SSH_ORIGINAL_COMMAND").filter(|_| args.is_restricted()) {
        permit::check_original_command(&original.to_string_lossy())?;
    }
    let ssh = std::env::var("SSH_CONNECTION").ok().and_then(|text| connection(&text));
    let came = SessionOrigin { mode: permit.mode, ssh };
    // One thread until the process is what it will be: it does one thing after the other.
    let alone = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let known = permit.disk.and_then(|id| lobby::find_disk(&home, id));
    let known = known.map(|dir| alone.block_on(keeper(&home, &dir))).transpose()?;
    if permit.disk.is_some() {
        // Nothing has been heard of the peer yet.
        confine(Level::Home(home.path()));
    }
    let (hello, raw) = read_hello(&alone, &home)?;
    permit.admits(&hello)?;
    let keeper = match (hello.disk, known) {
        (None, _) => None,
        (Some(_), Some(known)) => Some(known),
        (Some(id), None) if permit.disk.is_some() => return Err(no_replica(id).into()),
        // Whoever may name any disk has to be heard first, since a keeper may have to be started.
        (Some(id), None) => {
            let dir = lobby::find_disk(&home, id).ok_or_else(|| no_replica(id))?;
            Some(alone.block_on(self::keeper(&home, &dir))?)
        }
    };
    drop(alone);
    confine(if keeper.is_some() { Level::Streams } else { Level::Home(home.path()) });
    serve_stream(&home, permit, &came, keeper, raw)
}

fn confine(level: Level<'_>) {
    let confined = sandbox::enter(level);
    tracing::debug!(?level, ?confined, "confined");
}

fn no_replica(disk: DiskId) -> Refusal {
    Refusal::new(Code::NoDisk, format!("there is no replica of disk {disk} at this site"))
}

/// A connection to the disk's keeper.
async fn keeper(home: &Home, dir: &DiskDir) -> Result<std::os::unix::net::UnixStream, Failure> {
    Ok(client::connect(home.path(), dir).await?.into_std()?)
}

/// The peer's hello, and its bytes.
fn read_hello(alone: &tokio::runtime::Runtime, home: &Home) -> Result<(HelloFields, Vec<u8>), Failure> {
    let mut input = Input { deadline: Instant::now() + HELLO };
    let read = alone.block_on(frame::read_hello_raw(&mut input));
    read.map_err(|e| {
        // Our own hello, so that a peer of another version can say which is which.
        let mut bytes = Vec::new();
        let told = alone.block_on(frame::send_hello(&mut bytes, &dial::hello(home, None)));
        told.and_then(|()| io::Write::write_all(&mut io::stdout(), &bytes)).ok();
        Failure::from(e)
    })
}

/// Waits until one end of the stream ends.
fn serve_stream(
    home: &Home,
    permit: Permit,
    came: &SessionOrigin,
    keeper: Option<std::os::unix::net::UnixStream>,
    raw: Vec<u8>,
) -> Result<(), Failure> {
    let result = match keeper {
        None => talk(home, permit, came, raw)?,
        Some(keeper) => {
            let origin = serde_json::to_string(came).map_err(io::Error::other)?;
            let (input, output) = (carry::own(io::stdin())?, carry::own(io::stdout())?);
            if handed::are_pipes(&input, &output) {
                let line = format!("{} {} {origin}\n", control::HANDED, raw.len());
                let first = [line.as_bytes(), &raw].concat();
                handed::hand(keeper, &first, &input, &output)
            } else {
                let first = [format!("{} {origin}\n", control::SESSION).as_bytes(), &raw].concat();
                carry::join(keeper, first, input, output)
            }
        }
    };
    // Either end may go away at any byte: that is how links end.
    let ended = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof];
    match result {
        Err(e) if !ended.contains(&e.kind()) => Err(e.into()),
        _ => Ok(()),
    }
}

/// A talk about the site itself.
fn talk(home: &Home, permit: Permit, came: &SessionOrigin, raw: Vec<u8>) -> Result<io::Result<()>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    let result = runtime.block_on(lobby::lobby(home, permit, came, raw, input, output));
    // Standard input may be stuck in a read that nobody ends.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    Ok(result)
}

/// Standard input, waited for without a thread and not longer than a deadline.
struct Input {
    deadline: Instant,
}

impl AsyncRead for Input {
    /// Blocks: whoever reads has nothing else to do.
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the dialler said no hello in time");
        let stdin = io::stdin();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| late())?;
            let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Poll::Ready(Err(late())),
                Ok(_) => break,
                // Stopped and continued: not a reason to give a peer up.
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
        let n =
            rustix::io::retry_on_intr(|| rustix::io::read(stdin.as_fd(), &mut *buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}
