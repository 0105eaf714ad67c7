//! Reads sessions, record by record, in bounded memory.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use vmgl_rfb::{Framebuffer, Rect};

use super::{
    Act, BUTTONS, END, EXTENDED_KEY, Fault, INPUTS_MAX, KEY, LENGTH_MAX, MAGIC, PACKED_MAX, POINTER,
    Recorded, SIDE_MAX, SNAPSHOT, Session, SessionError, Snapshot, VERSION,
};

/// Reads a whole session.
///
/// # Errors
/// What is wrong with it, and at which byte.
pub fn read(input: impl Read) -> Result<Session, SessionError> {
    let mut reader = Reader { input, at: 0, record: 0 };
    reader.session().map_err(|fault| SessionError { at: reader.record, fault })
}

struct Reader<R> {
    input: R,
    at: u64,
    /// Where the present record began.
    record: u64,
}

impl<R: Read> Reader<R> {
    fn session(&mut self) -> Result<Session, Fault> {
        if self.bytes().ok() != Some(MAGIC) {
            return Err(Fault::NoSession);
        }
        let version = self.u16()?;
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let (width, height) = (self.u16()?, self.u16()?);
        if self.u16()? != 0 {
            return Err(Fault::Value("the reserved bytes of the header are not 0"));
        }
        if width == 0 || height == 0 || Framebuffer::new(width, height).is_err() {
            return Err(Fault::Value("no screen has that size"));
        }
        let mut session = Session { width, height, inputs: Vec::new(), length: Duration::ZERO };
        let (mut before, mut packed, mut buttons) = (None, 0, 0);
        loop {
            self.record = self.at;
            let (kind, at) = (self.u8()?, self.time(session.length)?);
            session.length = at;
            if before.is_some() && kind != POINTER {
                return Err(Fault::Value("a snapshot is not followed by a button"));
            }
            let act = match kind {
                KEY => Act::Key { down: self.bool()?, keysym: self.u32()?, keycode: None },
                EXTENDED_KEY => {
                    Act::Key { down: self.bool()?, keysym: self.u32()?, keycode: Some(self.u32()?) }
                }
                POINTER => Act::Pointer { buttons: self.u8()?, x: self.u16()?, y: self.u16()? },
                SNAPSHOT => {
                    before = Some(self.snapshot(&mut packed)?);
                    continue;
                }
                END => return self.end(session),
                other => return Err(Fault::Kind(other)),
            };
            if let Act::Pointer { buttons: now, .. } = act {
                let changes = (std::mem::replace(&mut buttons, now) ^ now) & BUTTONS != 0;
                if changes != before.is_some() {
                    return Err(Fault::Value("a button without a snapshot, or a snapshot without a button"));
                }
            }
            if session.inputs.len() == INPUTS_MAX {
                return Err(Fault::Value("more inputs than a session may have"));
            }
            session.inputs.push(Recorded { at, act, before: before.take() });
        }
    }

    fn time(&mut self, before: Duration) -> Result<Duration, Fault> {
        let micros = u64::from_le_bytes(self.bytes()?);
        let at = Duration::from_micros(micros);
        if at > LENGTH_MAX {
            return Err(Fault::Value("its time is beyond 24 hours"));
        }
        if at < before {
            let before = u64::try_from(before.as_micros()).unwrap_or(u64::MAX);
            return Err(Fault::Back { at: micros, before });
        }
        Ok(at)
    }

    fn snapshot(&mut self, all: &mut u64) -> Result<Snapshot, Fault> {
        let rect = Rect::new(self.u16()?, self.u16()?, self.u16()?, self.u16()?);
        if rect.is_empty() || rect.w > SIDE_MAX || rect.h > SIDE_MAX {
            return Err(Fault::Value("a snapshot's sides are from 1 to 512"));
        }
        let len = u64::from(self.u32()?);
        *all += len;
        // What zlib makes of noise is hardly longer than the noise.
        if len > rect.area() as u64 * 4 + 64 || *all > PACKED_MAX {
            return Err(Fault::Value("a snapshot has more bytes than it may"));
        }
        let mut packed = Vec::new();
        let got = self.input.by_ref().take(len).read_to_end(&mut packed)? as u64;
        self.at += got;
        if got < len {
            return Err(Fault::Cut);
        }
        let snapshot = Snapshot { rect, packed };
        if snapshot.unpack().is_none() {
            return Err(Fault::Value("a snapshot's bytes are not its pixels"));
        }
        Ok(snapshot)
    }

    fn end(&mut self, session: Session) -> Result<Session, Fault> {
        if usize::try_from(self.u32()?) != Ok(session.inputs.len()) {
            return Err(Fault::Value("the end tells of another number of inputs"));
        }
        match self.input.read(&mut [0])? {
            0 => Ok(session),
            _ => Err(Fault::GoesOn),
        }
    }

    fn bool(&mut self) -> Result<bool, Fault> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Fault::Value("down or up is 1 or 0")),
        }
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        self.bytes().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.bytes().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|fault| match fault.kind() {
            ErrorKind::UnexpectedEof => Fault::Cut,
            _ => Fault::Io(fault),
        })?;
        self.at += N as u64;
        Ok(bytes)
    }
}
