//! Who is in flight, and how to wait for them without slowing them down.
//!
//! A publisher that wants to read a chunk's bytes must know that every write which saw the chunk as open
//! has ended; it must not make writes take a lock. So each queue counts its requests in flight in a lane
//! of its own, in one of two buckets chosen by the gate's generation, and [`Gate::wait_grace`] turns the
//! generation over twice, waiting each time for the older bucket to drain (the scheme of sleepable RCU).
//!
//! Invariant: a request raises its lane's count *before* it looks at the gate's flags and chunk states.
//! So whoever changed a flag or a state, and then waited a grace period, knows that no request that saw
//! the old value is still in flight.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests in flight that one queue may have at most; only sizes assertions.
const LANE_MAX_IN_FLIGHT: u32 = 1 << 20;

/// The queue that a request came through. Each queue uses one lane and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(pub usize);

/// What the gate keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Shut {
    /// Writes, trims and zeroing go the cold way, where they wait or are refused.
    pub writes: bool,
    /// Reads as well.
    pub reads: bool,
}

#[repr(align(128))]
#[derive(Debug, Default)]
struct LaneCount {
    in_flight: [AtomicU32; 2],
}

/// Counts requests in flight and lets a change of state wait for them.
#[derive(Debug)]
pub struct Gate {
    /// Bit 0: writes shut; bit 1: reads shut; the rest: generation.
    word: AtomicU64,
    lanes: Box<[LaneCount]>,
}

const WRITES_SHUT: u64 = 1;
const READS_SHUT: u64 = 2;
const GENERATION: u64 = 4;
/// Turns of the generation in a grace period. Two: a request may have read the generation before the first turn and
/// count itself into the older bucket after it was found empty. The second turn waits for that one.
const GRACE_TURNS: u8 = 2;

impl Gate {
    /// A gate with `lanes` lanes, open.
    #[must_use]
    pub fn new(lanes: usize) -> Gate {
        Gate { word: AtomicU64::new(0), lanes: (0..lanes).map(|_| LaneCount::default()).collect() }
    }

    /// How many lanes there are; lane numbers are below it.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Counts a request in. The caller looks at flags and states only after this.
    pub(crate) fn enter(&self, lane: Lane) -> Pass<'_> {
        let bucket = usize::from(self.word.load(Ordering::Relaxed) & GENERATION != 0);
        let count = &self.lanes[lane.0].in_flight[bucket];
        let before = count.fetch_add(1, Ordering::SeqCst);
        debug_assert!(before < LANE_MAX_IN_FLIGHT, "a lane's passes are not given back");
        Pass { count }
    }

    /// Like [`Gate::enter`] for a request whose pass cannot borrow the gate; give it back with [`Gate::leave`].
    pub(crate) fn enter_detached(&self, lane: Lane) -> DetachedPass {
        let bucket = usize::from(self.word.load(Ordering::Relaxed) & GENERATION != 0);
        self.lanes[lane.0].in_flight[bucket].fetch_add(1, Ordering::SeqCst);
        DetachedPass { lane, bucket }
    }

    /// The request of a detached pass has ended.
    pub fn leave(&self, pass: DetachedPass) {
        self.lanes[pass.lane.0].in_flight[pass.bucket].fetch_sub(1, Ordering::SeqCst);
    }

    /// What is shut now.
    #[must_use]
    pub fn shut(&self) -> Shut {
        let word = self.word.load(Ordering::SeqCst);
        Shut { writes: word & WRITES_SHUT != 0, reads: word & READS_SHUT != 0 }
    }

    /// Sets what is shut. Requests already in flight go on; follow with [`Gate::wait_grace`].
    pub fn set_shut(&self, shut: Shut) {
        let flags = u64::from(shut.writes) * WRITES_SHUT + u64::from(shut.reads) * READS_SHUT;
        let keep = !(WRITES_SHUT | READS_SHUT);
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |w| Some(w & keep | flags)).ok();
    }

    /// Waits until every request that was in flight at the call has ended; `false` if `deadline` passed first.
    ///
    /// Only one caller at a time may wait (the engine holds a lock around it). Requests that begin
    /// meanwhile are not waited for, so it ends under constant load. Blocks the thread: hot requests take
    /// microseconds to milliseconds.
    #[must_use]
    pub fn wait_grace(&self, deadline: Instant) -> bool {
        self.grace().ended_by(deadline)
    }

    /// Begins a grace period that is waited for in slices. The same rule: one caller at a time.
    pub fn grace(&self) -> Grace<'_> {
        Grace { gate: self, draining: None, turns_left: GRACE_TURNS }
    }

    fn drained(&self, bucket: usize, deadline: Instant) -> bool {
        let mut spins = 0u32;
        while self.lanes.iter().any(|l| l.in_flight[bucket].load(Ordering::SeqCst) != 0) {
            spins += 1;
            if spins < 64 {
                std::thread::yield_now();
                continue;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }
}

/// A wait for every request that was in flight when it began.
#[must_use = "a grace period counts when it has ended"]
#[derive(Debug)]
pub struct Grace<'a> {
    gate: &'a Gate,
    draining: Option<usize>,
    turns_left: u8,
}

impl Grace<'_> {
    /// Waits until the period has ended; `false` if `deadline` passed first, and it can be waited for again.
    #[must_use]
    pub fn ended_by(&mut self, deadline: Instant) -> bool {
        while self.turns_left > 0 {
            let bucket = *self.draining.get_or_insert_with(|| {
                let old = self.gate.word.fetch_xor(GENERATION, Ordering::SeqCst);
                usize::from(old & GENERATION != 0)
            });
            if !self.gate.drained(bucket, deadline) {
                return false;
            }
            self.draining = None;
            self.turns_left -= 1;
        }
        true
    }
}

/// Proof that a request is counted as in flight, to be given back to [`Gate::leave`].
#[must_use = "a pass that is not given back holds every publisher up"]
#[derive(Debug)]
pub struct DetachedPass {
    lane: Lane,
    bucket: usize,
}

/// Proof that a request is counted as in flight; dropped when its data has been read or written.
#[must_use = "the request counts as ended when the pass is dropped"]
#[derive(Debug)]
pub struct Pass<'a> {
    count: &'a AtomicU32,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[test]
    fn grace_waits_for_a_request_in_flight() {
        let gate = Gate::new(2);
        let pass = gate.enter(Lane(1));
        assert!(!gate.wait_grace(soon()));
        drop(pass);
        assert!(gate.wait_grace(soon()));
    }

    #[test]
    fn grace_ends_under_constant_load() {
        let gate = Arc::new(Gate::new(1));
        let stop = Arc::new(AtomicBool::new(false));
        let load = std::thread::spawn({
            let (gate, stop) = (Arc::clone(&gate), Arc::clone(&stop));
            move || {
                let mut last = gate.enter(Lane(0));
                while !stop.load(Ordering::Relaxed) {
                    // There is always a request in flight.
                    last = gate.enter(Lane(0));
                }
                drop(last);
            }
        });
        let ended = gate.wait_grace(Instant::now() + Duration::from_secs(10));
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        assert!(ended);
    }

    #[test]
    fn shutting_keeps_the_generation_apart() {
        let gate = Gate::new(1);
        gate.set_shut(Shut { writes: true, reads: false });
        assert!(gate.wait_grace(soon()));
        assert_eq!(gate.shut(), Shut { writes: true, reads: false });
        gate.set_shut(Shut::default());
        assert_eq!(gate.shut(), Shut::default());
    }
}
