//! Cut text: bounded, whatever its length field says.

use bytes::{Buf, BytesMut};

use crate::limits;

/// Text that was cut or copied at the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutText {
    /// Latin-1 by the protocol; many peers send UTF-8. Cut at [`limits::CUT_TEXT`].
    Text(Vec<u8>),
    /// An extended clipboard message, which we never said we understand: read past.
    Extended,
}

/// Cut text that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    text: Vec<u8>,
    keep: usize,
    left: usize,
    extended: bool,
}

impl Reading {
    /// A negative length says that an extended message of so many bytes follows.
    pub(super) fn new(length: i32) -> Self {
        let left = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
        let extended = length < 0;
        Self { text: Vec::new(), keep: if extended { 0 } else { left.min(limits::CUT_TEXT) }, left, extended }
    }

    /// Takes what there is; whether it is complete.
    pub(super) fn step(&mut self, input: &mut BytesMut) -> bool {
        let taken = input.len().min(self.left);
        let kept = taken.min(self.keep - self.text.len());
        self.text.extend_from_slice(&input[..kept]);
        input.advance(taken);
        self.left -= taken;
        self.left == 0
    }

    pub(super) fn done(self) -> CutText {
        if self.extended { CutText::Extended } else { CutText::Text(self.text) }
    }
}
