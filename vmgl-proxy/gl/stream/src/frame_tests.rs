//! Frames over connections that cut, break and lie.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use super::{FrameError, HEADER, Incoming, Outgoing};
use crate::{Control, limits};

fn payload(fill: u32, count: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..count {
        Control::Swap { drawable: fill, serial: n, interval: 0 }.encode(&mut out);
    }
    out
}

fn all(incoming: &mut Incoming) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    while let Some(frame) = incoming.next_frame().unwrap() {
        got.push(frame.payload);
    }
    got
}

#[test]
fn frames_arrive_however_the_bytes_are_cut_packed_or_plain() {
    for packed in [false, true] {
        let mut outgoing = Outgoing::new(packed).unwrap();
        let sent: Vec<_> = (1..20).map(|n| payload(n, n * 7)).collect();
        let mut bytes = Vec::new();
        for payload in &sent {
            outgoing.push(payload.clone(), 0, &mut bytes).unwrap();
        }
        for piece in [1, 13, 4096] {
            let (mut incoming, mut got) = (Incoming::new().unwrap(), Vec::new());
            for piece in bytes.chunks(piece) {
                incoming.feed(piece);
                got.extend(all(&mut incoming));
            }
            assert_eq!(got, sent);
            assert_eq!(incoming.taken(), 19);
        }
    }
}

#[test]
fn what_repeats_from_frame_to_frame_is_packed_away() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut data = vec![0; 60_000];
    random.fill(&mut data);
    let mut outgoing = Outgoing::new(true).unwrap();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        Control::Part { data: &data }.encode(&mut payload);
        outgoing.push(payload, 0, &mut bytes).unwrap();
        sizes.push(bytes.len());
    }
    assert!(sizes[0] > 60_000 && sizes[1] < 2_000 && sizes[2] < 2_000, "{sizes:?}");
}

#[test]
fn a_stream_goes_on_after_a_broken_connection_with_nothing_lost_or_twice() {
    for packed in [false, true] {
        for cut in [0, 10, HEADER + 3, 150, 400] {
            let (mut outgoing, mut incoming) = (Outgoing::new(packed).unwrap(), Incoming::new().unwrap());
            let sent: Vec<_> = (1..9).map(|n| payload(n, 6)).collect();
            let mut bytes = Vec::new();
            for payload in &sent {
                outgoing.push(payload.clone(), 0, &mut bytes).unwrap();
            }
            incoming.feed(&bytes[..cut]);
            let mut got = all(&mut incoming);
            // The connection is gone; another one opens.
            incoming.resume().unwrap();
            let mut again = Vec::new();
            outgoing.resume(incoming.taken() + 1, packed, 0, &mut again).unwrap();
            outgoing.push(payload(9, 1), 0, &mut again).unwrap();
            incoming.feed(&again);
            got.extend(all(&mut incoming));
            assert_eq!(got[..8], sent, "cut at {cut}");
            assert_eq!(got.len(), 9);
        }
    }
}

#[test]
fn what_was_acknowledged_is_kept_no_longer() {
    let (mut there, mut incoming) = (Outgoing::new(false).unwrap(), Incoming::new().unwrap());
    let mut bytes = Vec::new();
    for n in 0..4 {
        there.push(payload(n, 10), 0, &mut bytes).unwrap();
    }
    let mut back = Vec::new();
    Outgoing::acknowledge(3, &mut back);
    incoming.feed(&back);
    assert_eq!(incoming.next_frame().unwrap(), None);
    there.acked(incoming.acked());
    assert_eq!(there.waiting_bytes(), payload(0, 10).len());
    assert_eq!(there.last(), 4);
    let refused = there.resume(2, false, 0, &mut bytes).unwrap_err();
    assert!(matches!(refused, FrameError::Gone { wanted: 2, from: 4, to: 4 }), "{refused}");
}

#[test]
fn a_payload_above_the_limit_is_cut_between_commands() {
    let (mut outgoing, mut incoming) = (Outgoing::new(false).unwrap(), Incoming::new().unwrap());
    let mut whole = Vec::new();
    let data = vec![5; limits::PART];
    for _ in 0..200 {
        Control::Part { data: &data }.encode(&mut whole);
    }
    let mut bytes = Vec::new();
    outgoing.push(whole.clone(), 0, &mut bytes).unwrap();
    incoming.feed(&bytes);
    let got = all(&mut incoming);
    assert!(got.len() == 2 && got.concat() == whole);
}

#[test]
fn a_header_that_lies_is_refused_before_memory_is_taken() {
    let mut incoming = Incoming::new().unwrap();
    let mut bytes = Vec::new();
    super::put_header(&mut bytes, [10, limits::FRAME + 1], 1, 0, 1);
    incoming.feed(&bytes);
    assert!(matches!(incoming.next_frame(), Err(FrameError::Long(_))));

    let mut incoming = Incoming::new().unwrap();
    let mut bytes = Vec::new();
    super::put_header(&mut bytes, [0, 0], 2, 0, 0);
    incoming.feed(&bytes);
    assert!(matches!(incoming.next_frame(), Err(FrameError::Order { is: 2, wanted: 1 })));
}
