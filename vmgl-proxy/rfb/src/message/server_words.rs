//! Messages of a server that are not updates, written.

use super::{CutText, Fence};
use crate::pixel::ColourMap;
use crate::wire::put_u16;

/// Appends a bell.
pub fn bell(out: &mut Vec<u8>) {
    out.push(2);
}

/// Appends cut text, cut at [`crate::limits::CUT_TEXT`], or an extended message.
pub fn cut_text(text: &CutText, out: &mut Vec<u8>) {
    out.extend([3, 0, 0, 0]);
    text.write(out);
}

/// Appends all 256 entries of a colour map.
pub fn colour_map(map: &ColourMap, out: &mut Vec<u8>) {
    out.extend([1, 0, 0, 0, 1, 0]);
    for index in 0..=u8::MAX {
        let [_, rgb @ ..] = map.get(index).to_be_bytes();
        rgb.into_iter().for_each(|part| put_u16(out, u16::from(part) * 257));
    }
}

/// Appends a fence.
pub fn fence(fence: &Fence, out: &mut Vec<u8>) {
    fence.write(out);
}

/// Appends the word that continuous updates are known, or have ended.
pub fn end_of_continuous_updates(out: &mut Vec<u8>) {
    out.push(150);
}
