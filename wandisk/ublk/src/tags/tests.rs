//! Tags against a disk whose cold way the test controls, and a port that records.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Mutex;

use futures::FutureExt;
use futures::channel::oneshot;
use wandisk_io::{ChunkState, Extent, Geometry, IoError, WriteEnd, ZeroMode};

use super::*;

const CHUNK: u64 = 4096;

type Zeroing = (u64, u64, ZeroMode, Answer<()>);
type Answer<T> = oneshot::Sender<Result<T, IoError>>;

/// Chunk 0 is writable, chunk 1 readable, chunk 2 cold.
struct FakeDisk {
    file: std::fs::File,
    hot: HotMap,
    begun: Mutex<VecDeque<Answer<Ticket>>>,
    flushes: Mutex<VecDeque<Answer<()>>>,
    zeroes: Mutex<VecDeque<Zeroing>>,
    ended: Arc<Mutex<Vec<bool>>>,
    counted: Mutex<Vec<(Op, u64)>>,
    failed: Mutex<Vec<(Op, i32)>>,
    panics: bool,
}

fn disk() -> Arc<FakeDisk> {
    disk_that(false)
}

fn disk_that(panics: bool) -> Arc<FakeDisk> {
    let hot = HotMap::new(3, 4096, 1);
    hot.set_state(0, ChunkState::WRITABLE);
    hot.set_state(2, ChunkState::COLD);
    let file = tempfile::tempfile().unwrap();
    let (begun, flushes, zeroes) = Default::default();
    let (ended, counted, failed) = Default::default();
    Arc::new(FakeDisk { file, hot, begun, flushes, zeroes, ended, counted, failed, panics })
}

struct End(Arc<Mutex<Vec<bool>>>);

impl WriteEnd for End {
    fn ended(self: Box<Self>, ok: bool) -> Result<(), IoError> {
        self.0.lock().unwrap().push(ok);
        Ok(())
    }
}

fn wait<T: Send + 'static>(answer: oneshot::Receiver<Result<T, IoError>>) -> IoFuture<T> {
    answer.map(|a| a.unwrap_or(Err(IoError::Io))).boxed()
}

impl FakeDisk {
    fn ticket(&self) -> Ticket {
        Ticket::new(Box::new(End(Arc::clone(&self.ended))))
    }
}

impl Disk for FakeDisk {
    fn geometry(&self) -> Geometry {
        Geometry { size_bytes: 3 * CHUNK, chunk_size: 4096, trim_granularity: 4096, read_only: false }
    }
    fn hot(&self) -> &HotMap {
        &self.hot
    }
    fn data(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
    fn begin(self: Arc<Self>, _lane: Lane, _op: Op, _offset: u64, _len: u64) -> IoFuture<Ticket> {
        assert!(!self.panics, "told to");
        let (answer, answered) = oneshot::channel();
        self.begun.lock().unwrap().push_back(answer);
        wait(answered)
    }
    fn flush(self: Arc<Self>) -> IoFuture<()> {
        let (answer, answered) = oneshot::channel();
        self.flushes.lock().unwrap().push_back(answer);
        wait(answered)
    }
    fn zero(self: Arc<Self>, _lane: Lane, offset: u64, len: u64, mode: ZeroMode) -> IoFuture<()> {
        let (answer, answered) = oneshot::channel();
        self.zeroes.lock().unwrap().push_back((offset, len, mode, answer));
        wait(answered)
    }
    fn block_status(&self, _offset: u64, _len: u64) -> Result<Vec<Extent>, IoError> {
        Err(IoError::Invalid)
    }
    fn failed(&self, op: Op, errno: i32) {
        self.failed.lock().unwrap().push((op, errno));
    }
    fn count(&self, _lane: Lane, op: Op, bytes: u64) {
        self.counted.lock().unwrap().push((op, bytes));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Did {
    Start(u16, Part),
    Commit(u16, i32),
}

#[derive(Default)]
struct Recorder {
    did: Vec<Did>,
    refuse: bool,
}

impl Port for Recorder {
    fn start(&mut self, tag: u16, part: Part) -> bool {
        self.did.push(Did::Start(tag, part));
        !self.refuse
    }
    fn commit(&mut self, tag: u16, result: i32) {
        self.did.push(Did::Commit(tag, result));
    }
}

impl Recorder {
    fn did(&mut self) -> Vec<Did> {
        std::mem::take(&mut self.did)
    }
}

fn data(op: Op, offset: u64, len: u64, fua: bool) -> Result<Request, i32> {
    Ok(Request { ask: Ask::Data { op, fua }, offset, len })
}

fn read(offset: u64, len: u64) -> Result<Request, i32> {
    data(Op::Read, offset, len, false)
}

fn write(offset: u64, len: u64) -> Result<Request, i32> {
    data(Op::Write, offset, len, false)
}

fn part(op: Op, offset: u64, at: u32, len: u32) -> Part {
    Part { op, offset, at, len }
}

/// Runs a test with four tags over `$disk`.
macro_rules! tags {
    ($disk:ident, $tags:ident, $port:ident, $wakeups:ident) => {
        let $wakeups = Wakeups::new(4).unwrap();
        #[allow(unused_mut)]
        let mut $tags = Tags::new(&$disk, Lane(0), 4, &$wakeups);
        let mut $port = Recorder::default();
    };
}

fn in_flight(disk: &FakeDisk) -> bool {
    !disk.hot.gate().wait_grace(std::time::Instant::now())
}

#[test]
fn a_hot_request_is_one_move_and_one_answer() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 2, write(512, 1024));
    assert_eq!(port.did(), [Did::Start(2, part(Op::Write, 512, 0, 1024))]);
    assert!(in_flight(&disk), "the pass is held while the data moves");
    tags.moved(&mut port, 2, 1024);
    assert_eq!(port.did(), [Did::Commit(2, 1024)]);
    assert!(!in_flight(&disk));
    assert_eq!(*disk.counted.lock().unwrap(), [(Op::Write, 1024)]);
    assert!(disk.begun.lock().unwrap().is_empty());
}

#[test]
fn a_short_move_goes_on_where_it_stopped() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, write(0, 4096));
    tags.moved(&mut port, 0, 1000);
    tags.moved(&mut port, 0, 96);
    let last = part(Op::Write, 1096, 1096, 3000);
    assert_eq!(port.did()[2], Did::Start(0, last));
    tags.moved(&mut port, 0, 3000);
    assert_eq!(port.did(), [Did::Commit(0, 4096)]);
}

#[test]
fn a_read_past_the_files_end_fails() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, read(4096, 4096));
    tags.moved(&mut port, 0, 512);
    port.did();
    tags.moved(&mut port, 0, 0);
    assert_eq!(port.did(), [Did::Commit(0, -EIO)]);
}

#[test]
fn an_interrupted_move_is_tried_again_and_not_for_ever() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, read(0, 512));
    for _ in 0..MAX_RETRIES {
        tags.moved(&mut port, 0, -EINTR);
    }
    assert_eq!(port.did().len(), 1 + usize::from(MAX_RETRIES));
    tags.moved(&mut port, 0, -EAGAIN);
    assert_eq!(port.did(), [Did::Commit(0, -EIO)]);
}

#[test]
fn the_data_files_errors_reach_the_driver() {
    let disk = disk();
    for (errno, told) in [(EIO, EIO), (ENOSPC, ENOSPC), (EDQUOT, ENOSPC), (EFBIG, ENOSPC), (22, EIO)] {
        tags!(disk, tags, port, wakeups);
        tags.request(&mut port, 1, write(0, 512));
        port.did();
        tags.moved(&mut port, 1, -errno);
        assert_eq!(port.did(), [Did::Commit(1, -told)]);
        // The disk is told too: what a failed write means for it is its own to judge.
        assert_eq!(disk.failed.lock().unwrap().pop(), Some((Op::Write, told)));
        assert!(!in_flight(&disk));
    }
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 1, write(0, 512));
    port.did();
    tags.moved(&mut port, 1, 0);
    assert_eq!(port.did(), [Did::Commit(1, -EIO)], "a write that writes nothing has failed");
    assert!(disk.counted.lock().unwrap().is_empty());
}

#[test]
fn a_cold_request_waits_while_others_go_on() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, read(2 * CHUNK, 4096));
    tags.request(&mut port, 1, read(0, 4096));
    assert_eq!(port.did(), [Did::Start(1, part(Op::Read, 0, 0, 4096))]);
    tags.moved(&mut port, 1, 4096);
    assert_eq!(port.did(), [Did::Commit(1, 4096)]);

    let answer = disk.begun.lock().unwrap().pop_front().unwrap();
    assert!(answer.send(Ok(disk.ticket())).is_ok());
    let mut woken = Vec::new();
    wakeups.take(|tag| woken.push(tag));
    assert_eq!(woken, [0], "the answer wakes the tag that waits for it");
    tags.poll(&mut port, 0);
    assert_eq!(port.did(), [Did::Start(0, part(Op::Read, 2 * CHUNK, 0, 4096))]);
    assert!(disk.ended.lock().unwrap().is_empty(), "the ticket is held while the data moves");
    tags.moved(&mut port, 0, 4096);
    assert_eq!(port.did(), [Did::Commit(0, 4096)]);
    assert_eq!(*disk.ended.lock().unwrap(), [true]);
}

#[test]
fn a_ticket_learns_that_its_data_could_not_be_moved() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    for start_refused in [false, true] {
        tags.request(&mut port, 0, write(CHUNK, 512));
        port.refuse = start_refused;
        let answer = disk.begun.lock().unwrap().pop_front().unwrap();
        assert!(answer.send(Ok(disk.ticket())).is_ok());
        tags.poll(&mut port, 0);
        if !start_refused {
            tags.moved(&mut port, 0, -EIO);
        }
        assert_eq!(port.did().last(), Some(&Did::Commit(0, -EIO)));
    }
    assert_eq!(*disk.ended.lock().unwrap(), [false, false]);
}

#[test]
fn each_refusal_of_the_engine_reaches_the_driver() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    let all = [
        IoError::Io,
        IoError::NoSpace,
        IoError::ReadOnly,
        IoError::NotResident,
        IoError::TimedOut,
        IoError::Invalid,
    ];
    for error in all {
        tags.request(&mut port, 3, read(2 * CHUNK, 512));
        disk.begun.lock().unwrap().pop_front().unwrap().send(Err(error)).unwrap();
        tags.poll(&mut port, 3);
        assert_eq!(port.did(), [Did::Commit(3, -error.errno())]);
    }
}

#[test]
fn a_fua_write_is_answered_after_the_flush() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    for (ended, told) in [(Ok(()), 512), (Err(IoError::Io), -EIO)] {
        tags.request(&mut port, 0, data(Op::Write, 0, 512, true));
        assert!(disk.flushes.lock().unwrap().is_empty(), "data first");
        tags.moved(&mut port, 0, 512);
        assert_eq!(port.did(), [Did::Start(0, part(Op::Write, 0, 0, 512))]);
        disk.flushes.lock().unwrap().pop_front().unwrap().send(ended).unwrap();
        tags.poll(&mut port, 0);
        assert_eq!(port.did(), [Did::Commit(0, told)]);
    }
}

#[test]
fn a_fua_write_that_failed_is_not_flushed() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, data(Op::Write, 0, 512, true));
    tags.moved(&mut port, 0, -EIO);
    assert_eq!(port.did().last(), Some(&Did::Commit(0, -EIO)));
    assert!(disk.flushes.lock().unwrap().is_empty());
}

#[test]
fn flush_and_zeroing_are_the_engines() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, Ok(Request { ask: Ask::Flush, offset: 0, len: 0 }));
    let zero = Ask::Zero { mode: ZeroMode::Trim, fua: true };
    tags.request(&mut port, 1, Ok(Request { ask: zero, offset: 4096, len: 8192 }));
    assert!(port.did().is_empty());
    disk.flushes.lock().unwrap().pop_front().unwrap().send(Ok(())).unwrap();
    tags.poll(&mut port, 0);
    assert_eq!(port.did(), [Did::Commit(0, 0)]);
    let (offset, len, mode, answer) = disk.zeroes.lock().unwrap().pop_front().unwrap();
    assert_eq!((offset, len, mode), (4096, 8192, ZeroMode::Trim));
    answer.send(Ok(())).unwrap();
    tags.poll(&mut port, 1);
    assert!(port.did().is_empty(), "FUA: zeroed, and not yet durable");
    disk.flushes.lock().unwrap().pop_front().unwrap().send(Ok(())).unwrap();
    tags.poll(&mut port, 1);
    assert_eq!(port.did(), [Did::Commit(1, 0)]);
}

#[test]
fn when_waits_are_refused_what_waits_fails_and_what_moves_goes_on() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, read(2 * CHUNK, 512));
    tags.request(&mut port, 1, read(0, 512));
    port.did();
    wakeups.set_refuse_waits(true);
    wakeups.take(|tag| tags.poll(&mut port, tag));
    assert_eq!(port.did(), [Did::Commit(0, -EIO)]);
    tags.moved(&mut port, 1, 512);
    assert_eq!(port.did(), [Did::Commit(1, 512)]);
    tags.request(&mut port, 0, read(2 * CHUNK, 512));
    assert_eq!(port.did(), [Did::Commit(0, -EIO)], "nor may anything new wait");
}

#[test]
fn a_panic_of_the_engine_fails_one_request() {
    let disk = disk_that(true);
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, read(2 * CHUNK, 512));
    tags.request(&mut port, 1, read(0, 512));
    tags.moved(&mut port, 1, 512);
    let commits: Vec<_> = port.did().into_iter().filter(|d| matches!(d, Did::Commit(..))).collect();
    assert_eq!(commits, [Did::Commit(0, -EIO), Did::Commit(1, 512)]);
}

#[test]
fn what_could_not_be_decoded_is_answered_with_its_errno() {
    let disk = disk();
    tags!(disk, tags, port, wakeups);
    tags.request(&mut port, 0, Err(95));
    assert_eq!(port.did(), [Did::Commit(0, -95)]);
    tags.poll(&mut port, 0);
    assert!(port.did().is_empty(), "a late wake of an idle tag does nothing");
}
