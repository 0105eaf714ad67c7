//! The extended clipboard: what a cut text of negative length holds. Text alone is understood of its formats.
//!
//! Text is UTF-8, with lines ended by CR LF and a NUL behind on the wire, and by LF alone here. What is
//! packed is unpacked up to [`limits::CUT_TEXT`] and no further, whatever it says of itself.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::error::ProtocolError;
use crate::limits;
use crate::wire::{Reader, put_len, put_u32};

const CAPS: u32 = 1 << 24;
const REQUEST: u32 = 1 << 25;
const PEEK: u32 = 1 << 26;
const NOTIFY: u32 = 1 << 27;
const PROVIDE: u32 = 1 << 28;
const ACTIONS: u32 = 0xff00_0000;

/// An extended clipboard message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clipboard {
    /// What the sender can do: its flags, and how long a text may be that it did not ask for, in bytes.
    Caps {
        /// Formats and actions.
        flags: u32,
        /// Bytes.
        text_max: u32,
    },
    /// It wants what there is in these formats.
    Request(u32),
    /// It wants to know what there is.
    Peek,
    /// There is something in these formats; 0: there is nothing.
    Notify(u32),
    /// Text, or nothing that can be used.
    Provide(Option<String>),
    /// Something that is unknown or too long: read past.
    Other,
}

impl Clipboard {
    /// The format of text.
    pub const TEXT: u32 = 1;

    /// What we can do.
    #[must_use]
    pub fn caps() -> Self {
        let flags = REQUEST | PEEK | NOTIFY | PROVIDE | Self::TEXT;
        Self::Caps { flags, text_max: u32::try_from(limits::CUT_TEXT).unwrap_or(u32::MAX) }
    }

    /// Reads a whole message.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let bad = ProtocolError::Clipboard;
        let mut from = Reader::new(bytes);
        let flags = from.u32().ok_or(bad("shorter than its flags"))?;
        if flags & CAPS != 0 {
            let sizes = (0..16).filter(|format| flags & 1 << format != 0).map(|_| from.u32());
            let sizes: Vec<u32> = sizes.collect::<Option<_>>().ok_or(bad("sizes are missing"))?;
            let text_max = if flags & Self::TEXT == 0 { 0 } else { sizes.first().copied().unwrap_or(0) };
            return Ok(Self::Caps { flags: flags & !CAPS, text_max });
        }
        let formats = flags & !ACTIONS;
        Ok(match flags & ACTIONS {
            REQUEST => Self::Request(formats),
            PEEK => Self::Peek,
            NOTIFY => Self::Notify(formats),
            PROVIDE if formats & Self::TEXT == 0 => Self::Provide(None),
            PROVIDE => Self::Provide(unpack(&bytes[from.at()..])?),
            _ => Self::Other,
        })
    }

    /// Appends length and message.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        put_u32(out, 0);
        match self {
            Self::Caps { flags, text_max } => {
                // Of no other format we would say a size.
                put_u32(out, CAPS | flags & ACTIONS | flags & Self::TEXT);
                if flags & Self::TEXT != 0 {
                    put_u32(out, *text_max);
                }
            }
            Self::Request(formats) => put_u32(out, REQUEST | formats & !ACTIONS),
            Self::Peek => put_u32(out, PEEK),
            Self::Notify(formats) => put_u32(out, NOTIFY | formats & !ACTIONS),
            Self::Provide(text) => {
                put_u32(out, PROVIDE | if text.is_some() { Self::TEXT } else { 0 });
                out.extend(text.iter().flat_map(|text| pack(text)));
            }
            Self::Other => put_u32(out, 0),
        }
        let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&(-len).to_be_bytes());
        }
    }
}

/// The text of a zlib stream; `None` when it is longer than the bound, or no UTF-8.
fn unpack(packed: &[u8]) -> Result<Option<String>, ProtocolError> {
    let bad = |_| ProtocolError::Clipboard("broken zlib stream");
    let mut stream = ZlibDecoder::new(packed);
    let mut len = [0; 4];
    stream.read_exact(&mut len).map_err(bad)?;
    let Some(len) = usize::try_from(u32::from_be_bytes(len)).ok().filter(|len| *len <= limits::CUT_TEXT)
    else {
        return Ok(None);
    };
    let mut text = vec![0; len];
    stream.read_exact(&mut text).map_err(bad)?;
    while text.last() == Some(&0) {
        text.pop();
    }
    Ok(String::from_utf8(text).ok().map(|text| text.replace("\r\n", "\n").replace('\r', "\n")))
}

fn pack(text: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len() + 5);
    let text = text.replace('\n', "\r\n");
    put_len(&mut plain, text.len() + 1);
    plain.extend(text.bytes().chain([0]));
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    stream.write_all(&plain).and_then(|()| stream.finish()).unwrap_or_default()
}
