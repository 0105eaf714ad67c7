//! Bounds on what a peer may ask for.

/// Most bytes of a frame's payload.
pub const FRAME: usize = 16 << 20;
/// From this size on a payload is sent off.
pub const FLUSH: usize = 64 << 10;
/// Most bytes of one array within a command; a longer one goes ahead in parts.
pub const ARRAY: usize = 64 << 10;
/// Most bytes of one part.
pub const PART: usize = 128 << 10;
/// Most bytes that parts may gather.
pub const PENDING: usize = 256 << 20;
/// Most bytes of arrays that are kept on the shelf.
pub const SHELF: usize = 64 << 20;
/// Most arrays of them.
pub const PLACES: usize = 1024;
/// Most bytes of one array in an answer.
pub const ANSWER: usize = 64 << 20;
/// Most bytes of frames that wait for an acknowledgement; who would send more waits.
pub const RING: usize = 64 << 20;
/// Most bytes of what a renderer says of itself.
pub const CAPS: usize = 1 << 20;
/// Most bytes of a program's name.
pub const NAME: usize = 256;
/// Width and height of a drawable are at most this.
pub const SIDE: u32 = 16_384;
/// Most drawables of a program.
pub const DRAWABLES: usize = 256;
/// Most pixels of all of them, each as often as it has samples.
pub const PIXELS: u64 = 64 << 20;
/// The compressor looks back so far, as a power of two.
pub const WINDOW_LOG: u32 = 22;
