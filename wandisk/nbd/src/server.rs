//! The server: accepts clients, gives each its threads, and stops in good order.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::executor::ThreadPool;
use wandisk_io::{Disk, Lane};

use crate::address::Address;
use crate::connection::{self, Service};
use crate::error::NbdError;
use crate::limits::{MAX_CONNECTIONS, MAX_NAME, POOL_THREADS};
use crate::listen::{Listener, StopSignal};
use crate::proto::Export;
use crate::registry::{Accepting, Refused, Registry};
use crate::tasks::Seat;
use crate::wire::Wire;

/// A server that listens, and does not accept yet. Dropping it, or its end, removes its socket file.
pub struct Server<D> {
    disk: Arc<D>,
    export: Arc<Export>,
    lanes: Range<usize>,
    listener: Listener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    stop: StopSignal,
    uri: String,
}

impl<D> fmt::Debug for Server<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("export", &self.export)
            .field("lanes", &self.lanes)
            .field("uri", &self.shared.uri)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> Server<D> {
    /// Listens on `address` for clients of `disk`, which they know by the empty name and by `export_name`.
    ///
    /// Connections use the disk through `lanes` in turn. A lane that has several connections is correct, only
    /// slower. The disk's geometry is read once, here.
    ///
    /// # Errors
    /// If a live server or something else is at the address, or the system refuses; if there is no lane, or one that
    /// the disk has not; if the name is too long.
    pub fn bind(
        address: &Address,
        disk: Arc<D>,
        export_name: &str,
        lanes: Range<usize>,
    ) -> Result<Server<D>, NbdError> {
        let has = disk.hot().gate().lanes();
        if lanes.is_empty() || lanes.end > has {
            return Err(NbdError::Lanes { from: lanes.start, to: lanes.end, has });
        }
        if export_name.len() > MAX_NAME {
            return Err(NbdError::ExportName(export_name.len()));
        }
        let geometry = disk.geometry();
        let export = Arc::new(Export {
            name: export_name.into(),
            size: geometry.size_bytes,
            read_only: geometry.read_only,
        });
        let listener = Listener::bind(address)?;
        let stop = StopSignal::new()
            .map_err(|source| NbdError::Listen { address: listener.address().to_string(), source })?;
        let uri = listener.address().uri();
        let shared = Arc::new(Shared { registry: Arc::default(), stop, uri });
        Ok(Server { disk, export, lanes, listener, shared })
    }

    /// What a client is given to connect.
    #[must_use]
    pub fn uri(&self) -> String {
        self.shared.uri.clone()
    }

    /// To watch and stop the server from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Accepts clients until [`Handle::stop`]; each is served by threads of its own.
    ///
    /// # Errors
    /// If accepting fails for good, or the threads for it cannot be made.
    pub fn serve(self) -> Result<(), NbdError> {
        match self.shared.registry.accepting() {
            Some(accepting) => self.accept(accepting),
            None => Ok(()),
        }
    }

    fn accept(self, _accepting: Accepting) -> Result<(), NbdError> {
        let pool = ThreadPool::builder()
            .pool_size(POOL_THREADS)
            .name_prefix("nbd-pool-")
            .create()
            .map_err(NbdError::Thread)?;
        // A local, so that the socket is gone before whoever stops us is told that we have ended.
        let listener = self.listener;
        while let Some(fd) = listener.accept(&self.shared.stop).map_err(NbdError::Accept)? {
            let member = match self.shared.registry.enter(Wire::new(fd)) {
                Ok(member) => member,
                Err(Refused::Full) => {
                    tracing::warn!(most = MAX_CONNECTIONS, "a connection was refused: there are too many");
                    continue;
                }
                Err(Refused::Stopping) => continue,
            };
            let turn = usize::try_from(member.number()).unwrap_or(0) % self.lanes.len();
            let service = Service {
                seat: Seat { disk: Arc::clone(&self.disk), lane: Lane(self.lanes.start + turn) },
                export: Arc::clone(&self.export),
                pool: pool.clone(),
            };
            let serve = move || connection::serve(&service, &member);
            if let Err(e) = thread::Builder::new().name("nbd-client".into()).spawn(serve) {
                tracing::warn!(error = %e, "no thread for a connection");
            }
        }
        Ok(())
    }

    /// [`Server::serve`] on a thread of its own.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn spawn(self) -> Result<Handle, NbdError> {
        let handle = self.handle();
        let Some(accepting) = self.shared.registry.accepting() else { return Ok(handle) };
        let serve = move || {
            if let Err(e) = self.accept(accepting) {
                tracing::error!(error = &e as &dyn std::error::Error, "the NBD server ended");
            }
        };
        thread::Builder::new().name("nbd-accept".into()).spawn(serve).map_err(NbdError::Thread)?;
        Ok(handle)
    }
}

/// A hold on a server. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "requests may still be at work on the disk"]
pub struct Stopped {
    /// Requests that had not ended when the time was over. Their clients have been cut off, but they may still touch
    /// the disk; the disk's own gate keeps them out or lets them end.
    pub abandoned: usize,
}

impl Handle {
    /// What a client is given to connect.
    #[must_use]
    pub fn uri(&self) -> String {
        self.shared.uri.clone()
    }

    /// Clients that are connected now, past their handshake.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.registry.serving()
    }

    /// Accepts no more, takes no more requests, answers those that it has, for `drain` at most, and closes.
    ///
    /// Takes about a second longer than `drain` where a connection hangs. Calling it again is harmless.
    pub fn stop(&self, drain: Duration) -> Stopped {
        self.shared.stop.raise();
        Stopped { abandoned: self.shared.registry.stop(drain) }
    }
}
