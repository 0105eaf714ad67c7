//! Memory that OpenGL reads or writes: what came by the wire, aligned as it must be, and room for answers.
//!
//! The wire is little-endian and so is every host this runs on: what is copied by words stays as it was.

use std::ffi::CString;

use vmgl_gl_stream::Data;

use crate::fault::Fault;

/// Longest answer, in bytes.
const LONGEST: usize = 64 << 20;
/// Room that any answer has, so that one that is longer than the program said is cut and spoils nothing.
const ROOM: usize = 64 << 10;

/// Bytes at an address that is a multiple of their elements' size.
pub(crate) struct Aligned<'a> {
    given: &'a [u8],
    copied: Option<Vec<u64>>,
}

impl<'a> Aligned<'a> {
    /// Copies only what lies wrong.
    pub(crate) fn new(given: &'a [u8], element: usize) -> Self {
        let copied = (!given.as_ptr().addr().is_multiple_of(element.max(1))).then(|| {
            let word = |bytes: &[u8]| {
                let mut word = [0; 8];
                word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                u64::from_le_bytes(word)
            };
            given.chunks(8).map(word).collect()
        });
        Self { given, copied }
    }

    pub(crate) fn pointer(&self) -> *const u8 {
        self.copied.as_ref().map_or(self.given.as_ptr(), |words| words.as_ptr().cast())
    }
}

/// Room for what OpenGL writes.
pub(crate) struct Scratch {
    words: Vec<u64>,
    wanted: usize,
}

impl Scratch {
    /// Zeroed, for `wanted` bytes of which the program hears.
    pub(crate) fn new(wanted: u32) -> Result<Self, Fault> {
        let wanted = usize::try_from(wanted).map_err(|_| Fault::TooLong)?;
        if wanted > LONGEST {
            return Err(Fault::TooLong);
        }
        Ok(Self { words: vec![0; wanted.max(ROOM).div_ceil(8)], wanted })
    }

    pub(crate) fn pointer(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast()
    }

    /// What was written, as much as the program wanted.
    pub(crate) fn taken(&self) -> Vec<u8> {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.take(self.wanted).collect()
    }
}

/// What a buffer is filled with: never an offset, and nothing only where it is allocated.
pub(crate) fn memory(data: Data<'_>, allocates: bool) -> Result<*const u8, Fault> {
    match data {
        Data::Null if allocates => Ok(std::ptr::null()),
        Data::Memory(bytes) => Ok(bytes.as_ptr()),
        Data::Null | Data::Offset(_) => Err(Fault::Memory),
    }
}

/// A text with its NUL.
pub(crate) fn text(bytes: &[u8]) -> Result<CString, Fault> {
    CString::new(bytes).map_err(|_| Fault::Value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;

    #[test]
    fn what_lies_at_an_odd_address_is_read_as_it_was_sent() {
        let words: Vec<u64> = vec![0x0807_0605_0403_0201, 0x1110_0f0e_0d0c_0b0a];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for begin in 0..8 {
            let part = &bytes[begin..];
            let aligned = Aligned::new(part, 8);
            assert_eq!(aligned.pointer().addr() % 8, 0);
            // SAFETY: as many bytes as were given.
            let read = unsafe { std::slice::from_raw_parts(aligned.pointer(), part.len()) };
            assert_eq!(read, part);
        }
    }

    #[test]
    fn an_answer_has_more_room_than_it_says_and_an_end() {
        let mut scratch = Scratch::new(4).unwrap();
        // SAFETY: there are 64 KiB of room.
        unsafe { std::ptr::write_bytes(scratch.pointer(), 7, ROOM) };
        assert_eq!(scratch.taken(), [7; 4]);
        assert!(matches!(Scratch::new(u32::MAX), Err(Fault::TooLong)));
    }
}
