//! Viewers' seats: how many there are, and who gives way where all are taken.
//!
//! Whoever has not finished its handshake may be nobody at all: where all seats are taken the one of these that came first
//! leaves for a newcomer. Whoever has finished it stays.
//!
//! Invariant: no more than so many [`Seat`]s are held, but for those whose holders were told to leave and are about to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

/// All seats.
#[derive(Debug, Clone)]
pub struct Seats {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// How many have come so far.
    came: u64,
    /// Those in their handshakes, by when they came, and how each is told to leave.
    unknown: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A viewer's place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    shared: Arc<Shared>,
    came: u64,
    told: Option<oneshot::Receiver<()>>,
    is_known: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// So many, all of them free.
    #[must_use]
    pub fn new(free: usize) -> Self {
        let state = Mutex::new(State { free, came: 0, unknown: BTreeMap::new() });
        Self { shared: Arc::new(Shared { state, freed: Notify::new() }) }
    }

    /// Whether a newcomer would get none.
    #[must_use]
    pub fn are_full(&self) -> bool {
        let state = self.shared.state();
        state.free == 0 && state.unknown.is_empty()
    }

    /// One that is free, or that somebody in its handshake has to leave.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        let mut state = self.shared.state();
        if state.free > 0 {
            state.free -= 1;
        } else {
            let (_, oldest) = state.unknown.pop_first()?;
            // One that has just gone has left its seat, too.
            let _gone = oldest.send(());
        }
        Some(Seat::taken(&self.shared, &mut state))
    }

    /// Waits for one.
    pub async fn next(&self) -> Seat {
        loop {
            if let Some(seat) = self.seat() {
                return seat;
            }
            self.shared.freed.notified().await;
        }
    }
}

impl Seat {
    /// The one that there is.
    #[must_use]
    pub fn alone() -> Seat {
        let seats = Seats::new(0);
        Seat::taken(&seats.shared, &mut seats.shared.state())
    }

    fn taken(shared: &Arc<Shared>, state: &mut State) -> Seat {
        let (tell, told) = oneshot::channel();
        let came = state.came;
        state.came += 1;
        state.unknown.insert(came, tell);
        Seat { shared: Arc::clone(shared), came, told: Some(told), is_known: false }
    }

    /// Does what makes a viewer known, unless its seat is given to another meanwhile: `None` then, and this one's holder leaves.
    pub async fn until_known<T>(&mut self, handshake: impl Future<Output = T>) -> Option<T> {
        let Some(told) = self.told.take() else { return Some(handshake.await) };
        let done = tokio::select! {
            _told = told => None,
            done = handshake => Some(done),
        };
        self.is_known = self.shared.state().unknown.remove(&self.came).is_some();
        done.filter(|_| self.is_known)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // Else it is another's already.
        if state.unknown.remove(&self.came).is_some() || self.is_known {
            state.free += 1;
            drop(state);
            self.shared.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn where_all_are_taken_the_oldest_in_its_handshake_leaves_for_a_newcomer() {
        let seats = Seats::new(3);
        let [mut known, mut first, mut second] = [(); 3].map(|()| seats.seat().unwrap());
        assert_eq!(known.until_known(ready(7)).await, Some(7));
        let mut third = seats.seat().unwrap();
        assert_eq!(first.until_known(pending::<()>()).await, None);
        drop(first);
        assert!(!seats.are_full(), "the others could give way");
        assert_eq!(second.until_known(ready(8)).await, Some(8));
        assert_eq!(third.until_known(ready(9)).await, Some(9));
        assert!(seats.are_full() && seats.seat().is_none(), "whoever is known stays");
        drop(known);
        let last = seats.seat().unwrap();
        assert!(!seats.are_full());
        drop(last);
        assert!(seats.seat().is_some());
    }

    #[tokio::test]
    async fn a_seat_that_is_given_back_is_one_seat_whoever_held_it_and_how() {
        let seats = Seats::new(1);
        for _ in 0..3 {
            let unheard = seats.seat().unwrap();
            let mut late = seats.seat().unwrap();
            drop(unheard);
            assert_eq!(late.until_known(ready(())).await, Some(()));
            assert!(seats.are_full());
            let (next, ()) = tokio::join!(seats.next(), async { drop(late) });
            drop(next);
        }
        assert_eq!(seats.shared.state().free, 1);
    }
}
