//! Files of recorded sessions: what is written is read as it was; what is broken is refused with its place.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::time::Duration;

use proptest::prelude::*;
use vmgl_proxy::redux::matcher::Part;
use vmgl_proxy::redux::session::{Act, Recorded, Session, Snapshot, Writer, read};
use vmgl_rfb::Framebuffer;

/// Length of the header and of a pointer's record.
const HEADER: usize = 16;

fn screen() -> Framebuffer {
    let mut screen = Framebuffer::new(80, 60).unwrap();
    (0..).zip(screen.pixels_mut()).for_each(|(n, pixel)| *pixel = n % 977 * 7919);
    screen
}

/// Writes acts with a snapshot of side 16 where one belongs, and says what should be read.
fn write(acts: &[(u64, Act)]) -> (Vec<u8>, Session) {
    let screen = screen();
    let mut writer = Writer::new(Vec::new(), 80, 60).unwrap();
    let (mut inputs, mut length) = (Vec::new(), Duration::ZERO);
    for (micros, act) in acts {
        let at = Duration::from_micros(*micros);
        let snapshot = || match act {
            Act::Pointer { x, y, .. } => Snapshot::new(&Part::around(&screen, (*x, *y), 16)),
            Act::Key { .. } => panic!("a key has no snapshot"),
        };
        let before = writer.is_button(*act).then(snapshot);
        writer.input(at, *act, snapshot).unwrap();
        length = length.max(at);
        inputs.push(Recorded { at: length, act: *act, before });
    }
    length += Duration::from_millis(5);
    (writer.finish(length).unwrap(), Session { width: 80, height: 60, inputs, length })
}

fn small() -> Vec<(u64, Act)> {
    let at = |buttons| Act::Pointer { buttons, x: 10, y: 50 };
    vec![
        (0, at(0)),
        (1000, at(1)),
        (1000, Act::Key { down: true, keysym: 0xffe1, keycode: Some(42) }),
        (2000, Act::Key { down: false, keysym: 97, keycode: None }),
        (3000, at(0)),
        (4000, at(8)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let key = (any::<bool>(), any::<u32>(), any::<Option<u32>>())
        .prop_map(|(down, keysym, keycode)| Act::Key { down, keysym, keycode });
    let pointer =
        (any::<u8>(), 0u16..80, 0u16..60).prop_map(|(buttons, x, y)| Act::Pointer { buttons, x, y });
    prop_oneof![key, pointer]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_session_is_read_as_it_was_written(acts in prop::collection::vec((0u64..1_000_000, act()), 0..40)) {
        let (bytes, session) = write(&acts);
        prop_assert_eq!(read(&bytes[..]).unwrap(), session);
    }
}

#[test]
fn a_session_that_ends_early_is_cut_off_wherever_it_ends() {
    let (bytes, _) = write(&small());
    for end in 8..bytes.len() {
        let error = read(&bytes[..end]).unwrap_err();
        assert!(error.to_string().contains("cut off") && error.at <= end as u64, "{end}: {error}");
    }
    let error = read(&[&bytes[..], &[0]].concat()[..]).unwrap_err();
    assert!(error.to_string().contains("goes on"), "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let (bytes, _) = write(&small());
    let end = (bytes.len() - 13) as u64;
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        read(&bytes[..]).unwrap_err().to_string()
    };
    // The first record is a pointer of 14 bytes, the second a snapshot.
    let second = HEADER + 14;
    for (at, value, place, part) in [
        (0, &b"VNCLOG"[..], 0, "no recorded session"),
        (8, &[9], 0, "version 9"),
        (10, &[0, 0], 0, "no screen"),
        (14, &[1], 0, "reserved"),
        (HEADER, &[77], HEADER as u64, "kind 77"),
        (HEADER + 1, &[0, 16], HEADER as u64 + 14, "back in time"),
        (HEADER + 7, &[1], HEADER as u64, "24 hours"),
        (HEADER + 9, &[1], HEADER as u64, "without a snapshot"),
        (second + 13, &[0, 0], second as u64, "sides"),
        (second + 17, &[255, 255, 255], second as u64, "more bytes"),
        (second + 21, &[0], second as u64, "not its pixels"),
        (bytes.len() - 4, &[9], end, "another number"),
    ] {
        let error = with(at, value);
        assert!(error.starts_with(&format!("byte {place}: ")) && error.contains(part), "{at}: {error}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![write(&small()).0, write(&[]).0, write(&small()[..1]).0]
}

wandisk_fuzz::target!(a_session_is_read_or_refused_at_a_place_in_it, 6000, seeds(), |bytes: &[u8]| {
    match read(bytes) {
        Err(error) => assert!(error.at <= bytes.len() as u64, "{error}"),
        Ok(session) => {
            let mut writer = Writer::new(Vec::new(), session.width, session.height).unwrap();
            for input in &session.inputs {
                writer.input(input.at, input.act, || input.before.clone().unwrap()).unwrap();
                let pixels = input.before.as_ref().map(|before| before.part());
                assert!(pixels.is_none_or(|part| part.pixels.len() == part.rect.area()));
            }
            let written = writer.finish(session.length).unwrap();
            assert_eq!(read(&written[..]).unwrap(), session);
        }
    }
});
