//! A session that several threads end at once, while others look whether it has ended.
//!
//! Its receiver asked why it ended while it still had hold of the answer, and a second one that wanted to end it waited between
//! the two: each for the other, for ever. A keeper that ends closes each session twice, so once in some runs it never
//! let go of its disk.

use std::sync::Barrier;
use std::sync::mpsc;
use std::time::Duration;

use wandisk_store::SiteId;

use super::*;
use crate::peer::dial::Silent;

const ROUNDS: usize = 100;
/// Times each of them does it: longer than the session takes to notice.
const TIMES: usize = 3000;
const CLOSERS: usize = 3;
const LOOKERS: usize = 3;
const LONG: Duration = Duration::from_secs(60);

async fn session() -> Session {
    let hello = |name: &str| HelloFields {
        site: SiteId::random(),
        name: name.to_owned(),
        disk: None,
        program: String::new(),
        free_bytes: None,
    };
    let (left, right) = tokio::io::duplex(1 << 16);
    let (a, b) = (hello("a"), hello("b"));
    let both =
        tokio::join!(Session::start(left, &a, Arc::new(Silent)), Session::start(right, &b, Arc::new(Silent)));
    both.0.unwrap()
}

/// All of them begin at once, and again and again.
fn end_from_all_sides(runtime: &tokio::runtime::Handle) {
    let session = runtime.block_on(session());
    let start = Barrier::new(CLOSERS + LOOKERS);
    std::thread::scope(|scope| {
        for _ in 0..CLOSERS {
            scope.spawn(|| {
                start.wait();
                (0..TIMES).for_each(|_| session.close("that was all"));
            });
        }
        for _ in 0..LOOKERS {
            scope.spawn(|| {
                start.wait();
                (0..TIMES).for_each(|_| _ = std::hint::black_box(session.is_closed()));
            });
        }
    });
    runtime.block_on(session.told());
}

#[test]
fn a_session_that_is_ended_from_all_sides_at_once_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        (0..ROUNDS).for_each(|_| end_from_all_sides(&handle));
        tell.send(()).ok();
    });
    let ended = hear.recv_timeout(LONG);
    // Not waited for: a thread that hangs would hang this one.
    runtime.shutdown_background();
    ended.expect("somebody who ended a session, or looked at it, still waits");
}
