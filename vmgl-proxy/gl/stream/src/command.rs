//! The commands, generated from the registry by `build.rs`.

use crate::control::{self, Control};
use crate::wire::{self, halves};
use crate::{DecodeError, Reader, size};

/// What a pointer of a program's is on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Data<'a> {
    /// No memory is given.
    Null,
    /// Bytes of the program's memory.
    Memory(&'a [u8]),
    /// An offset into the buffer that is bound where the command looks.
    Offset(u64),
}

impl<'a> Data<'a> {
    /// The bytes, if it is memory.
    pub fn memory(&self) -> Option<&'a [u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Null | Self::Offset(_) => None,
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/command.rs"));

/// The command of that number, for a log.
pub fn opcode_name(opcode: u16) -> &'static str {
    let index = opcode.checked_sub(FIRST_OPCODE).map(usize::from);
    index.and_then(|index| COMMANDS.get(index)).copied().unwrap_or("a command of the stream")
}

/// What a program waited for, by the number of what was answered; none if there is no such command.
pub fn waited_name(opcode: u16) -> Option<&'static str> {
    match opcode {
        control::REFLECT => Some("glLinkProgram"),
        control::SHADER_STATUS => Some("glCompileShader"),
        control::READ => Some("glXWaitGL"),
        _ => COMMANDS.get(usize::from(opcode.checked_sub(FIRST_OPCODE)?)).copied(),
    }
}
