//! The numbers of encodings and pseudo-encodings.

/// An encoding of a rectangle's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Pixels as they are.
    Raw,
    /// From elsewhere in the framebuffer.
    CopyRect,
    /// A background and rectangles on it.
    Rre,
    /// Tiles of 16 x 16, each with a background and rectangles on it.
    Hextile,
    /// Raw through a zlib stream.
    Zlib,
    /// Fills, palettes, filters and JPEG through four zlib streams.
    Tight,
    /// Tiles of 64 x 64, run-length encoded, through a zlib stream.
    Zrle,
}

impl Encoding {
    /// Every encoding, the one that costs least on a WAN first.
    pub const ALL: [Self; 7] =
        [Self::CopyRect, Self::Tight, Self::Zrle, Self::Zlib, Self::Hextile, Self::Rre, Self::Raw];

    /// Its number in the protocol.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Raw => 0,
            Self::CopyRect => 1,
            Self::Rre => 2,
            Self::Hextile => 5,
            Self::Zlib => 6,
            Self::Tight => 7,
            Self::Zrle => 16,
        }
    }

    /// The encoding of a number, when it is one that is known here.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.number() == number)
    }
}

/// Numbers in a list of encodings that say what a viewer can do beside pixels.
pub mod pseudo {
    /// The size of the framebuffer changes.
    pub const DESKTOP_SIZE: i32 = -223;
    /// An update may end with a marker and not say its number of rectangles.
    pub const LAST_RECT: i32 = -224;
    /// The server moves the pointer.
    pub const POINTER_POS: i32 = -232;
    /// The viewer draws the cursor.
    pub const CURSOR: i32 = -239;
    /// QEMU: whether the pointer is absolute or relative.
    pub const QEMU_POINTER_MOTION: i32 = -257;
    /// QEMU: keys with their scan codes.
    pub const QEMU_EXTENDED_KEY: i32 = -258;
    /// The size changes, with screens and a reason.
    pub const EXTENDED_DESKTOP_SIZE: i32 = -308;
    /// Fences, both ways.
    pub const FENCE: i32 = -312;
    /// Updates without requests.
    pub const CONTINUOUS_UPDATES: i32 = -313;
    /// The extended clipboard, both ways (0xC0A1E5CE).
    pub const EXTENDED_CLIPBOARD: i32 = -0x3f5e_1a32;
    /// JPEG quality 0; up to 9 at `JPEG_QUALITY + 9`.
    pub const JPEG_QUALITY: i32 = -32;
    /// Compression level 0; up to 9 at `COMPRESS_LEVEL + 9`.
    pub const COMPRESS_LEVEL: i32 = -256;
}
