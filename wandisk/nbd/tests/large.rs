//! Large writes, whose data goes through a pipe where it can: cut into pieces, to chunks that are cold, to files that
//! refuse them, and by clients that stop half-way.

mod support;

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::time::Instant;

use support::cold_disk::{ColdDisk, Rule};
use support::raw::{FUA, READ, Raw, WRITE, request_bytes};
use support::{CHUNK, SOON, Served};
use wandisk_io::{Disk, Op};

const LEN: usize = CHUNK as usize;
const AT: u64 = CHUNK as u64;

fn noise(seed: u8) -> Vec<u8> {
    (0..LEN).map(|n| (n * 31 + n / 251).to_le_bytes()[0] ^ seed).collect()
}

/// Sends a write at chunk `n` in pieces; its answer's error.
fn write_cut(client: &mut Raw, chunk: u64, data: &[u8], pieces: &[usize]) -> u32 {
    let mut bytes = request_bytes(0, WRITE, 77, chunk * AT, CHUNK);
    bytes.extend_from_slice(data);
    let mut rest = &bytes[..];
    for piece in pieces {
        let (now, later) = rest.split_at(*piece);
        client.send(now);
        rest = later;
    }
    client.send(rest);
    client.answer(0).error
}

#[test]
fn however_it_is_cut_a_large_write_arrives() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    // The last one is more pieces than a pipe has room for.
    let cuts = [vec![], vec![28], vec![10, 18, 1], vec![28 + 70_000], vec![4096; 20], vec![1; 3000]];
    for (seed, cut) in (1..).zip(&cuts) {
        for (chunk, cold) in [(0, false), (1, true)] {
            if cold {
                disk.cool(chunk, None);
            }
            let data = noise(seed);
            assert_eq!(write_cut(&mut client, chunk, &data, cut), 0, "{cut:?}");
            assert!(client.call(0, READ, chunk * AT, CHUNK, b"").data == data, "{cut:?}");
        }
        assert_eq!(client.call(FUA, WRITE, 3, 4, b"next").error, 0);
    }
}

#[test]
fn a_large_write_that_waits_holds_up_nobody() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    client.request(0, WRITE, AT, CHUNK, &noise(1));
    disk.until_waiting(1);
    assert_eq!(client.call(0, WRITE, 0, CHUNK, &noise(2)).error, 0);
    disk.let_go();
    assert_eq!(client.answer(0).error, 0);
    assert!(client.call(0, READ, AT, CHUNK, b"").data == noise(1));
    assert!(client.call(0, READ, 0, CHUNK, b"").data == noise(2));
}

#[test]
fn a_client_that_stops_half_way_keeps_no_leave_and_writes_nothing() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    // After a large write the next one's data stays in the socket.
    assert_eq!(write_cut(&mut client, 0, &noise(1), &[28]), 0);
    client.stream.write_all(&request_bytes(0, WRITE, 5, AT, CHUNK)).unwrap();
    client.stream.write_all(&noise(3)[..LEN - 1]).unwrap();
    assert!(disk.hot().gate().wait_grace(Instant::now() + SOON));
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.assert_closed();
    assert!(served.client().call(0, READ, AT, CHUNK, b"").data == vec![0; LEN]);
}

#[test]
fn a_large_write_that_the_file_refuses_is_told_and_leaves_nothing_in_the_pipe() {
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    let disk = ColdDisk::on(full, 8);
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    for _ in 0..3 {
        assert_eq!(write_cut(&mut client, 0, &noise(1), &[28, 40_000]), 28);
    }
    assert_eq!(*disk.failed.lock().unwrap(), [(Op::Write, 28); 3]);
}

#[test]
fn after_a_write_that_failed_the_next_one_brings_its_own_data() {
    let file = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, 4 * AT).unwrap();
    rustix::fs::fcntl_add_seals(&file, rustix::fs::SealFlags::GROW).unwrap();
    let disk = ColdDisk::on(File::from(file), 8);
    let served = Served::disk(disk);
    let mut client = served.client();
    for seed in 1..4 {
        assert_eq!(write_cut(&mut client, 6, &noise(7), &[28]), 5);
        assert_eq!(write_cut(&mut client, 2, &noise(seed), &[28]), 0);
        assert!(client.call(0, READ, 2 * AT, CHUNK, b"").data == noise(seed));
    }
}
