//! Why a command had no effect. The program goes on: it is told of an error of OpenGL's, late.

use thiserror::Error;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    /// The implementation has no such function.
    #[error("the implementation has no such function")]
    Missing,
    /// The command is none that is drawn with.
    #[error("it is no command of this renderer")]
    NotHere,
    /// A name that was never given to anything.
    #[error("it names nothing")]
    NoSuchName,
    /// Names, memory: more than there may be.
    #[error("there are too many names")]
    TooManyNames,
    /// An answer that would be too long.
    #[error("its answer would be too long")]
    TooLong,
    /// Memory where only an offset into a buffer makes sense, or the other way round.
    #[error("its memory and the bound buffers do not go together")]
    Memory,
    /// A value that cannot be.
    #[error("a value that cannot be")]
    Value,
    /// No context is current.
    #[error("no context is current")]
    NoContext,
}

impl Fault {
    /// OpenGL's word for it.
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::TooManyNames | Self::TooLong => 0x0505,
            Self::Value => 0x0501,
            Self::Missing | Self::NotHere | Self::NoSuchName | Self::Memory | Self::NoContext => 0x0502,
        }
    }
}
