//! The stream's own commands to the renderer: contexts, drawables, pictures, questions.

use crate::wire::{begin, end, put_array, put_u32};
use crate::{DecodeError, Reader, limits};

/// The number of a part of a long array.
pub(crate) const PART: u16 = 9;
/// Numbers of what is said about the shelf.
pub(crate) const KEEP: u16 = 14;
pub(crate) const TAKE: u16 = 15;
pub(crate) const CLEAR: u16 = 16;
/// Of questions of the stream's own that programs wait for.
pub(crate) const REFLECT: u16 = 10;
pub(crate) const SHADER_STATUS: u16 = 11;
/// Of pixels of a drawable that the program waits for.
pub(crate) const READ: u16 = 18;
/// Numbers up to here are the stream's own.
pub(crate) const LAST: u16 = 255;

/// A command of the stream's own. Ids of contexts and drawables are the library's; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control<'a> {
    /// A context, which shares objects with another.
    CreateContext {
        /// Its id.
        context: u32,
        /// The one with whose objects it begins, or 0.
        share: u32,
        /// 0 compatibility profile, 1 core, 2 OpenGL ES 2 or 3, 3 OpenGL ES 1.
        api: u32,
        /// The version that was asked for.
        major: u32,
        /// The version that was asked for.
        minor: u32,
        /// Bits of `GLX_CONTEXT_FLAGS_ARB`.
        flags: u32,
        /// Bits: 0 double buffer, 1 depth, 2 stencil, 3 alpha; 8 to 15 the number of samples.
        config: u32,
    },
    /// A context ends.
    DestroyContext {
        /// Its id.
        context: u32,
    },
    /// Something to draw on.
    CreateDrawable {
        /// Its id.
        drawable: u32,
        /// 0 window, 1 pbuffer, 2 pixmap.
        kind: u32,
        /// The X server's id of it, or 0.
        window: u32,
        /// In pixels, from 1 to [`limits::SIDE`].
        width: u32,
        /// In pixels, from 1 to [`limits::SIDE`].
        height: u32,
        /// As of a context.
        config: u32,
    },
    /// A drawable ends.
    DestroyDrawable {
        /// Its id.
        drawable: u32,
    },
    /// A drawable has another size.
    ResizeDrawable {
        /// Its id.
        drawable: u32,
        /// In pixels, from 1 to [`limits::SIDE`].
        width: u32,
        /// In pixels, from 1 to [`limits::SIDE`].
        height: u32,
    },
    /// What follows is the context's.
    MakeCurrent {
        /// The context, or 0.
        context: u32,
        /// The drawable that is drawn on.
        draw: u32,
        /// The drawable that is read.
        read: u32,
    },
    /// A picture is complete.
    Swap {
        /// The drawable.
        drawable: u32,
        /// Comes back with [`crate::Event::Swapped`].
        serial: u32,
        /// So many sixtieths of a second are at least between two pictures.
        interval: u32,
    },
    /// Answered when all before it was executed.
    Ping {
        /// Comes back.
        serial: u32,
    },
    /// What a program is, after it was linked.
    Reflect {
        /// The program's name.
        program: u32,
        /// The answer's id.
        reply: u32,
    },
    /// Whether a shader was compiled, and the compiler's words.
    ShaderStatus {
        /// The shader's name.
        shader: u32,
        /// The answer's id.
        reply: u32,
    },
    /// State is being rebuilt (1), or that is done (0).
    Restore {
        /// Whether it begins.
        begin: u32,
    },
    /// What was drawn on a drawable with one buffer is to be seen.
    Front {
        /// The drawable.
        drawable: u32,
    },
    /// A piece of an array that is too long for its command; the [`crate::Assembler`] takes it away.
    Part {
        /// The piece.
        data: &'a [u8],
    },
    /// What the parts before have gathered is kept on this place of the shelf; what was there goes.
    Keep {
        /// Below [`limits::PLACES`].
        place: u32,
    },
    /// What is on a place of the shelf, as if it came in parts. This and its like the assembler takes away, too.
    Take {
        /// Below [`limits::PLACES`].
        place: u32,
        /// Its bytes.
        length: u32,
    },
    /// What is on a place of the shelf goes.
    Clear {
        /// Below [`limits::PLACES`].
        place: u32,
    },
    /// The program has waited for an answer, which it has by now.
    Waited {
        /// The number of the command that was answered.
        opcode: u32,
        /// How long.
        micros: u32,
    },
    /// What is drawn on a drawable, whatever is current: rows from below on of blue, green, red, alpha, a byte each.
    Read {
        /// The drawable.
        drawable: u32,
        /// The first row, the lowest being 0.
        y: u32,
        /// So many rows, whose bytes are at most [`limits::ANSWER`].
        rows: u32,
        /// The answer's id.
        reply: u32,
    },
}

fn side(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let side = reader.u32()?;
    if (1..=limits::SIDE).contains(&side) { Ok(side) } else { Err(DecodeError::Value("a drawable's size")) }
}

impl<'a> Control<'a> {
    /// By which reply it is answered, if it is.
    pub fn reply(&self) -> Option<u32> {
        match *self {
            Self::Reflect { reply, .. } | Self::ShaderStatus { reply, .. } | Self::Read { reply, .. } => {
                Some(reply)
            }
            _ => None,
        }
    }

    /// Its number on the wire.
    pub fn opcode(&self) -> u16 {
        match self {
            Self::CreateContext { .. } => 1,
            Self::DestroyContext { .. } => 2,
            Self::CreateDrawable { .. } => 3,
            Self::DestroyDrawable { .. } => 4,
            Self::ResizeDrawable { .. } => 5,
            Self::MakeCurrent { .. } => 6,
            Self::Swap { .. } => 7,
            Self::Ping { .. } => 8,
            Self::Part { .. } => PART,
            Self::Reflect { .. } => REFLECT,
            Self::ShaderStatus { .. } => SHADER_STATUS,
            Self::Restore { .. } => 12,
            Self::Front { .. } => 13,
            Self::Keep { .. } => KEEP,
            Self::Take { .. } => TAKE,
            Self::Clear { .. } => CLEAR,
            Self::Waited { .. } => 17,
            Self::Read { .. } => READ,
        }
    }

    /// Puts it, header and all.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin(out, self.opcode());
        let fields: &[u32] = match self {
            &Self::CreateContext { context, share, api, major, minor, flags, config } => {
                &[context, share, api, major, minor, flags, config]
            }
            &Self::CreateDrawable { drawable, kind, window, width, height, config } => {
                &[drawable, kind, window, width, height, config]
            }
            &Self::DestroyContext { context } => &[context],
            &Self::DestroyDrawable { drawable } | &Self::Front { drawable } => &[drawable],
            &Self::ResizeDrawable { drawable, width, height } => &[drawable, width, height],
            &Self::MakeCurrent { context, draw, read } => &[context, draw, read],
            &Self::Swap { drawable, serial, interval } => &[drawable, serial, interval],
            &Self::Ping { serial } => &[serial],
            &Self::Reflect { program, reply } => &[program, reply],
            &Self::ShaderStatus { shader, reply } => &[shader, reply],
            &Self::Restore { begin } => &[begin],
            &Self::Keep { place } | &Self::Clear { place } => &[place],
            &Self::Take { place, length } => &[place, length],
            &Self::Waited { opcode, micros } => &[opcode, micros],
            &Self::Read { drawable, y, rows, reply } => &[drawable, y, rows, reply],
            Self::Part { data } => {
                put_array(out, data);
                &[]
            }
        };
        for &field in fields {
            put_u32(out, field);
        }
        end(out, start);
    }

    pub(crate) fn decode(opcode: u16, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match opcode {
            1 => Self::CreateContext {
                context: r.u32()?,
                share: r.u32()?,
                api: r.u32()?,
                major: r.u32()?,
                minor: r.u32()?,
                flags: r.u32()?,
                config: r.u32()?,
            },
            2 => Self::DestroyContext { context: r.u32()? },
            3 => Self::CreateDrawable {
                drawable: r.u32()?,
                kind: r.u32()?,
                window: r.u32()?,
                width: side(r)?,
                height: side(r)?,
                config: r.u32()?,
            },
            4 => Self::DestroyDrawable { drawable: r.u32()? },
            5 => Self::ResizeDrawable { drawable: r.u32()?, width: side(r)?, height: side(r)? },
            6 => Self::MakeCurrent { context: r.u32()?, draw: r.u32()?, read: r.u32()? },
            7 => Self::Swap { drawable: r.u32()?, serial: r.u32()?, interval: r.u32()? },
            8 => Self::Ping { serial: r.u32()? },
            PART => Self::Part { data: r.array()? },
            REFLECT => Self::Reflect { program: r.u32()?, reply: r.u32()? },
            SHADER_STATUS => Self::ShaderStatus { shader: r.u32()?, reply: r.u32()? },
            12 => Self::Restore { begin: r.u32()? },
            13 => Self::Front { drawable: r.u32()? },
            KEEP => Self::Keep { place: r.u32()? },
            TAKE => Self::Take { place: r.u32()?, length: r.u32()? },
            CLEAR => Self::Clear { place: r.u32()? },
            17 => Self::Waited { opcode: r.u32()?, micros: r.u32()? },
            READ => Self::Read { drawable: r.u32()?, y: r.u32()?, rows: r.u32()?, reply: r.u32()? },
            _ => return Err(DecodeError::Opcode(opcode)),
        })
    }
}
