//! The door of `--gl-listen`: OpenGL programs of the agent, and the watcher of its windows, told apart by their first bytes.
//!
//! Invariant: who says nothing for [`PATIENCE`] is shut out again; at most [`MOST`] are heard at a time.
//! Invariant: of several watchers the newest is believed.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, watch as channel};
use tokio::time::timeout;
use vmgl_gl_stream::{ClientHello, HelloError};

use super::renderers::{RendererError, Renderers};
use super::seen::{self, MAGIC, SeenError};
use crate::address::{Listener, Socket};

/// How long a hello may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most connections whose first words are heard, watchers among them.
const MOST: usize = 64;
/// Bytes of a program's hello before its name.
pub(super) const FIXED: usize = 56;

/// Why a connection ended.
#[derive(Debug, Error)]
enum DoorError {
    #[error("the connection")]
    Io(#[from] io::Error),
    #[error("the hello took more than {PATIENCE:?}")]
    Late,
    #[error("the program's hello")]
    Hello(#[from] HelloError),
    #[error("the watcher's report")]
    Seen(#[from] SeenError),
    #[error(transparent)]
    Renderer(#[from] RendererError),
}

/// Lets them in; it does not end. Watchers are let go when it is said that all leave.
pub async fn open(listener: Listener, renderers: Renderers, leaves: channel::Receiver<bool>) -> Infallible {
    let places = Arc::new(Semaphore::new(MOST));
    let watchers = Arc::new(AtomicU64::new(0));
    loop {
        let (socket, from) = listener.next_socket().await;
        // It is closed nowhere.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { continue };
        let (renderers, watchers, leaves) = (renderers.clone(), Arc::clone(&watchers), leaves.clone());
        tokio::spawn(async move {
            if let Err(fault) = serve(socket, &renderers, &watchers, leaves).await {
                let fault: &dyn std::error::Error = &fault;
                let why = fault.source().map(|source| format!(": {source}")).unwrap_or_default();
                tracing::info!("OpenGL from {from}: {fault}{why}");
            }
            drop(place);
        });
    }
}

async fn serve(
    mut socket: Socket,
    renderers: &Renderers,
    watchers: &AtomicU64,
    mut leaves: channel::Receiver<bool>,
) -> Result<(), DoorError> {
    let mut begins = [0; MAGIC.len()];
    timeout(PATIENCE, socket.read_exact(&mut begins)).await.map_err(|_| DoorError::Late)??;
    if begins == MAGIC {
        let me = watchers.fetch_add(1, Ordering::SeqCst) + 1;
        renderers.watched(true);
        let left = async {
            // A door that is only shut leaves them be.
            if leaves.wait_for(|leaves| *leaves).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = watch(&mut socket, renderers, || watchers.load(Ordering::SeqCst) == me) => ended,
            () = left => Ok(()),
        };
        if watchers.load(Ordering::SeqCst) == me {
            renderers.watched(false);
        }
        return ended;
    }
    let (hello, bytes) =
        timeout(PATIENCE, hello(&mut socket, begins)).await.map_err(|_| DoorError::Late)??;
    // Starting a process waits for the system.
    let renderers = renderers.clone();
    let connected =
        tokio::task::spawn_blocking(move || renderers.connect(&hello, bytes, socket.into_fd()?)).await;
    Ok(connected.map_err(io::Error::other)??)
}

async fn watch(
    socket: &mut Socket,
    renderers: &Renderers,
    is_newest: impl Fn() -> bool,
) -> Result<(), DoorError> {
    loop {
        let mut length = [0; 4];
        socket.read_exact(&mut length).await?;
        let mut report = vec![0; seen::length(length)?];
        timeout(PATIENCE, socket.read_exact(&mut report)).await.map_err(|_| DoorError::Late)??;
        let report = seen::read(&report)?;
        if !is_newest() {
            return Ok(());
        }
        renderers.seen(report);
    }
}

async fn hello(socket: &mut Socket, begins: [u8; 8]) -> Result<(ClientHello, Vec<u8>), DoorError> {
    let mut bytes = begins.to_vec();
    // What is no hello is refused before more of it is waited for.
    ClientHello::parse(&bytes)?;
    bytes.resize(FIXED, 0);
    socket.read_exact(bytes.get_mut(begins.len()..).unwrap_or_default()).await?;
    loop {
        if let Some((hello, _)) = ClientHello::parse(&bytes)? {
            return Ok((hello, bytes));
        }
        // Its name, four bytes at a time; its length was checked.
        let have = bytes.len();
        bytes.resize(have + 4, 0);
        socket.read_exact(bytes.get_mut(have..).unwrap_or_default()).await?;
    }
}
