//! Requests that have to wait: they hold up no others, are answered out of order, and tell their errors.

mod support;

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use support::cold_disk::{ColdDisk, Rule};
use support::raw::{
    BLOCK_STATUS, FLUSH, FUA, READ, Raw, SET_META_CONTEXT, STRUCTURED_REPLY, TRIM, WRITE, request_bytes,
};
use support::{CHUNK, SOON, Served};
use wandisk_io::{IoError, Op};

const AT: u64 = CHUNK as u64;

#[test]
fn a_slow_chunk_holds_up_nobody() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    let slow_read = client.request(0, READ, AT + 5, 100, b"");
    let slow_write = client.request(0, WRITE, 2 * AT - 2, 4, b"abcd");
    let slow_trim = client.request(0, TRIM, AT, 4096, b"");
    disk.until_waiting(3);
    assert_eq!(client.call(0, WRITE, 0, 4, b"fast").error, 0);
    assert_eq!(client.call(0, READ, 0, 4, b"").data, b"fast");
    assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 0);
    disk.let_go();
    let mut cookies = Vec::new();
    for _ in 0..3 {
        // Only the read brings data, and its answer says which it is.
        let answer = client.answer(0);
        if answer.cookie == slow_read {
            client.receive(100);
        }
        assert_eq!(answer.error, 0);
        cookies.push(answer.cookie);
    }
    cookies.sort_unstable();
    assert_eq!(cookies, [slow_read, slow_write, slow_trim]);
    assert_eq!(client.call(0, READ, 2 * AT - 2, 4, b"").data, b"abcd");
    assert_eq!(disk.ended[0].load(Ordering::SeqCst), 1);
}

#[test]
fn a_write_that_the_file_refuses_is_told_to_the_client_and_to_the_disk() {
    let full = std::fs::File::options().read(true).write(true).open("/dev/full").unwrap();
    let disk = ColdDisk::on(full, 8);
    disk.cool(1, None);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    for offset in [0, AT] {
        assert_eq!(client.call(0, WRITE, offset, 4, b"abcd").error, 28);
    }
    assert_eq!(*disk.failed.lock().unwrap(), [(Op::Write, 28), (Op::Write, 28)]);
    assert_eq!(disk.ended[1].load(Ordering::SeqCst), 1);
}

#[test]
fn each_error_of_the_disk_is_told_as_its_errno() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let (mut simple, mut structured) = (served.client(), Raw::connect_structured(&served.socket));
    let errors = [
        (IoError::Io, 5),
        (IoError::NoSpace, 28),
        (IoError::ReadOnly, 1),
        (IoError::NotResident, 5),
        (IoError::TimedOut, 5),
        (IoError::Invalid, 22),
    ];
    for (error, errno) in errors {
        disk.cool(3, Some(Rule::Fail(error)));
        for client in [&mut simple, &mut structured] {
            assert_eq!(client.call(0, READ, 3 * AT, 512, b"").error, errno, "read: {error}");
            assert_eq!(client.call(0, WRITE, 3 * AT, 4, b"data").error, errno, "write: {error}");
            assert_eq!(client.call(0, TRIM, 3 * AT, 4096, b"").error, errno, "trim: {error}");
            assert_eq!(client.call(0, READ, 0, 512, b"").error, 0, "the connection goes on");
        }
    }
}

#[test]
fn a_flush_that_fails_fails_the_fua_write_too() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    assert_eq!(client.call(FUA, WRITE, 0, 4, b"data").error, 0);
    assert_eq!(disk.flushes.load(Ordering::SeqCst), 1);
    assert_eq!(client.call(0, WRITE, 0, 4, b"data").error, 0);
    assert_eq!(disk.flushes.load(Ordering::SeqCst), 1);
    disk.fail_flushes(IoError::Io);
    disk.cool(1, None);
    for offset in [0, AT] {
        assert_eq!(client.call(FUA, WRITE, offset, 4, b"data").error, 5);
        assert_eq!(client.call(FUA, TRIM, offset, 4096, b"").error, 5);
    }
    assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 5);
}

#[test]
fn flushes_that_wait_hold_up_nobody() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    for round in 1..=3 {
        disk.hold_flushes();
        // The first by the thread that reads, the others by the pool.
        let mut asked: Vec<u64> = (0..2).map(|_| client.request(0, FLUSH, 0, 0, b"")).collect();
        asked.push(client.request(FUA, WRITE, 0, 4, b"both"));
        disk.until_waiting(3);
        assert_eq!(client.call(0, WRITE, AT, 4, b"fast").error, 0);
        assert_eq!(client.call(0, READ, AT, 4, b"").data, b"fast");
        disk.let_go();
        let mut answered: Vec<u64> = (0..3)
            .map(|_| {
                let answer = client.answer(0);
                assert_eq!(answer.error, 0);
                answer.cookie
            })
            .collect();
        answered.sort_unstable();
        assert_eq!(answered, asked);
        assert_eq!(disk.flushes.load(Ordering::SeqCst), 3 * round);
    }
}

#[test]
fn a_client_that_vanishes_while_it_flushes_leaves_nothing_behind() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    disk.hold_flushes();
    client.request(0, FLUSH, 0, 0, b"");
    client.request(0, FLUSH, 0, 0, b"");
    disk.until_waiting(2);
    drop(client);
    disk.let_go();
    assert_eq!(served.handle.stop(SOON).abandoned, 0);
}

#[test]
fn a_disk_that_panics_fails_the_request_and_nothing_else() {
    let disk = ColdDisk::new(8);
    disk.cool(2, Some(Rule::Panic));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    for _ in 0..40 {
        // More often than the pool has threads.
        assert_eq!(client.call(0, READ, 2 * AT, 512, b"").error, 5);
    }
    assert_eq!(client.call(0, WRITE, 0, 4, b"data").error, 0);
    assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 0);
    disk.panics_at_flush.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 5);
    }
    disk.panics_at_flush.store(false, Ordering::SeqCst);
    assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 0);
}

#[test]
fn a_disk_that_panics_on_the_hot_path_costs_one_connection() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    disk.panics_at_count.store(true, Ordering::SeqCst);
    client.request(0, WRITE, 0, 4, b"data");
    client.assert_closed();
    disk.panics_at_count.store(false, Ordering::SeqCst);
    assert_eq!(served.client().call(0, READ, 0, 4, b"").error, 0);
}

#[test]
fn more_cold_requests_than_may_be_in_flight_are_all_answered() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    let mut sender = Raw { stream: client.stream.try_clone().unwrap(), cookie: 0 };
    let requests = 1000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..requests {
                sender.request(0, WRITE, AT, 512, &[7; 512]);
            }
        });
        disk.until_waiting(256);
        disk.let_go();
        for _ in 0..requests {
            assert_eq!(client.answer(0).error, 0);
        }
    });
}

#[test]
fn a_client_that_vanishes_while_it_waits_leaves_nothing_behind() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    client.request(0, WRITE, AT, 4, b"kept");
    client.request(0, READ, AT, 512, b"");
    disk.until_waiting(2);
    drop(client);
    disk.let_go();
    // Dropping what is served checks that nobody is left; the write was taken, so it is done.
    let ended = served.handle.stop(SOON);
    assert_eq!(ended.abandoned, 0);
    assert_eq!(disk.ended[0].load(Ordering::SeqCst), 1);
}

#[test]
fn block_status_tells_what_the_disk_tells() {
    let disk = ColdDisk::new(8);
    disk.punch(1);
    disk.punch(2);
    let served = Served::disk(disk);
    let mut client = Raw::open(&served.socket);
    assert_eq!(client.ask(STRUCTURED_REPLY, b""), 1);
    let query = [&[0u8; 4][..], &1u32.to_be_bytes(), &15u32.to_be_bytes(), b"base:allocation"].concat();
    assert_eq!(client.ask(SET_META_CONTEXT, &query), 1);
    client.go();
    client.request(0, BLOCK_STATUS, 100, 3 * CHUNK, b"");
    let runs: Vec<u32> =
        client.answer(0).data.chunks(4).map(|w| u32::from_be_bytes(w.try_into().unwrap())).collect();
    assert_eq!(runs, [CHUNK - 100, 0, 2 * CHUNK, 3, 100, 0]);
    let only_one = 8;
    client.request(only_one, BLOCK_STATUS, 0, 3 * CHUNK, b"");
    assert_eq!(client.answer(0).data.len(), 8);
    assert_eq!(served.client().call(0, BLOCK_STATUS, 0, 512, b"").error, 22, "the context was not chosen");
}

#[test]
fn every_request_is_counted_once() {
    let disk = ColdDisk::new(8);
    disk.cool(1, None);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    for offset in [0, AT] {
        assert_eq!(client.call(0, WRITE, offset, 4, b"data").error, 0);
        assert_eq!(client.call(0, READ, offset, 4, b"").error, 0);
    }
    assert_eq!(client.call(0, READ, 0, 4 * CHUNK, b"").error, 0);
    assert_eq!(disk.counted.load(Ordering::SeqCst), 5);
}

#[test]
fn a_client_hears_of_its_writes_while_another_of_them_takes_long() {
    let disk = ColdDisk::new(8);
    let (done, until_done) = mpsc::channel();
    disk.at_counts.lock().unwrap().extend([
        Box::new(|| {}) as Box<dyn FnOnce() + Send>,
        Box::new(|| std::thread::sleep(Duration::from_millis(1))),
        Box::new(move || until_done.recv_timeout(SOON).expect("the client has heard of the others")),
    ]);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    let write = |cookie| [request_bytes(0, WRITE, cookie, 0, 4), b"data".to_vec()].concat();
    client.send(&[write(1), write(2), write(3)].concat());
    assert_eq!([client.answer(0).cookie, client.answer(0).cookie], [1, 2]);
    done.send(()).unwrap();
    assert_eq!(client.answer(0).cookie, 3);
}
