//! Frames and hellos as bytes: whole, cut, contradicting themselves, of another version.

use super::*;
use proptest::prelude::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn decode(bytes: &[u8]) -> io::Result<Frame> {
    runtime().block_on(read(&mut &bytes[..]))
}

fn encode(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    let said = runtime().block_on(send(&mut bytes, frame)).unwrap();
    assert_eq!(said, bytes.len());
    bytes
}

fn frame(kind: Kind, head: &[u8], piece: &[u8]) -> Frame {
    Frame {
        kind,
        id: 7,
        more: false,
        packed: false,
        head: head.to_vec(),
        piece: Bytes::copy_from_slice(piece),
    }
}

proptest! {
    #[test]
    fn a_frame_survives_the_wire(reply: bool, more: bool, packed: bool, id: u64, head: Vec<u8>, piece: Vec<u8>) {
        let head = if packed { Vec::new() } else { head };
        let kind = if reply { Kind::Reply } else { Kind::Request };
        let more = more && head.len() + piece.len() > 0;
        let frame = Frame { kind, id, more, packed, head, piece: Bytes::from(piece) };
        prop_assert_eq!(decode(&encode(&frame)).unwrap(), frame);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = decode(&bytes) {
            let again = encode(&frame);
            prop_assert_eq!(&bytes[..again.len()], &again[..]);
        }
    }

    #[test]
    fn a_cut_frame_is_an_error_at_every_byte(piece in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..80) {
        let bytes = encode(&frame(Kind::Reply, b"{}", &piece));
        if cut < bytes.len() {
            prop_assert!(decode(&bytes[..cut]).is_err());
        }
    }
}

fn hello(bytes: &[u8]) -> String {
    runtime().block_on(read_hello(&mut &bytes[..])).unwrap_err().to_string()
}

fn hello_of(version: u16, oldest: u16, json: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&oldest.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(json.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

#[test]
fn something_else_at_the_far_end_is_shown() {
    assert!(hello(b"Welcome to Debian\n").contains("it said \"Welcome to Debian\\n\""));
    assert!(hello(b"WAN").contains("ended after saying \"WAN\""));
}

#[test]
fn another_version_is_named() {
    let said = hello(&hello_of(9, 7, "{}"));
    assert!(said.contains("version 9") && said.contains("understands 7"), "{said}");
    // Version 1 has no pieces: a long message of ours would be garbage to it.
    assert!(hello(&hello_of(1, 1, "{}")).contains("version 1"));
    assert!(hello(&hello_of(2, 3, "{}")).contains("contradicts itself"));
}

#[test]
fn a_hello_with_a_name_that_is_none_is_refused() {
    let site = "6f0c1a52-6d83-4a1e-9f0f-111111111111";
    let of = |name: &str, program: &str| {
        serde_json::json!({"site": site, "name": name, "disk": null, "program": program, "free_bytes": null})
            .to_string()
    };
    // A name is shown to people and written to logs.
    for (name, program) in
        [("a\u{1b}[2J", "1"), ("a\nb", "1"), ("", "1"), ("a", "1\u{7}"), ("a", &"9".repeat(65))]
    {
        assert!(
            hello(&hello_of(VERSION, OLDEST, &of(name, program))).contains("name"),
            "{name:?} {program:?}"
        );
    }
    let good = hello_of(VERSION, OLDEST, &of("a", "0.1.0"));
    assert!(runtime().block_on(read_hello(&mut &good[..])).is_ok());
}

#[test]
fn a_length_from_the_wire_is_checked_before_memory_is_taken() {
    let mut bytes = encode(&frame(Kind::Reply, b"", b""));
    for length in [u32::MAX, 4 + 65537, 1 << 20] {
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        assert!(decode(&bytes).unwrap_err().to_string().contains("too long"), "{length}");
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let with = |kind: u8, flags: u8, length: u32, head: u32| {
        let mut bytes = [0u8; HEADER_LEN];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        (bytes[4], bytes[5]) = (kind, flags);
        bytes[16..].copy_from_slice(&head.to_le_bytes());
        Header::parse(&bytes)
    };
    assert!(with(2, 0, 4 + 65536, 65536).is_ok());
    assert!(with(2, 1, 5, 0).is_ok());
    assert!(with(1, 3, 5, 0).is_ok());
    for (what, kind, flags, length, head) in [
        ("a length that leaves no room for the head's", 2, 0, 3, 0),
        ("a head longer than the frame", 2, 0, 4 + 8, 9),
        ("a head at the end of numbers", 2, 0, 4 + 8, u32::MAX),
        ("more to follow, and nothing now", 2, 1, 4, 0),
        ("an unknown flag", 2, 4, 4, 0),
        ("a packed message with a head outside", 2, 2, 4 + 8, 8),
        ("packed progress", 4, 2, 4, 0),
        ("a ping with a head", 6, 0, 5, 1),
        ("a pong with a body", 7, 0, 5, 0),
        ("a cancel that goes on", 5, 1, 4, 0),
        ("an error with a body", 3, 0, 4 + 3, 2),
        ("a bye that is a book", 8, 0, 4 + 1025, 1025),
        ("no kind", 0, 0, 4, 0),
        ("kind nine", 9, 0, 4, 0),
    ] {
        assert!(with(kind, flags, length, head).is_err(), "{what}");
    }
}
