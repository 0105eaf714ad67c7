//! Who is connected: bounds how many, tells how many, and lets a stop wait for all of them.
//!
//! Invariant: after [`Registry::stop`] began, nobody enters, and everybody who had entered has been told.
//! Invariant: a member is counted out only when its last request has ended.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::MAX_CONNECTIONS;
use crate::outbox::Outbox;
use crate::wire::Wire;

/// How long connections that were cut are given to notice.
const AFTER_CUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Entry {
    wire: Arc<Wire>,
    outbox: Arc<Outbox>,
    serving: bool,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: HashMap<u64, Entry>,
    stopping: bool,
    accepting: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
    changed: Condvar,
}

/// Why somebody may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Stopping,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody accepts connections from now on, until the guard is dropped; `None` if it is to stop.
    pub(crate) fn accepting(self: &Arc<Self>) -> Option<Accepting> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        state.accepting = true;
        Some(Accepting(Arc::clone(self)))
    }

    /// Counts a connection in.
    pub(crate) fn enter(self: &Arc<Self>, wire: Wire) -> Result<Membership, Refused> {
        let mut state = self.lock();
        if state.stopping {
            return Err(Refused::Stopping);
        }
        if state.open.len() >= MAX_CONNECTIONS {
            return Err(Refused::Full);
        }
        let id = state.next;
        state.next += 1;
        let wire = Arc::new(wire);
        let outbox = Arc::new(Outbox::new(Arc::clone(&wire)));
        let entry = Entry { wire: Arc::clone(&wire), outbox: Arc::clone(&outbox), serving: false };
        state.open.insert(id, entry);
        Ok(Membership { registry: Arc::clone(self), id, wire, outbox })
    }

    /// Clients that are being served.
    pub(crate) fn serving(&self) -> usize {
        self.lock().open.values().filter(|entry| entry.serving).count()
    }

    /// Lets nobody in any more, waits at most `drain` for requests in flight, then cuts. Requests that have not ended
    /// even so are counted in the answer.
    pub(crate) fn stop(&self, drain: Duration) -> usize {
        let mut state = self.lock();
        state.stopping = true;
        state.open.values().for_each(|entry| entry.wire.end_requests());
        let state = self.wait(state, Instant::now() + drain);
        state.open.values().for_each(|entry| entry.wire.cut());
        let state = self.wait(state, Instant::now() + AFTER_CUT);
        state.open.values().map(|entry| entry.outbox.in_flight()).sum()
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, until: Instant) -> MutexGuard<'a, State> {
        while state.accepting || !state.open.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

/// Held by the thread that accepts.
#[derive(Debug)]
pub(crate) struct Accepting(Arc<Registry>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.lock().accepting = false;
        self.0.changed.notify_all();
    }
}

/// One connection, counted in until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    registry: Arc<Registry>,
    id: u64,
    wire: Arc<Wire>,
    outbox: Arc<Outbox>,
}

impl Membership {
    /// The number of connections that came before.
    pub(crate) fn number(&self) -> u64 {
        self.id
    }

    pub(crate) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Its handshake has ended.
    pub(crate) fn serving(&self) {
        self.set_serving(true);
    }

    /// The client is gone, though requests of it may be in flight.
    pub(crate) fn gone(&self) {
        self.set_serving(false);
    }

    fn set_serving(&self, serving: bool) {
        if let Some(entry) = self.registry.lock().open.get_mut(&self.id) {
            entry.serving = serving;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
        self.registry.changed.notify_all();
    }
}
