//! Messages of a client: written towards a server, read from a viewer.

use bytes::{Buf, BytesMut};

use super::cut::Reading;
use super::{CutText, Fence, Screen};
use crate::error::ProtocolError;
use crate::framebuffer::{Rect, check_size};
use crate::limits;
use crate::pixel::PixelFormat;
use crate::wire::{Reader, put_u16, put_u32};

/// What a client can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Pixels are to be in this format from now on.
    SetPixelFormat(PixelFormat),
    /// What it understands, the best first.
    SetEncodings(Vec<i32>),
    /// It wants the rectangle; only what changed when `incremental`.
    UpdateRequest {
        /// Whether it still has what was sent before.
        incremental: bool,
        /// Of what.
        rect: Rect,
    },
    /// A key, as X's keysym.
    Key {
        /// Pressed, else let go.
        down: bool,
        /// X's number of it.
        keysym: u32,
    },
    /// The pointer moved, or a button changed.
    Pointer {
        /// A bit for each button held.
        buttons: u8,
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// Text for the clipboard.
    CutText(CutText),
    /// QEMU's extended key event: a key with its scan code.
    ExtendedKey {
        /// Pressed, else let go.
        down: bool,
        /// X's number of it; 0 when there is none.
        keysym: u32,
        /// The scan code (XT set 1; extended ones with 0x80 set).
        keycode: u32,
    },
    /// Updates of the rectangle without requests, or no more of them.
    ContinuousUpdates {
        /// From now on, else no more.
        enable: bool,
        /// Of what.
        rect: Rect,
    },
    /// A fence or the answer to one.
    Fence(Fence),
    /// The desktop is to have this size.
    SetDesktopSize {
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
        /// How it is divided into screens.
        screens: Vec<Screen>,
    },
    /// A QEMU audio message, which we never said we understand: read past.
    Audio,
}

impl ClientMessage {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::SetPixelFormat(format) => {
                out.extend([0; 4]);
                format.write(out);
            }
            Self::SetEncodings(encodings) => {
                let kept = &encodings[..encodings.len().min(limits::ENCODINGS)];
                out.extend([2, 0]);
                put_u16(out, u16::try_from(kept.len()).unwrap_or(u16::MAX));
                out.extend(kept.iter().flat_map(|number| number.to_be_bytes()));
            }
            Self::UpdateRequest { incremental, rect } => {
                out.extend([3, (*incremental).into()]);
                rect.write(out);
            }
            Self::Key { down, keysym } => {
                out.extend([4, (*down).into(), 0, 0]);
                put_u32(out, *keysym);
            }
            Self::Pointer { buttons, x, y } => {
                out.extend([5, *buttons]);
                put_u16(out, *x);
                put_u16(out, *y);
            }
            Self::CutText(text) => {
                out.extend([6, 0, 0, 0]);
                text.write(out);
            }
            Self::ExtendedKey { down, keysym, keycode } => {
                out.extend([255, 0, 0, (*down).into()]);
                put_u32(out, *keysym);
                put_u32(out, *keycode);
            }
            Self::ContinuousUpdates { enable, rect } => {
                out.extend([150, (*enable).into()]);
                rect.write(out);
            }
            Self::Fence(fence) => fence.write(out),
            Self::SetDesktopSize { width, height, screens } => {
                let screens = &screens[..screens.len().min(usize::from(u8::MAX))];
                out.extend([251, 0]);
                put_u16(out, *width);
                put_u16(out, *height);
                out.extend([u8::try_from(screens.len()).unwrap_or(u8::MAX), 0]);
                screens.iter().for_each(|screen| screen.write(out));
            }
            Self::Audio => {}
        }
    }
}

/// Reads what a viewer says.
#[derive(Debug, Default)]
pub struct FromViewer {
    cut: Option<Reading>,
}

impl FromViewer {
    /// A reader for a viewer whose handshake has ended.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one message off the front of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the viewer does not keep to the protocol; nothing after that means anything.
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Option<ClientMessage>, ProtocolError> {
        if self.cut.is_none() {
            let mut from = Reader::new(input);
            let Some(kind) = from.u8() else { return Ok(None) };
            if kind == 6 {
                let Some(length) = from.take(3).and_then(|_| from.i32()) else { return Ok(None) };
                input.advance(8);
                self.cut = Some(Reading::new(length));
            } else {
                let message = read(kind, &mut from)?;
                let at = from.at();
                if message.is_some() {
                    input.advance(at);
                }
                return Ok(message);
            }
        }
        if !self.cut.as_mut().is_some_and(|cut| cut.step(input)) {
            return Ok(None);
        }
        let text = self.cut.take().map(Reading::done).transpose()?;
        Ok(text.map(ClientMessage::CutText))
    }
}

fn read(kind: u8, from: &mut Reader<'_>) -> Result<Option<ClientMessage>, ProtocolError> {
    Ok(match kind {
        0 => {
            let Some(format) = from.take(3).and_then(|_| PixelFormat::read(from)) else { return Ok(None) };
            format.check()?;
            Some(ClientMessage::SetPixelFormat(format))
        }
        2 => encodings(from),
        3 => {
            rect_and_flag(from).map(|(incremental, rect)| ClientMessage::UpdateRequest { incremental, rect })
        }
        4 => key(from),
        5 => pointer(from),
        150 => rect_and_flag(from).map(|(enable, rect)| ClientMessage::ContinuousUpdates { enable, rect }),
        248 => Fence::read(from)?.map(ClientMessage::Fence),
        251 => desktop_size(from)?,
        255 => match from.u8() {
            None => None,
            Some(0) => extended_key(from),
            Some(1) => audio(from)?,
            Some(other) => return Err(ProtocolError::QemuMessage(other)),
        },
        other => return Err(ProtocolError::Message(other)),
    })
}

fn encodings(from: &mut Reader<'_>) -> Option<ClientMessage> {
    from.u8()?;
    let count = from.u16()?;
    let numbers = from.take(usize::from(count) * 4)?.as_chunks::<4>().0;
    let kept = numbers.iter().take(limits::ENCODINGS).map(|number| i32::from_be_bytes(*number));
    Some(ClientMessage::SetEncodings(kept.collect()))
}

fn rect_and_flag(from: &mut Reader<'_>) -> Option<(bool, Rect)> {
    Some((from.u8()? != 0, Rect::read(from)?))
}

fn key(from: &mut Reader<'_>) -> Option<ClientMessage> {
    let down = from.u8()? != 0;
    from.take(2)?;
    Some(ClientMessage::Key { down, keysym: from.u32()? })
}

fn pointer(from: &mut Reader<'_>) -> Option<ClientMessage> {
    Some(ClientMessage::Pointer { buttons: from.u8()?, x: from.u16()?, y: from.u16()? })
}

fn extended_key(from: &mut Reader<'_>) -> Option<ClientMessage> {
    let down = from.u16()? != 0;
    Some(ClientMessage::ExtendedKey { down, keysym: from.u32()?, keycode: from.u32()? })
}

fn audio(from: &mut Reader<'_>) -> Result<Option<ClientMessage>, ProtocolError> {
    match from.u16() {
        None => Ok(None),
        Some(0 | 1) => Ok(Some(ClientMessage::Audio)),
        Some(2) => Ok(from.take(6).map(|_| ClientMessage::Audio)),
        Some(_) => Err(ProtocolError::QemuMessage(1)),
    }
}

fn desktop_size(from: &mut Reader<'_>) -> Result<Option<ClientMessage>, ProtocolError> {
    let head = (|| {
        from.u8()?;
        let size = (from.u16()?, from.u16()?);
        let count = from.u8()?;
        from.u8()?;
        Some((size, count))
    })();
    let Some(((width, height), count)) = head else { return Ok(None) };
    check_size(width, height)?;
    let screens = (0..count).map(|_| Screen::read(from)).collect::<Option<Vec<_>>>();
    Ok(screens.map(|screens| ClientMessage::SetDesktopSize { width, height, screens }))
}
