//! The access trace: in which order chunks were first wanted, for whoever brings them ahead of demand at the next arrival.
//!
//! A hint and no more: what is not there, damaged or of a newer program is as good as empty, and nothing waits for it to be
//! durable. Bytes are described in `docs/format.md`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};

use crate::disk_dir::DiskDir;
use crate::durable;
use crate::ids::Epoch;

/// Chunks in a trace at most: 32 GiB of a disk with the usual chunks.
pub const TRACE_MAX: usize = 1 << 18;
/// Bytes of an encoded trace at most: what one difference takes at most, for each.
pub const TRACE_BYTES_MAX: usize = TRACE_MAX * 10;

const MAGIC: [u8; 8] = *b"WDTRACE1";
const HEADER: usize = MAGIC.len() + 8;

/// Chunks in the order in which they were first wanted, the newest run's first, none twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Of the newest residency that is in it.
    pub epoch: Epoch,
    /// The chunks.
    pub chunks: Vec<u64>,
}

impl Trace {
    /// What `newer` wanted, then what this one had besides, as far as there is room.
    #[must_use]
    pub fn after(&self, newer: impl IntoIterator<Item = u64>, epoch: Epoch) -> Trace {
        let mut seen = HashSet::new();
        let all = newer.into_iter().chain(self.chunks.iter().copied());
        Trace { epoch, chunks: all.filter(|chunk| seen.insert(*chunk)).take(TRACE_MAX).collect() }
    }

    /// Its chunks as bytes: the difference of each to the one before, zigzag, seven bits a byte, the lowest first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.chunks.len() * 2);
        let mut before = 0u64;
        for chunk in &self.chunks {
            let difference = chunk.wrapping_sub(before).cast_signed();
            let mut rest = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
            while rest >= 0x80 {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push((rest & 0x7f) as u8);
            before = *chunk;
        }
        bytes
    }

    /// As [`Trace::encode`] made it, of a disk of so many chunks; none where it is anything else.
    #[must_use]
    pub fn decode(epoch: Epoch, bytes: &[u8], chunks_of_disk: u64) -> Option<Trace> {
        let (mut chunks, mut before) = (Vec::new(), 0u64);
        let mut bytes = bytes.iter();
        while !bytes.as_slice().is_empty() {
            let (mut zigzag, mut shift) = (0u64, 0u32);
            loop {
                let byte = *bytes.next()?;
                let bits = u64::from(byte & 0x7f);
                if shift > 63 || bits.checked_shl(shift)? >> shift != bits {
                    return None;
                }
                zigzag |= bits << shift;
                if byte & 0x80 == 0 {
                    break;
                }
                shift += 7;
            }
            let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            let chunk = before.wrapping_add(difference.cast_unsigned());
            if chunk >= chunks_of_disk || chunks.len() >= TRACE_MAX {
                return None;
            }
            chunks.push(chunk);
            before = chunk;
        }
        Some(Trace { epoch, chunks })
    }
}

impl DiskDir {
    fn trace_path(&self) -> std::path::PathBuf {
        self.path().join("access.trace")
    }

    /// The trace that is kept here; an empty one where none is, or none that makes sense.
    #[must_use]
    pub fn load_trace(&self, chunks_of_disk: u64) -> Trace {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            let most = (HEADER + TRACE_BYTES_MAX) as u64;
            File::open(self.trace_path())?.take(most + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let Ok(bytes) = read() else { return Trace::default() };
        let trace = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk::<8>());
        let trace = trace.and_then(|(epoch, chunks)| {
            Trace::decode(Epoch(u64::from_le_bytes(*epoch)), chunks, chunks_of_disk)
        });
        trace.unwrap_or_default()
    }

    /// Keeps a trace, in place of the one before.
    ///
    /// # Errors
    /// Whatever the filesystem says.
    pub fn save_trace(&self, trace: &Trace) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(trace.epoch.0.to_le_bytes());
        bytes.extend(trace.encode());
        durable::replace_file(&self.trace_path(), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_trace_comes_back_as_it_was(chunks in proptest::collection::vec(any::<u64>(), 0..200)) {
            let chunks: Vec<u64> = chunks.into_iter().map(|c| c.min(u64::MAX - 1)).collect();
            let trace = Trace { epoch: Epoch(3), chunks };
            prop_assert_eq!(Trace::decode(Epoch(3), &trace.encode(), u64::MAX), Some(trace));
        }

        #[test]
        fn foreign_bytes_are_a_trace_of_the_disk_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(trace) = Trace::decode(Epoch(0), &bytes, 1000) {
                prop_assert!(trace.chunks.iter().all(|c| *c < 1000) && trace.chunks.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_a_reader_in_order_wanted_takes_a_byte_a_chunk() {
        let trace = Trace { epoch: Epoch(1), chunks: (100..200).collect() };
        assert_eq!(trace.encode().len(), 101);
    }

    #[test]
    fn a_newer_run_comes_first_and_the_older_stays_as_far_as_there_is_room() {
        let older = Trace { epoch: Epoch(1), chunks: vec![1, 2, 3] };
        assert_eq!(older.after([7, 2, 7], Epoch(2)), Trace { epoch: Epoch(2), chunks: vec![7, 2, 1, 3] });
        let most = u64::try_from(TRACE_MAX).unwrap();
        assert_eq!(older.after(10..10 + most, Epoch(2)).chunks.len(), TRACE_MAX);
    }

    #[test]
    fn more_than_fits_is_no_trace() {
        assert_eq!(Trace::decode(Epoch(0), &vec![2; TRACE_MAX + 1], u64::MAX), None);
        assert_eq!(Trace::decode(Epoch(0), &[0xff; 11], u64::MAX), None);
        assert_eq!(Trace::decode(Epoch(0), &[0x80], u64::MAX), None);
    }
}
