//! A disk whose chunks may be cold: waiting until a test lets them go, failing with an error, or panicking.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use futures::FutureExt;
use futures::channel::oneshot;
use wandisk_io::{
    ChunkState, Disk, Extent, Geometry, HotMap, IoError, IoFuture, Lane, Op, Ticket, WriteEnd, ZeroMode,
};

use super::{CHUNK, SOON};

/// What becomes of a cold request; of the first chunk it touches that has a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Wait,
    Fail(IoError),
    Panic,
}

#[derive(Default)]
struct State {
    rules: HashMap<u64, Rule>,
    waiting: Vec<oneshot::Sender<()>>,
    flush_fails: Option<IoError>,
    flush_waits: bool,
    holes: Vec<u64>,
}

pub struct ColdDisk {
    file: File,
    geometry: Geometry,
    hot: HotMap,
    state: Mutex<State>,
    changed: Condvar,
    /// Whatever was asked of the disk but its shape.
    pub asked: AtomicUsize,
    pub flushes: AtomicUsize,
    pub counted: AtomicUsize,
    /// The thread that counts panics: for a hot request, the connection's own.
    pub panics_at_count: AtomicBool,
    pub panics_at_flush: AtomicBool,
    /// What the thread does that counts, for a request each.
    pub at_counts: Mutex<VecDeque<Box<dyn FnOnce() + Send>>>,
    /// Cold writes that were reported as well done, and as failed.
    pub ended: Arc<[AtomicUsize; 2]>,
    /// Failures of the file that were reported.
    pub failed: Mutex<Vec<(Op, i32)>>,
}

struct Ended(Arc<[AtomicUsize; 2]>);

impl WriteEnd for Ended {
    fn ended(self: Box<Self>, ok: bool) -> Result<(), IoError> {
        self.0[usize::from(!ok)].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl ColdDisk {
    /// A disk of so many chunks, all of them hot.
    pub fn new(chunks: u64) -> Arc<ColdDisk> {
        ColdDisk::on(super::sparse_file(chunks * u64::from(CHUNK)), chunks)
    }

    /// A disk whose bytes are in this file.
    pub fn on(file: File, chunks: u64) -> Arc<ColdDisk> {
        let size_bytes = chunks * u64::from(CHUNK);
        let hot = HotMap::new(chunks, CHUNK, 2);
        (0..chunks).for_each(|c| hot.set_state(c, ChunkState::WRITABLE));
        Arc::new(ColdDisk {
            file,
            geometry: Geometry { size_bytes, chunk_size: CHUNK, trim_granularity: 4096, read_only: false },
            hot,
            state: Mutex::default(),
            changed: Condvar::new(),
            asked: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            panics_at_count: AtomicBool::new(false),
            panics_at_flush: AtomicBool::new(false),
            at_counts: Mutex::default(),
            ended: Arc::default(),
            failed: Mutex::default(),
        })
    }

    /// From now on a chunk is cold, and this happens to its requests; a rule of `None` lets them through.
    pub fn cool(&self, chunk: u64, rule: Option<Rule>) {
        self.hot.set_state(chunk, ChunkState::COLD);
        let mut state = self.state.lock().unwrap();
        match rule {
            Some(rule) => state.rules.insert(chunk, rule),
            None => state.rules.remove(&chunk),
        };
    }

    /// Flushes fail from now on.
    pub fn fail_flushes(&self, error: IoError) {
        self.state.lock().unwrap().flush_fails = Some(error);
    }

    /// Flushes wait from now on, until they are let go.
    pub fn hold_flushes(&self) {
        self.state.lock().unwrap().flush_waits = true;
    }

    /// A chunk is told as a hole.
    pub fn punch(&self, chunk: u64) {
        self.state.lock().unwrap().holes.push(chunk);
    }

    /// Waits until so many requests wait for their chunk.
    pub fn until_waiting(&self, n: usize) {
        let state = self.state.lock().unwrap();
        let (_state, over) = self.changed.wait_timeout_while(state, SOON, |s| s.waiting.len() < n).unwrap();
        assert!(!over.timed_out(), "{n} requests never came to wait");
    }

    /// Lets every waiting request go on.
    pub fn let_go(&self) {
        let mut state = self.state.lock().unwrap();
        state.rules.retain(|_, rule| *rule != Rule::Wait);
        state.flush_waits = false;
        for waiter in state.waiting.drain(..) {
            waiter.send(()).ok();
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), IoError> {
        let end = offset.checked_add(len).ok_or(IoError::Invalid)?;
        if end > self.geometry.size_bytes { Err(IoError::Invalid) } else { Ok(()) }
    }

    fn rule(&self, offset: u64, len: u64) -> IoFuture<()> {
        let mut state = self.state.lock().unwrap();
        let rule = self.hot.touched(offset, len).find_map(|chunk| state.rules.get(&chunk).copied());
        match rule {
            None => futures::future::ready(Ok(())).boxed(),
            Some(Rule::Fail(e)) => futures::future::ready(Err(e)).boxed(),
            Some(Rule::Panic) => {
                drop(state);
                panic!("a disk that panics, as the test wishes");
            }
            Some(Rule::Wait) => self.wait(&mut state),
        }
    }

    fn wait(&self, state: &mut State) -> IoFuture<()> {
        let (send, receive) = oneshot::channel();
        state.waiting.push(send);
        self.changed.notify_all();
        receive.map(|got| got.map_err(|_| IoError::Io)).boxed()
    }
}

impl Disk for ColdDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn hot(&self) -> &HotMap {
        &self.hot
    }

    fn data(&self) -> BorrowedFd<'_> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.file.as_fd()
    }

    fn begin(self: Arc<Self>, _lane: Lane, op: Op, offset: u64, len: u64) -> IoFuture<Ticket> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Err(e) = self.check(offset, len) {
            return futures::future::ready(Err(e)).boxed();
        }
        let waited = self.rule(offset, len);
        let ended = Arc::clone(&self.ended);
        async move {
            waited.await?;
            Ok(if op == Op::Write { Ticket::new(Box::new(Ended(ended))) } else { Ticket::free() })
        }
        .boxed()
    }

    fn flush(self: Arc<Self>) -> IoFuture<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.flushes.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics_at_flush.load(Ordering::SeqCst), "a disk that panics, as the test wishes");
        let mut state = self.state.lock().unwrap();
        if state.flush_waits {
            return self.wait(&mut state);
        }
        futures::future::ready(state.flush_fails.map_or(Ok(()), Err)).boxed()
    }

    fn zero(self: Arc<Self>, _lane: Lane, offset: u64, len: u64, _mode: ZeroMode) -> IoFuture<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let waited = self.rule(offset, len);
        async move {
            waited.await?;
            self.file.write_all_at(&vec![0; usize::try_from(len).unwrap()], offset).map_err(|_| IoError::Io)
        }
        .boxed()
    }

    fn block_status(&self, offset: u64, len: u64) -> Result<Vec<Extent>, IoError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.check(offset, len)?;
        let state = self.state.lock().unwrap();
        let chunk_size = u64::from(CHUNK);
        let extent = |chunk: u64| {
            let from = offset.max(chunk * chunk_size);
            let to = (offset + len).min((chunk + 1) * chunk_size);
            let hole = state.holes.contains(&chunk);
            Extent { len: to - from, hole, zero: hole }
        };
        Ok(self.hot.touched(offset, len).map(extent).collect())
    }

    fn failed(&self, op: Op, errno: i32) {
        self.failed.lock().unwrap().push((op, errno));
    }

    fn count(&self, _lane: Lane, _op: Op, _bytes: u64) {
        assert!(!self.panics_at_count.load(Ordering::SeqCst), "a disk that panics, as the test wishes");
        let next = self.at_counts.lock().unwrap().pop_front();
        if let Some(next) = next {
            next();
        }
        self.counted.fetch_add(1, Ordering::SeqCst);
    }
}
