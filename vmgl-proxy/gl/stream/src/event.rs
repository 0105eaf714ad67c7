//! What the renderer says.

use crate::wire::{begin, end, put_array, put_u32, put_u64};
use crate::{Commands, DecodeError, Reader};

/// A word of the renderer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The answer to a command with a `reply`.
    Reply {
        /// The command's.
        reply: u32,
        /// Not 0: more of it follows.
        more: u32,
        /// What the function returned, or a status.
        value: u64,
        /// Arrays ([`Outs`]), or what the command's description says.
        data: &'a [u8],
    },
    /// A picture is to be seen.
    Swapped {
        /// The drawable.
        drawable: u32,
        /// As in the command.
        serial: u32,
        /// When that was, by the renderer's clock.
        micros: u64,
        /// How many microseconds the renderer had had it.
        held: u64,
    },
    /// All before a ping was executed.
    Pong {
        /// As in the command.
        serial: u32,
    },
    /// OpenGL's error, told late.
    GlError {
        /// The context.
        context: u32,
        /// OpenGL's number.
        error: u32,
        /// A command near it, or 0.
        opcode: u32,
        /// How often.
        count: u32,
    },
    /// Something was lost.
    Lost {
        /// 1 what was drawn, 2 everything.
        what: u32,
    },
    /// The renderer will be replaced: what only it has is to be asked for first, and another connection made after that.
    Leave {
        /// Not 0: this connection is to be ended, and the next one, which may not be there yet, waited for.
        away: u32,
        /// Where renderers are looked for from then on, as `VMGL_GL` says it; where they were if it is empty.
        to: &'a [u8],
    },
}

const REPLY: u16 = 128;
/// Answers above this size are cut into pieces; all but the last say that more follows.
const PIECE: usize = 192 << 10;

impl<'a> Event<'a> {
    /// Puts an answer, in pieces if it is long.
    pub fn put_reply(out: &mut Vec<u8>, reply: u32, value: u64, data: &[u8]) {
        let mut pieces = data.chunks(PIECE).peekable();
        loop {
            let data = pieces.next().unwrap_or_default();
            let more = u32::from(pieces.peek().is_some());
            Event::Reply { reply, more, value, data }.encode(out);
            if more == 0 {
                return;
            }
        }
    }

    /// Puts it, header and all. The data of an answer are one piece of it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let number = match self {
            Self::Reply { .. } => REPLY,
            Self::Swapped { .. } => 129,
            Self::Pong { .. } => 130,
            Self::GlError { .. } => 131,
            Self::Lost { .. } => 133,
            Self::Leave { .. } => 134,
        };
        let start = begin(out, number);
        match *self {
            Self::Reply { reply, more, value, data } => {
                put_u32(out, reply);
                put_u32(out, more);
                put_u64(out, value);
                put_array(out, data);
            }
            Self::Swapped { drawable, serial, micros, held } => {
                put_u32(out, drawable);
                put_u32(out, serial);
                put_u64(out, micros);
                put_u64(out, held);
            }
            Self::Pong { serial } => put_u32(out, serial),
            Self::GlError { context, error, opcode, count } => {
                for field in [context, error, opcode, count] {
                    put_u32(out, field);
                }
            }
            Self::Lost { what } => put_u32(out, what),
            Self::Leave { away, to } => {
                put_u32(out, away);
                put_array(out, to);
            }
        }
        end(out, start);
    }

    /// The next of a payload; none at its end.
    ///
    /// # Errors
    /// [`DecodeError`]; the connection is then of no more use.
    pub fn next(commands: &mut Commands<'a>) -> Result<Option<Self>, DecodeError> {
        let Some((opcode, body)) = commands.next_raw()? else { return Ok(None) };
        let mut r = Reader::new(body);
        let event = match opcode {
            REPLY => Self::Reply { reply: r.u32()?, more: r.u32()?, value: r.u64()?, data: r.array()? },
            129 => Self::Swapped { drawable: r.u32()?, serial: r.u32()?, micros: r.u64()?, held: r.u64()? },
            130 => Self::Pong { serial: r.u32()? },
            131 => Self::GlError { context: r.u32()?, error: r.u32()?, opcode: r.u32()?, count: r.u32()? },
            133 => Self::Lost { what: r.u32()? },
            134 => Self::Leave { away: r.u32()?, to: r.array()? },
            _ => return Err(DecodeError::Opcode(opcode)),
        };
        r.end()?;
        Ok(Some(event))
    }
}

/// Puts an array of an answer, in the order of the command's arguments.
pub fn put_out(data: &mut Vec<u8>, bytes: &[u8]) {
    put_array(data, bytes);
}

/// The arrays of an answer.
#[derive(Debug, Clone)]
pub struct Outs<'a>(Reader<'a>);

impl<'a> Outs<'a> {
    /// Of an answer's data.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Reader::new(data))
    }
}

impl<'a> Iterator for Outs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.array().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{Event, Outs, put_out};
    use crate::Commands;

    #[test]
    fn words_come_back_as_they_were_said() {
        let words = [
            Event::Reply { reply: 3, more: 0, value: u64::MAX, data: b"12345" },
            Event::Swapped { drawable: 1, serial: 2, micros: 1 << 40, held: 1 << 33 },
            Event::Pong { serial: 9 },
            Event::GlError { context: 1, error: 0x502, opcode: 300, count: 2 },
            Event::Lost { what: 2 },
            Event::Leave { away: 1, to: b"" },
            Event::Leave { away: 0, to: b"tcp:desk:7300" },
        ];
        let mut bytes = Vec::new();
        words.iter().for_each(|word| word.encode(&mut bytes));
        let mut commands = Commands::new(&bytes);
        for word in words {
            assert_eq!(Event::next(&mut commands).unwrap(), Some(word));
        }
        assert_eq!(Event::next(&mut commands).unwrap(), None);
    }

    #[test]
    fn a_long_answer_comes_in_pieces_and_is_whole_again() {
        let mut data = Vec::new();
        put_out(&mut data, &vec![7; 500_000]);
        put_out(&mut data, b"last");
        let mut bytes = Vec::new();
        Event::put_reply(&mut bytes, 5, 1, &data);
        let (mut commands, mut gathered) = (Commands::new(&bytes), Vec::new());
        while let Some(Event::Reply { reply: 5, data, .. }) = Event::next(&mut commands).unwrap() {
            gathered.extend_from_slice(data);
        }
        let outs: Vec<_> = Outs::new(&gathered).collect();
        assert_eq!(outs, [vec![7; 500_000].as_slice(), b"last"]);
    }
}
