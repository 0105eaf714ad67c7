//! The file of a recorded session, byte by byte in docs/session.md.
//!
//! Invariant: what is read was checked: times never go back, pictures have the size they say, only a button
//! has one, and the file ends where it says. Memory is bounded by the file's bounds: a snapshot stays packed until
//! it is compared.

mod read;
mod write;

use std::time::Duration;

use flate2::Compression;
use thiserror::Error;
use vmgl_rfb::{ClientMessage, Rect};

use super::matcher::Part;
pub use read::read;
pub use write::Writer;

/// What a file begins with.
const MAGIC: [u8; 8] = *b"VMGLSESS";
/// The version that is written and read.
pub const VERSION: u16 = 1;
/// Most inputs of a session.
pub const INPUTS_MAX: usize = 1_000_000;
/// Longest session.
pub const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);
/// Largest side of a snapshot.
pub const SIDE_MAX: u16 = 512;
/// Most bytes of all snapshots, packed.
pub const PACKED_MAX: u64 = 256 << 20;

const KEY: u8 = 1;
const EXTENDED_KEY: u8 = 2;
const POINTER: u8 = 3;
const SNAPSHOT: u8 = 4;
const END: u8 = 255;

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A key.
    Key {
        /// Down, or up.
        down: bool,
        /// X's keysym.
        keysym: u32,
        /// The scan code, where the viewer said it.
        keycode: Option<u32>,
    },
    /// The pointer.
    Pointer {
        /// Buttons that are down, a bit each.
        buttons: u8,
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
}

impl Act {
    /// What a viewer's message does; clipboards, sizes and requests are not part of a session.
    #[must_use]
    pub fn of(message: &ClientMessage) -> Option<Self> {
        Some(match *message {
            ClientMessage::Key { down, keysym } => Self::Key { down, keysym, keycode: None },
            ClientMessage::ExtendedKey { down, keysym, keycode } => {
                Self::Key { down, keysym, keycode: Some(keycode) }
            }
            ClientMessage::Pointer { buttons, x, y } => Self::Pointer { buttons, x, y },
            _ => return None,
        })
    }

    /// The message that does it.
    #[must_use]
    pub fn message(self) -> ClientMessage {
        match self {
            Self::Key { down, keysym, keycode: None } => ClientMessage::Key { down, keysym },
            Self::Key { down, keysym, keycode: Some(keycode) } => {
                ClientMessage::ExtendedKey { down, keysym, keycode }
            }
            Self::Pointer { buttons, x, y } => ClientMessage::Pointer { buttons, x, y },
        }
    }
}

/// Buttons that press and release; bits 3 to 6 are the wheel, whose steps wait for nothing.
pub const BUTTONS: u8 = 0b1000_0111;

/// What was on the screen around the pointer, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    rect: Rect,
    packed: Vec<u8>,
}

impl Snapshot {
    /// Packs a part of the screen.
    #[must_use]
    pub fn new(part: &Part) -> Self {
        let rgb: Vec<u8> =
            part.pixels.iter().flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1)).collect();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail; were it to, the snapshot would be refused when it is read.
        let packed = std::io::Write::write_all(&mut packer, &rgb).and_then(|()| packer.finish());
        Self { rect: part.rect, packed: packed.unwrap_or_default() }
    }

    /// The pixels; of one that was read there are as many as its rectangle has.
    #[must_use]
    pub fn part(&self) -> Part {
        Part { rect: self.rect, pixels: self.unpack().unwrap_or_default() }
    }

    /// `None` when the bytes are not exactly so many pixels.
    fn unpack(&self) -> Option<Vec<u32>> {
        let len = self.rect.area() * 3;
        let mut rgb = Vec::with_capacity(len);
        let unpacker = flate2::read::ZlibDecoder::new(self.packed.as_slice());
        let mut bounded = std::io::Read::take(unpacker, len as u64 + 1);
        std::io::Read::read_to_end(&mut bounded, &mut rgb).ok()?;
        let pixels = rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b]));
        (rgb.len() == len).then(|| pixels.collect())
    }
}

/// An input and when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Since the session began.
    pub at: Duration,
    /// What was done.
    pub act: Act,
    /// What was on the screen before, when a button changes.
    pub before: Option<Snapshot>,
}

/// A recorded session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The screen's width when it began.
    pub width: u16,
    /// Its height.
    pub height: u16,
    /// What was done, in order.
    pub inputs: Vec<Recorded>,
    /// How long it lasted.
    pub length: Duration,
}

/// What is wrong with a file, and where.
#[derive(Debug, Error)]
#[error("byte {at}: {fault}")]
pub struct SessionError {
    /// Where the record begins that is wrong.
    pub at: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong.
#[derive(Debug, Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Another kind of file.
    #[error("is no recorded session: it does not begin with \"VMGLSESS\"")]
    NoSession,
    /// Another version.
    #[error("version {0} of sessions is not known here (known: {VERSION})")]
    Version(u16),
    /// The file ends before the session does.
    #[error("is cut off: the recording has no end")]
    Cut,
    /// There is more than there should be.
    #[error("goes on after its end")]
    GoesOn,
    /// No such record.
    #[error("a record of kind {0} is not known")]
    Kind(u8),
    /// A value that cannot be.
    #[error("{0}")]
    Value(&'static str),
    /// Time went back.
    #[error("goes back in time: {at} µs after {before} µs")]
    Back {
        /// Its time.
        at: u64,
        /// The time of the record before.
        before: u64,
    },
}
