//! Clients that break the rules: each loses at most its own connection, and the disk is never asked for what no
//! handshake granted. Three of nbdkit's CVEs are here by name.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::cold_disk::ColdDisk;
use support::raw::*;
use support::{MIB, Served};

const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

fn still_serves(served: &Served) {
    assert_eq!(served.client().call(0, READ, 0, 512, b"").error, 0);
}

/// CVE-2019-14850: a client that only connects, or talks without end, made the server open its backend.
#[test]
fn no_handshake_touches_the_disk_before_it_ends() {
    let disk = ColdDisk::new(8);
    let served = Served::disk(disk.clone());
    let mut client = Raw::open(&served.socket);
    let info = 6;
    let list = 3;
    let list_meta = 9;
    for option in [list, info, STRUCTURED_REPLY] {
        client.ask(option, if option == info { &[0; 6] } else { b"" });
    }
    client.ask(list_meta, &[0; 8]);
    client.ask(SET_META_CONTEXT, &[0; 8]);
    assert_eq!(served.handle.connections(), 0, "a client in its handshake is not connected yet");
    assert_eq!(disk.asked.load(Ordering::SeqCst), 0);
    client.go();
    assert_eq!(served.handle.connections(), 1);
    assert_eq!(disk.asked.load(Ordering::SeqCst), 0);
}

/// CVE-2019-14851: commands in an order that nobody expected hit an assertion.
#[test]
fn options_in_any_order_are_answered() {
    let served = Served::file(MIB);
    let mut client = Raw::open(&served.socket);
    let context = [&[0u8; 4][..], &1u32.to_be_bytes(), &15u32.to_be_bytes(), b"base:allocation"].concat();
    let unknown_export = [&5u32.to_be_bytes()[..], b"other", &[0, 0]].concat();
    let err_invalid = (1 << 31) + 3;
    let err_unknown = (1 << 31) + 6;
    assert_eq!(client.ask(SET_META_CONTEXT, &context), err_invalid);
    assert_eq!(client.ask(GO, &unknown_export), err_unknown);
    assert_eq!(client.ask(STRUCTURED_REPLY, b""), ACK);
    assert_eq!(client.ask(SET_META_CONTEXT, &context), ACK);
    assert_eq!(client.ask(GO, b""), err_invalid);
    assert_eq!(client.ask(STRUCTURED_REPLY, b""), ACK);
    client.go();
    // An option after the handshake is no request.
    client.send(&option_bytes(GO, &[0; 12]));
    client.assert_closed();
    still_serves(&served);
}

/// CVE-2021-3716: what was agreed in plain text before STARTTLS was kept after it. Here there is no TLS to upgrade
/// to; the refusal keeps what was agreed, and what is pipelined behind it is read as it was sent.
#[test]
fn starttls_is_refused_and_changes_nothing() {
    let served = Served::file(MIB);
    let mut client = Raw::open(&served.socket);
    assert_eq!(client.ask(STRUCTURED_REPLY, b""), ACK);
    client.send(&[option_bytes(STARTTLS, b""), option_bytes(GO, &[0; 6])].concat());
    let refusal = client.receive(20);
    assert_eq!(refusal[12..16], ERR_UNSUP.to_be_bytes());
    let message = u32::from_be_bytes(refusal[16..].try_into().unwrap());
    client.receive(message as usize);
    // Information twice, and the end of it.
    client.receive(20 + 12 + 20 + 14 + 20);
    let cookie = client.request(0, READ, MIB, 512, b"");
    let answer = client.answer(0);
    assert_eq!((answer.cookie, answer.error), (cookie, EINVAL), "a read is still answered in chunks");
}

#[test]
fn a_range_outside_the_disk_is_refused_and_the_connection_goes_on() {
    let served = Served::file(MIB);
    let mut client = served.client();
    assert_eq!(client.call(0, READ, MIB - 1, 2, b"").error, EINVAL);
    assert_eq!(client.call(0, READ, u64::MAX, u32::MAX, b"").error, EINVAL);
    assert_eq!(client.call(0, WRITE, MIB, 4, b"data").error, ENOSPC);
    assert_eq!(client.call(0, TRIM, MIB - 4096, 8192, b"").error, EINVAL);
    assert_eq!(client.call(0, WRITE_ZEROES, u64::MAX - 1, 1, b"").error, ENOSPC);
    assert_eq!(client.call(0, READ, MIB - 1, 1, b"").error, 0);
}

#[test]
fn what_is_too_long_is_refused_and_what_is_far_too_long_ends_the_connection() {
    let served = Served::file(128 * MIB);
    let mut client = served.client();
    let most = 32 << 20;
    assert_eq!(client.call(0, READ, 0, most, b"").data.len(), most as usize);
    assert_eq!(client.call(0, READ, 0, most + 1, b"").error, EINVAL);
    assert_eq!(client.call(0, WRITE, 0, most, &vec![1; most as usize]).error, 0);
    assert_eq!(client.call(0, WRITE, 0, most + 1, &vec![1; most as usize + 1]).error, EINVAL);
    assert_eq!(client.call(0, READ, u64::from(most) - 1, 2, b"").data, [1, 0]);
    let cookie = client.request(0, WRITE, 0, (64 << 20) + 1, b"");
    let answer = client.answer(0);
    assert_eq!((answer.cookie, answer.error), (cookie, EINVAL));
    client.assert_closed();
    still_serves(&served);
}

#[test]
fn unknown_commands_and_flags_are_refused() {
    let served = Served::file(MIB);
    let mut client = served.client();
    let fast_zero = 1 << 4;
    assert_eq!(client.call(fast_zero, WRITE_ZEROES, 0, 512, b"").error, EINVAL);
    assert_eq!(client.call(1 << 15, READ, 0, 512, b"").error, EINVAL);
    assert_eq!(client.call(1 << 15, WRITE, 0, 4, b"data").error, EINVAL);
    assert_eq!(client.call(0, 4711, 0, u32::MAX, b"").error, EINVAL);
    assert_eq!(client.call(0, READ, 0, 4, b"").data, [0; 4]);
}

#[test]
fn a_request_of_no_length_does_nothing() {
    let served = Served::file(MIB);
    let mut client = served.client();
    for command in [READ, WRITE, TRIM, WRITE_ZEROES, FLUSH] {
        assert_eq!(client.call(0, command, 0, 0, b"").error, 0, "command {command}");
        assert_eq!(Raw::connect_structured(&served.socket).call(0, command, MIB, 0, b"").error, 0);
    }
}

#[test]
fn a_read_only_disk_refuses_and_goes_on() {
    let served = Served::disk(std::sync::Arc::new(support::whole_file(MIB, true)));
    let mut client = served.client();
    assert_eq!(client.call(0, WRITE, 0, 4, b"data").error, 1);
    assert_eq!(client.call(0, TRIM, 0, 4096, b"").error, 1);
    assert_eq!(client.call(0, WRITE_ZEROES, 0, 4096, b"").error, 1);
    assert_eq!(client.call(0, FLUSH, 0, 0, b"").error, 0);
    assert_eq!(client.call(0, READ, 0, 4, b"").data, [0; 4]);
}

#[test]
fn a_write_that_was_not_sent_whole_changes_nothing() {
    let served = Served::file(4 * MIB);
    for (announced, sent) in [(8192u32, 4096usize), (2 << 20, 1 << 20), (512, 0)] {
        let mut client = served.client();
        client.request(0, WRITE, 0, announced, &vec![0xff; sent]);
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.assert_closed();
    }
    assert_eq!(served.client().call(0, READ, 0, 1 << 20, b"").data, vec![0; 1 << 20]);
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    let served = Served::file(MIB);
    let mut client = served.client();
    let requests: Vec<u8> = (0..100).flat_map(|i| request_bytes(0, READ, i, i * 512, 512)).collect();
    client.send(&requests);
    client.send(&request_bytes(0, DISC, 0, 0, 0));
    for _ in 0..100 {
        assert_eq!(client.answer(512).error, 0);
    }
    client.assert_closed();
}

#[test]
fn requests_that_come_with_the_handshake_are_served() {
    let served = Served::file(MIB);
    let mut client = Raw::greeted(&served.socket);
    let name = option_bytes(EXPORT_NAME, b"disk");
    client.send(&[&3u32.to_be_bytes()[..], &name, &request_bytes(0, READ, 9, 0, 16)].concat());
    assert_eq!(client.receive(10)[..8], MIB.to_be_bytes());
    let answer = client.answer(16);
    assert_eq!((answer.cookie, answer.data), (9, vec![0; 16]));
}

#[test]
fn a_wrong_name_or_flag_ends_the_handshake() {
    let served = Served::file(MIB);
    let mut client = Raw::open(&served.socket);
    client.send(&option_bytes(EXPORT_NAME, b"other"));
    client.assert_closed();
    let mut client = Raw::greeted(&served.socket);
    client.send(&[0xff; 4]);
    client.assert_closed();
    let mut client = Raw::open(&served.socket);
    assert_eq!(client.ask(ABORT, b""), ACK);
    client.assert_closed();
}

#[test]
fn a_client_that_never_reads_holds_up_nobody_else() {
    let served = Served::file(MIB);
    let mut deaf = served.client();
    deaf.stream.set_nonblocking(true).unwrap();
    let request = request_bytes(0, READ, 1, 0, 128 << 10);
    // Until the server has stopped reading, since its replies go nowhere.
    while deaf.stream.write_all(&request).is_ok() {}
    for _ in 0..4 {
        still_serves(&served);
    }
    drop(deaf);
}

/// Garbage at every stage; whatever it is, the next client is served.
#[test]
fn garbage_ends_at_most_its_own_connection() {
    let served = Served::file(MIB);
    let stage = 0usize..4;
    let bytes = proptest::collection::vec(any::<u8>(), 1..400);
    let header = prop_oneof![Just(true), Just(false)];
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    let outcome = runner.run(&(stage, bytes, header), |(stage, bytes, header)| {
        let mut client = match stage {
            0 => Raw::greeted(&served.socket),
            1 => Raw::open(&served.socket),
            2 => served.client(),
            _ => Raw::connect_structured(&served.socket),
        };
        // Right magic at times, so that what is behind it is looked at.
        let start: &[u8] = match (header, stage) {
            (false, _) => b"",
            (true, 0) => &[0, 0, 0, 3],
            (true, 1) => OPTION_MAGIC,
            (true, _) => &[0x25, 0x60, 0x95, 0x13],
        };
        client.stream.write_all(&[start, &bytes].concat()).ok();
        client.stream.shutdown(Shutdown::Write).ok();
        let mut answers = Vec::new();
        let ended = std::io::Read::read_to_end(&mut client.stream, &mut answers);
        prop_assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
        Ok(())
    });
    outcome.unwrap();
    still_serves(&served);
}
