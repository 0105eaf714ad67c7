//! A frame's payload to commands, with what came ahead in parts.

use crate::control::{self, PART};
use crate::shelf::Shelf;
use crate::{Command, DecodeError, Reader, limits};

/// The commands of one payload, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct Commands<'p> {
    rest: &'p [u8],
}

impl<'p> Commands<'p> {
    /// Over a frame's payload.
    pub fn new(payload: &'p [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next command's number and body.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the payload ends within it.
    pub fn next_raw(&mut self) -> Result<Option<(u16, &'p [u8])>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (header, rest) = self.rest.split_first_chunk::<4>().ok_or(DecodeError::Short)?;
        let [low, high, words_low, words_high] = *header;
        let length = usize::from(u16::from_le_bytes([words_low, words_high])) * 4;
        let (body, rest) = rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(Some((u16::from_le_bytes([low, high]), body)))
    }
}

/// Gathers parts, of which it keeps some, and decodes; one for a stream.
#[derive(Debug, Default)]
pub struct Assembler {
    gathered: Vec<u8>,
    used: bool,
    shelf: Shelf,
}

impl Assembler {
    /// With nothing gathered.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next command of the payload; none at its end.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection is then of no more use.
    pub fn next<'x, 'p: 'x>(
        &'x mut self,
        commands: &mut Commands<'p>,
    ) -> Result<Option<Command<'x>>, DecodeError> {
        if std::mem::take(&mut self.used) {
            self.gathered.clear();
        }
        while let Some((opcode, body)) = commands.next_raw()? {
            if opcode == PART {
                let mut reader = Reader::new(body);
                let part = reader.array()?;
                reader.end()?;
                if self.gathered.len() + part.len() > limits::PENDING {
                    return Err(DecodeError::Limit("an array in parts"));
                }
                self.gathered.extend_from_slice(part);
                continue;
            }
            if self.shelf.hears(opcode, body, &mut self.gathered)? {
                continue;
            }
            self.used = true;
            let mut reader = Reader::with_gathered(body, &self.gathered);
            let command = if opcode <= control::LAST {
                Command::Control(control::Control::decode(opcode, &mut reader)?)
            } else {
                Command::decode_body(opcode, &mut reader)?
            };
            reader.end()?;
            return Ok(Some(command));
        }
        Ok(None)
    }
}
