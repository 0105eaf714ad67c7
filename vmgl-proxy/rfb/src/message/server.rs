//! Messages of a server, read; pictures go into a framebuffer on the way.

use bytes::{Buf, BytesMut};

use super::cut::Reading;
use super::{CutText, Fence, Screen};
use crate::cursor::{self, Cursor};
use crate::decode::Decoder;
use crate::encoding::{Encoding, pseudo};
use crate::error::ProtocolError;
use crate::framebuffer::{Framebuffer, Rect};
use crate::limits;
use crate::pixel::PixelFormat;
use crate::wire::Reader;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// This rectangle of the framebuffer has been drawn.
    Damage(Rect),
    /// An update is complete.
    UpdateEnd,
    /// The cursor looks so from now on.
    Cursor(Cursor),
    /// The server moved the pointer.
    PointerPos {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// The framebuffer has this size from now on; it has been resized.
    DesktopSize {
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
    },
    /// As [`ServerEvent::DesktopSize`], or the refusal of one that was asked for.
    ExtendedDesktopSize {
        /// 0: the server itself; 1: this client asked; 2: another client asked.
        reason: u16,
        /// 0: so it is; else the refusal of what this client asked for, and nothing has changed.
        status: u16,
        /// Pixels.
        width: u16,
        /// Pixels.
        height: u16,
        /// How it is divided.
        screens: Vec<Screen>,
    },
    /// QEMU's extended key events are understood.
    ExtendedKeys,
    /// QEMU: the pointer is absolute, else relative.
    PointerAbsolute(bool),
    /// The colour map changed; what comes is drawn with it.
    ColourMap,
    /// A bell.
    Bell,
    /// Text for the clipboard.
    CutText(CutText),
    /// A fence or the answer to one.
    Fence(Fence),
    /// Continuous updates are understood, or have ended.
    EndOfContinuousUpdates,
}

#[derive(Debug)]
enum State {
    Message,
    /// Rectangles still to come; `None` until a last one says so.
    Update(Option<u16>),
    /// In the pixels of a rectangle of such an update.
    Pixels(Rect, Option<u16>),
    /// Colours still to come, from this index on.
    Colours {
        next: usize,
        left: usize,
    },
    Cut(Reading),
}

/// Reads what a server says.
#[derive(Debug)]
pub struct FromServer {
    decoder: Decoder,
    state: State,
}

impl FromServer {
    /// A reader for a server that sends pixels in `format`.
    #[must_use]
    pub fn new(format: PixelFormat) -> Self {
        Self { decoder: Decoder::new(format), state: State::Message }
    }

    /// Pixels come in `format` from here on. Only right when no update is under way: say it to the
    /// server before the first request, or when the last one is answered.
    pub fn set_format(&mut self, format: PixelFormat) {
        self.decoder.set_format(format);
    }

    /// Whether an update has begun that is not complete.
    #[must_use]
    pub fn in_update(&self) -> bool {
        matches!(self.state, State::Update(_) | State::Pixels(..))
    }

    /// Takes what it understands off the front of `input`, draws into `framebuffer`, and says the next
    /// event; `None` when more bytes are needed. Call it until it says `None`.
    ///
    /// # Errors
    /// When the server does not keep to the protocol; nothing after that means anything.
    pub fn step(
        &mut self,
        input: &mut BytesMut,
        framebuffer: &mut Framebuffer,
    ) -> Result<Option<ServerEvent>, ProtocolError> {
        loop {
            match &mut self.state {
                State::Message => match self.message(input)? {
                    Some(Some(event)) => return Ok(Some(event)),
                    Some(None) => {}
                    None => return Ok(None),
                },
                State::Update(Some(0)) => {
                    self.state = State::Message;
                    return Ok(Some(ServerEvent::UpdateEnd));
                }
                State::Update(left) => {
                    let left = *left;
                    match self.rect(left, input, framebuffer)? {
                        Some(Some(event)) => return Ok(Some(event)),
                        Some(None) => {}
                        None => return Ok(None),
                    }
                }
                State::Pixels(rect, left) => {
                    if !self.decoder.step(input, framebuffer)? {
                        return Ok(None);
                    }
                    let rect = *rect;
                    self.state = State::Update(*left);
                    if !rect.is_empty() {
                        return Ok(Some(ServerEvent::Damage(rect)));
                    }
                }
                State::Colours { left: 0, .. } => {
                    self.state = State::Message;
                    return Ok(Some(ServerEvent::ColourMap));
                }
                State::Colours { next, left } => {
                    let mut from = Reader::new(input);
                    let rgb = (|| Some([from.u16()?, from.u16()?, from.u16()?]))();
                    let Some(rgb) = rgb else { return Ok(None) };
                    let colour = rgb.into_iter().fold(0, |colour, part| colour << 8 | u32::from(part >> 8));
                    self.decoder.set_colour(*next, colour);
                    input.advance(6);
                    *next += 1;
                    *left -= 1;
                }
                State::Cut(cut) => {
                    if !cut.step(input) {
                        return Ok(None);
                    }
                    if let State::Cut(cut) = std::mem::replace(&mut self.state, State::Message) {
                        return Ok(Some(ServerEvent::CutText(cut.done()?)));
                    }
                }
            }
        }
    }

    /// The head of a message: `None` when bytes are missing, `Some(None)` when there is more to read.
    fn message(&mut self, input: &mut BytesMut) -> Result<Option<Option<ServerEvent>>, ProtocolError> {
        let mut from = Reader::new(input);
        let Some(kind) = from.u8() else { return Ok(None) };
        let event = match kind {
            0 => {
                let Some(count) = from.take(1).and_then(|_| from.u16()) else { return Ok(None) };
                self.state = State::Update((count != u16::MAX).then_some(count));
                None
            }
            1 => {
                let head = from.take(1).and_then(|_| Some((from.u16()?, from.u16()?)));
                let Some((first, count)) = head else { return Ok(None) };
                self.state = State::Colours { next: first.into(), left: count.into() };
                None
            }
            2 => Some(ServerEvent::Bell),
            3 => {
                let Some(length) = from.take(3).and_then(|_| from.i32()) else { return Ok(None) };
                self.state = State::Cut(Reading::new(length));
                None
            }
            150 => Some(ServerEvent::EndOfContinuousUpdates),
            248 => match Fence::read(&mut from)? {
                Some(fence) => Some(ServerEvent::Fence(fence)),
                None => return Ok(None),
            },
            other => return Err(ProtocolError::Message(other)),
        };
        let at = from.at();
        input.advance(at);
        Ok(Some(event))
    }

    /// The head of a rectangle, or a whole pseudo-rectangle.
    fn rect(
        &mut self,
        left: Option<u16>,
        input: &mut BytesMut,
        framebuffer: &mut Framebuffer,
    ) -> Result<Option<Option<ServerEvent>>, ProtocolError> {
        let mut from = Reader::new(input);
        let Some((rect, number)) = (|| Some((Rect::read(&mut from)?, from.i32()?)))() else {
            return Ok(None);
        };
        let left = left.map(|left| left - 1);
        if let Some(encoding) = Encoding::from_number(number) {
            if !framebuffer.bounds().contains(&rect) {
                return Err(ProtocolError::Outside(rect));
            }
            input.advance(from.at());
            self.decoder.begin(encoding, rect);
            self.state = State::Pixels(rect, left);
            return Ok(Some(None));
        }
        let mut next = State::Update(left);
        let event = match number {
            pseudo::LAST_RECT => {
                next = State::Update(Some(0));
                None
            }
            pseudo::CURSOR => match self.cursor(rect, &mut from)? {
                Some(cursor) => Some(ServerEvent::Cursor(cursor)),
                None => return Ok(None),
            },
            pseudo::POINTER_POS => Some(ServerEvent::PointerPos { x: rect.x, y: rect.y }),
            pseudo::DESKTOP_SIZE => {
                framebuffer.resize(rect.w, rect.h)?;
                Some(ServerEvent::DesktopSize { width: rect.w, height: rect.h })
            }
            pseudo::EXTENDED_DESKTOP_SIZE => {
                let Some(screens) = screens(&mut from) else { return Ok(None) };
                // Only who asked is refused; with other reasons the status has no meaning.
                let (reason, status) = (rect.x, if rect.x == 1 { rect.y } else { 0 });
                if status == 0 {
                    framebuffer.resize(rect.w, rect.h)?;
                }
                let (width, height) = (rect.w, rect.h);
                Some(ServerEvent::ExtendedDesktopSize { reason, status, width, height, screens })
            }
            pseudo::QEMU_EXTENDED_KEY => Some(ServerEvent::ExtendedKeys),
            pseudo::QEMU_POINTER_MOTION => Some(ServerEvent::PointerAbsolute(rect.x != 0)),
            other => return Err(ProtocolError::Encoding(other)),
        };
        let at = from.at();
        input.advance(at);
        self.state = next;
        Ok(Some(event))
    }

    fn cursor(&self, rect: Rect, from: &mut Reader<'_>) -> Result<Option<Cursor>, ProtocolError> {
        if rect.w > limits::CURSOR_SIDE || rect.h > limits::CURSOR_SIDE {
            return Err(ProtocolError::Cursor(rect));
        }
        let codec = self.decoder.pixels();
        let len = rect.area() * codec.len() + cursor::mask_len(rect.w, rect.h);
        Ok(from.take(len).map(|bytes| cursor::parse(rect, codec, bytes)))
    }
}

fn screens(from: &mut Reader<'_>) -> Option<Vec<Screen>> {
    let count = from.u8()?;
    from.take(3)?;
    (0..count).map(|_| Screen::read(from)).collect()
}
