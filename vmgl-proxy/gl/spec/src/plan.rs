//! What is known of one command: its C signature, and what of it is on the wire.

use crate::Len;

/// A scalar type of OpenGL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// `GLubyte` and `GLchar`.
    U8,
    /// `GLbyte`.
    I8,
    /// `GLushort`.
    U16,
    /// `GLshort`.
    I16,
    /// `GLuint` and `GLbitfield`.
    U32,
    /// `GLint`.
    I32,
    /// `GLfloat`.
    F32,
    /// `GLdouble`.
    F64,
    /// `GLint64`, `GLintptr` and `GLsizeiptr`.
    I64,
    /// `GLuint64`.
    U64,
    /// `GLenum`.
    Enum,
    /// `GLboolean`.
    Boolean,
    /// `GLsizei`.
    Sizei,
    /// `GLsync`.
    Handle,
    /// `void`, behind a pointer: bytes.
    Void,
}

impl Base {
    /// The type of that name in the registry.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "GLubyte" | "GLchar" | "GLcharARB" => Self::U8,
            "GLbyte" => Self::I8,
            "GLushort" => Self::U16,
            "GLshort" => Self::I16,
            "GLuint" | "GLbitfield" | "GLhandleARB" => Self::U32,
            "GLint" | "GLfixed" | "GLclampx" => Self::I32,
            "GLfloat" | "GLclampf" => Self::F32,
            "GLdouble" | "GLclampd" => Self::F64,
            "GLint64" | "GLint64EXT" | "GLintptr" | "GLsizeiptr" | "GLintptrARB" | "GLsizeiptrARB" => {
                Self::I64
            }
            "GLuint64" | "GLuint64EXT" => Self::U64,
            "GLenum" => Self::Enum,
            "GLboolean" => Self::Boolean,
            "GLsizei" => Self::Sizei,
            "GLsync" => Self::Handle,
            "void" | "GLvoid" => Self::Void,
            _ => return None,
        })
    }

    /// Bytes of one in C; of `void` one.
    pub fn c_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Boolean | Self::Void => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 | Self::Enum | Self::Sizei => 4,
            Self::F64 | Self::I64 | Self::U64 | Self::Handle => 8,
        }
    }

    /// The Rust type that an `extern "C"` function has for it. A `GLsync` is an integer as wide as a pointer.
    pub fn c_type(self) -> &'static str {
        match self {
            Self::U8 | Self::Boolean | Self::Void => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 | Self::Enum => "u32",
            Self::I32 | Self::Sizei => "i32",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::U64 | Self::Handle => "u64",
        }
    }

    /// The Rust type of a field of `Command` that holds it.
    pub fn wire_type(self) -> &'static str {
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::Enum | Self::Boolean | Self::Void => "u32",
            Self::I8 | Self::I16 | Self::I32 | Self::Sizei => "i32",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::U64 | Self::Handle => "u64",
        }
    }
}

/// What a name names. Programs and shaders share one space of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "OpenGL's own words")]
pub enum Class {
    Texture,
    Buffer,
    Framebuffer,
    Renderbuffer,
    VertexArray,
    Query,
    Sampler,
    Program,
    Shader,
    List,
    Sync,
    TransformFeedback,
}

/// How an argument travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// By value.
    Scalar(Base),
    /// A name of an object.
    Name(Class),
    /// An array of names that is read.
    Names(Class, Len),
    /// An array that is read, never null unless it is empty.
    Array(Base, Len),
    /// Memory that is read, null, or an offset into a bound buffer.
    Data(Base, Len),
    /// A string; its closing NUL does not travel.
    Text,
    /// An array that is written; its capacity in bytes travels, and the array in the answer.
    Out(Base, Len),
    /// A field of the wire that is no argument in C.
    Extra(Base),
}

/// An argument, or an additional field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// An identifier in Rust.
    pub name: String,
    /// How it travels.
    pub kind: Kind,
}

/// Whether the renderer can generate the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    /// It can.
    No,
    /// The arguments in C are not those of the wire: written by hand there.
    Renderer,
}

/// A command on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// `glBindTexture`.
    pub name: String,
    /// `BindTexture`: the variant of `Command`.
    pub variant: String,
    /// From [`crate::FIRST_OPCODE`] on, by name.
    pub opcode: u16,
    /// In the order of C, additional ones last.
    pub args: Vec<Arg>,
    /// What it returns in C, if that travels back.
    pub ret: Option<Base>,
    /// Has a return value or arrays that are written: a field `reply` comes first, and an answer follows.
    pub answers: bool,
    /// The first version of OpenGL that has it, or the extension.
    pub since: String,
    /// Other names of the same function.
    pub aliases: Vec<String>,
    /// Who writes it at the renderer.
    pub by_hand: ByHand,
}

/// How the library makes an entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// From the plan.
    Generated,
    /// By hand; it travels.
    Hand,
    /// By hand; it is answered in the agent and never travels.
    Local,
    /// Not there: an error of OpenGL's and a line in the log.
    Missing,
}

/// A parameter in C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// An identifier in Rust.
    pub name: String,
    /// What it is, or points to.
    pub base: Base,
    /// How many pointers are before it.
    pub pointers: u8,
    /// What is pointed to is only read.
    pub constant: bool,
}

impl Param {
    /// Its type in an `extern "C"` function in Rust.
    pub fn c_type(&self) -> String {
        let base = self.base.c_type();
        match (self.pointers, self.constant) {
            (0, _) => base.to_owned(),
            (1, true) => format!("*const {base}"),
            (1, false) => format!("*mut {base}"),
            (_, true) => format!("*const *const {base}"),
            (_, false) => format!("*mut *mut {base}"),
        }
    }
}

/// A function of OpenGL's that programs can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `glBindTexture`.
    pub name: String,
    /// In the order of C.
    pub params: Vec<Param>,
    /// The type of what it returns in Rust, `*const u8` for pointers; none for `void`.
    pub ret: Option<String>,
    /// The first version of OpenGL that has it.
    pub since: String,
    /// How the library makes it.
    pub treatment: Treatment,
    /// Which of [`crate::Registry::commands`] it is, if it travels.
    pub plan: Option<usize>,
    /// Other names of the same function.
    pub aliases: Vec<String>,
}
