//! The bounds on everything a peer can make us keep.

/// Widest and highest framebuffer, in pixels.
pub const SIDE: u16 = 16384;
/// Most pixels of a framebuffer (256 MiB as kept here).
pub const PIXELS: usize = 64 << 20;
/// Widest and highest cursor, in pixels.
pub const CURSOR_SIDE: u16 = 1024;
/// Longest cut text that is kept, in bytes; what is longer is read past and cut.
pub const CUT_TEXT: usize = 1 << 20;
/// Longest extended clipboard message that is read, in bytes: such a text, packed badly. Longer ones are read past.
pub const CLIPBOARD: usize = CUT_TEXT + (64 << 10);
/// Longest desktop name, in bytes.
pub const NAME: usize = 4096;
/// Longest reason for a refusal that is kept, in bytes.
pub const REASON: usize = 4096;
/// Most encodings of a viewer's list that are kept; the others are read past.
pub const ENCODINGS: usize = 1024;
/// Most bytes of a fence's payload (the protocol's own bound).
pub const FENCE: usize = 64;
/// Longest compressed JPEG or Tight piece, in bytes (the most its length field can say).
pub const TIGHT: usize = (1 << 22) - 1;
/// Most bytes that have to be in the input at once for a reader to make progress: a cursor of the
/// largest size (4 bytes a pixel and its mask), which is more than a JPEG or a row of pixels.
pub const UNIT: usize = (CURSOR_SIDE as usize) * (CURSOR_SIDE as usize) * 4 + (128 << 10) + 64;
