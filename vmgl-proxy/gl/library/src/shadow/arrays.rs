//! Arrays of vertices: where they are, in the program's memory or in buffers.

use vmgl_gl_stream::size;

/// Generic attributes that are kept.
pub(crate) const GENERIC: usize = 32;
/// Units of texture coordinates that are kept.
pub(crate) const TEXTURES: usize = 32;

/// An array that is not of generic attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixed {
    Vertex,
    Normal,
    Color,
    Index,
    EdgeFlag,
    FogCoord,
    SecondaryColor,
}

/// All of these, in the order of their places.
pub(crate) const FIXED: [Fixed; 7] = [
    Fixed::Vertex,
    Fixed::Normal,
    Fixed::Color,
    Fixed::Index,
    Fixed::EdgeFlag,
    Fixed::FogCoord,
    Fixed::SecondaryColor,
];

/// One array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Array {
    pub(crate) enabled: bool,
    /// Components; `GL_BGRA` counts four.
    pub(crate) size: i32,
    pub(crate) kind: u32,
    pub(crate) stride: i32,
    /// An address, or an offset into the buffer.
    pub(crate) pointer: usize,
    pub(crate) buffer: u32,
    pub(crate) normalized: bool,
    pub(crate) integer: bool,
    pub(crate) divisor: u32,
}

impl Array {
    const fn new(size: i32, kind: u32) -> Self {
        Self {
            enabled: false,
            size,
            kind,
            stride: 0,
            pointer: 0,
            buffer: 0,
            normalized: false,
            integer: false,
            divisor: 0,
        }
    }

    /// It is in the program's memory and will be read.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.enabled && self.buffer == 0 && self.pointer != 0
    }

    /// Bytes of an element.
    pub(crate) fn element_bytes(&self) -> Option<usize> {
        // Packed types of four components in one word.
        if matches!(self.kind, 0x8368 | 0x8d9f) {
            return Some(4);
        }
        let components = if self.size == 0x80e1 { 4 } else { usize::try_from(self.size).ok()? };
        size::type_bytes(self.kind)?.checked_mul(components)
    }

    /// Bytes from one element to the next.
    pub(crate) fn step(&self) -> Option<usize> {
        if self.stride == 0 { self.element_bytes() } else { usize::try_from(self.stride).ok() }
    }
}

const FLOAT: u32 = 0x1406;
const BYTE: u32 = 0x1401;

/// An array object: where all arrays and the indices are.
#[derive(Debug, Clone)]
pub(crate) struct ArrayObject {
    pub(crate) fixed: [Array; FIXED.len()],
    pub(crate) textures: [Array; TEXTURES],
    pub(crate) generic: [Array; GENERIC],
    pub(crate) elements: u32,
}

impl Default for ArrayObject {
    fn default() -> Self {
        let kinds = [(4, FLOAT), (3, FLOAT), (4, FLOAT), (1, FLOAT), (1, BYTE), (1, FLOAT), (3, FLOAT)];
        Self {
            fixed: kinds.map(|(size, kind)| Array::new(size, kind)),
            textures: [Array::new(4, FLOAT); TEXTURES],
            generic: [Array::new(4, FLOAT); GENERIC],
            elements: 0,
        }
    }
}

impl ArrayObject {
    pub(crate) fn fixed(&mut self, which: Fixed) -> &mut Array {
        &mut self.fixed[which as usize]
    }

    /// Whether any array that will be read is in the program's memory.
    pub(crate) fn any_in_memory(&self) -> bool {
        self.all().any(Array::is_in_memory)
    }

    /// Whether all arrays that will be read are.
    pub(crate) fn all_in_memory(&self) -> bool {
        self.all().filter(|array| array.enabled).all(Array::is_in_memory)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Array> {
        self.fixed.iter().chain(&self.textures).chain(&self.generic)
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Array> {
        self.fixed.iter_mut().chain(&mut self.textures).chain(&mut self.generic)
    }
}
