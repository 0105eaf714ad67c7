//! What real programs have sent, as it went over the line: a hello, then frames. Inputs that fuzz targets begin with.
//!
//! They are in `corpus/programs`, and are recorded anew where a command got another number:
//! `WANDISK_FUZZ_KEEP=1 cargo test -p vmgl-proxy --test gl recorded`.

use std::path::Path;

use vmgl_gl_stream::{ClientHello, Incoming, SPEC};

/// All of them, in the order of their names.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stream/corpus/programs");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// The commands of each.
pub(crate) fn payloads() -> Vec<Vec<u8>> {
    lines().iter().map(|line| payload(line)).collect()
}

fn payload(line: &[u8]) -> Vec<u8> {
    let (hello, length) = ClientHello::parse(line).unwrap().unwrap();
    assert_eq!(hello.spec, SPEC, "the commands of {} have other numbers now: record it anew", hello.name);
    let (mut incoming, mut all) = (Incoming::new().unwrap(), Vec::new());
    incoming.feed(&line[length..]);
    while let Some(frame) = incoming.next_frame().unwrap() {
        all.extend_from_slice(&frame.payload);
    }
    all
}
