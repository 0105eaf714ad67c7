//! Cut text: bounded, whatever its length field says.

use bytes::{Buf, BytesMut};

use super::Clipboard;
use crate::error::ProtocolError;
use crate::limits;
use crate::wire::put_len;

/// Text that was cut or copied at the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutText {
    /// Latin-1 by the protocol; many peers send UTF-8. Cut at [`limits::CUT_TEXT`].
    Text(Vec<u8>),
    /// An extended clipboard message.
    Extended(Clipboard),
}

impl CutText {
    /// Appends length and text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                let text = &text[..text.len().min(limits::CUT_TEXT)];
                put_len(out, text.len());
                out.extend_from_slice(text);
            }
            Self::Extended(message) => message.write(out),
        }
    }
}

/// Cut text that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    text: Vec<u8>,
    keep: usize,
    left: usize,
    extended: bool,
    whole: bool,
}

impl Reading {
    /// A negative length says that an extended message of so many bytes follows.
    pub(super) fn new(length: i32) -> Self {
        let left = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
        let extended = length < 0;
        // Of an extended message a part is worth nothing.
        let whole = !extended || left <= limits::CLIPBOARD;
        let keep = if whole { left.min(limits::CLIPBOARD) } else { 0 };
        let keep = if extended { keep } else { keep.min(limits::CUT_TEXT) };
        Self { text: Vec::new(), keep, left, extended, whole }
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

    pub(super) fn done(self) -> Result<CutText, ProtocolError> {
        Ok(match (self.extended, self.whole) {
            (false, _) => CutText::Text(self.text),
            (true, true) => CutText::Extended(Clipboard::read(&self.text)?),
            (true, false) => CutText::Extended(Clipboard::Other),
        })
    }
}
