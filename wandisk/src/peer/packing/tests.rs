//! Messages there and back, and what a hostile peer could send in their place.

use super::*;
use crate::peer::frame::Kind;
use crate::peer::limits::BODY_MAX;
use proptest::prelude::*;

fn message(id: u64, head: &[u8], body: &[u8]) -> Message {
    Message::new(Kind::Reply, id, (head.to_vec(), Bytes::copy_from_slice(body)))
}

fn packed(packer: &mut Packer, message: &Message) -> Message {
    let body = packer.pack(&message.parts.0, &message.parts.1).unwrap();
    Message { packed: true, parts: (Vec::new(), Bytes::from(body)), ..message.clone() }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn messages_come_as_they_were(bodies in prop::collection::vec((any::<bool>(), 0usize..300_000, any::<bool>()), 1..8)) {
        let (mut packer, mut unpacker, mut tail) = (Packer::new(3).unwrap(), Unpacker::default(), Vec::new());
        for (id, (text, len, ends)) in bodies.into_iter().enumerate() {
            let body = if text { b"some words ".repeat(len / 11 + 1)[..len].to_vec() } else { noise(id as u64, len) };
            let sent = message(id as u64, b"{\"answer\":\"chunk\"}", &body);
            let mut on_the_wire = packed(&mut packer, &sent);
            let all = [std::mem::take(&mut tail), on_the_wire.parts.1.to_vec()].concat();
            on_the_wire.parts.1 = Bytes::from(all);
            prop_assert!(on_the_wire.fits());
            prop_assert_eq!(unpacker.unpack(on_the_wire).unwrap(), sent);
            if ends {
                tail = packer.end(if text { 6 } else { 1 }).unwrap();
            }
        }
    }

    #[test]
    fn foreign_bytes_make_a_message_that_fits_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2000), real in any::<bool>()) {
        let body = if real { zstd::bulk::compress(&bytes, 1).unwrap() } else { bytes };
        let foreign = Message { packed: true, ..message(1, b"", &body) };
        if let Ok(message) = Unpacker::default().unpack(foreign) {
            prop_assert!(message.fits() && !message.packed);
        }
    }
}

#[test]
fn what_came_before_is_not_sent_again() {
    let chunk = noise(1, 128 << 10);
    let (mut packer, mut unpacker) = (Packer::new(3).unwrap(), Unpacker::default());
    for id in 0..3 {
        let sent = message(id, b"{}", &chunk);
        let on_the_wire = packed(&mut packer, &sent);
        assert_eq!(on_the_wire.parts.1.len() < 1000, id > 0, "{id}: {}", on_the_wire.parts.1.len());
        assert_eq!(unpacker.unpack(on_the_wire).unwrap(), sent);
    }
}

#[test]
fn the_longest_message_that_is_packed_fits_though_nothing_gives_way() {
    let long = message(1, b"{}", &noise(1, PACKED_MAX - PREFIX - 2));
    assert!(can_be_packed(&long));
    let on_the_wire = packed(&mut Packer::new(3).unwrap(), &long);
    assert!(on_the_wire.fits(), "{} of {BODY_MAX}", on_the_wire.parts.1.len());
    assert_eq!(Unpacker::default().unpack(on_the_wire).unwrap(), long);
    assert!(!can_be_packed(&message(1, b"{}", &vec![0; PACKED_MAX])));
}

#[test]
fn a_bomb_is_cut_at_the_bound() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    let sent = Message { packed: true, ..message(1, b"", &bomb) };
    assert!(matches!(Unpacker::default().unpack(sent), Err(UnpackError::TooLong)));
}

#[test]
fn a_window_beyond_the_bound_is_refused_before_memory_is_taken() {
    let mut wide = Encoder::new(3).unwrap();
    wide.set_parameter(CParameter::WindowLog(WINDOW_LOG + 1)).unwrap();
    let mut out = Vec::new();
    let mut input = InBuffer::around(b"\0\0\0\0body");
    drive(&mut out, |room| wide.run(&mut input, room).map(|_| true)).unwrap();
    drive(&mut out, |room| Ok(wide.flush(room)? == 0)).unwrap();
    let sent = Message { packed: true, ..message(1, b"", &out) };
    assert!(matches!(Unpacker::default().unpack(sent), Err(UnpackError::Malformed)));
}

#[test]
fn a_head_longer_than_what_came_is_refused() {
    for length in [9u32, 1 << 20, u32::MAX] {
        let content = [&length.to_le_bytes()[..], &[7; 8]].concat();
        let body = zstd::bulk::compress(&content, 1).unwrap();
        let sent = Message { packed: true, ..message(1, b"", &body) };
        assert!(matches!(Unpacker::default().unpack(sent), Err(UnpackError::Malformed)), "{length}");
    }
}
