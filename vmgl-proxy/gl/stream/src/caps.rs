//! What the renderer's OpenGL is and can: told once, when a stream opens, so that programs that ask do not wait.

use std::collections::BTreeMap;

use crate::wire::{put_array, put_f64, put_i64, put_u32};
use crate::{DecodeError, Reader};

/// Strings that the renderer tells: vendor, renderer, version, and the version of its shading language.
pub const STRINGS: &[u32] = &[0x1f00, 0x1f01, 0x1f02, 0x8b8c];

/// Integers that the renderer tells, and how many each is. One that it does not know is not told.
pub const INTEGERS: &[(u32, usize)] = &[
    (0x0b31, 1), // MAX_LIST_NESTING
    (0x0d30, 1), // MAX_EVAL_ORDER
    (0x0d31, 1), // MAX_LIGHTS
    (0x0d32, 1), // MAX_CLIP_PLANES
    (0x0d33, 1), // MAX_TEXTURE_SIZE
    (0x0d34, 1), // MAX_PIXEL_MAP_TABLE
    (0x0d35, 1), // MAX_ATTRIB_STACK_DEPTH
    (0x0d36, 1), // MAX_MODELVIEW_STACK_DEPTH
    (0x0d37, 1), // MAX_NAME_STACK_DEPTH
    (0x0d38, 1), // MAX_PROJECTION_STACK_DEPTH
    (0x0d39, 1), // MAX_TEXTURE_STACK_DEPTH
    (0x0d3a, 2), // MAX_VIEWPORT_DIMS
    (0x0d3b, 1), // MAX_CLIENT_ATTRIB_STACK_DEPTH
    (0x0d50, 1), // SUBPIXEL_BITS
    (0x8073, 1), // MAX_3D_TEXTURE_SIZE
    (0x80e8, 1), // MAX_ELEMENTS_VERTICES
    (0x80e9, 1), // MAX_ELEMENTS_INDICES
    (0x84e2, 1), // MAX_TEXTURE_UNITS
    (0x84e8, 1), // MAX_RENDERBUFFER_SIZE
    (0x84f8, 1), // MAX_RECTANGLE_TEXTURE_SIZE
    (0x851c, 1), // MAX_CUBE_MAP_TEXTURE_SIZE
    (0x8824, 1), // MAX_DRAW_BUFFERS
    (0x8869, 1), // MAX_VERTEX_ATTRIBS
    (0x8871, 1), // MAX_TEXTURE_COORDS
    (0x8872, 1), // MAX_TEXTURE_IMAGE_UNITS
    (0x88fc, 1), // MAX_DUAL_SOURCE_DRAW_BUFFERS
    (0x88ff, 1), // MAX_ARRAY_TEXTURE_LAYERS
    (0x8904, 1), // MIN_PROGRAM_TEXEL_OFFSET
    (0x8905, 1), // MAX_PROGRAM_TEXEL_OFFSET
    (0x8a2b, 1), // MAX_VERTEX_UNIFORM_BLOCKS
    (0x8a2c, 1), // MAX_GEOMETRY_UNIFORM_BLOCKS
    (0x8a2d, 1), // MAX_FRAGMENT_UNIFORM_BLOCKS
    (0x8a2e, 1), // MAX_COMBINED_UNIFORM_BLOCKS
    (0x8a2f, 1), // MAX_UNIFORM_BUFFER_BINDINGS
    (0x8a30, 1), // MAX_UNIFORM_BLOCK_SIZE
    (0x8a31, 1), // MAX_COMBINED_VERTEX_UNIFORM_COMPONENTS
    (0x8a32, 1), // MAX_COMBINED_GEOMETRY_UNIFORM_COMPONENTS
    (0x8a33, 1), // MAX_COMBINED_FRAGMENT_UNIFORM_COMPONENTS
    (0x8a34, 1), // UNIFORM_BUFFER_OFFSET_ALIGNMENT
    (0x8b49, 1), // MAX_FRAGMENT_UNIFORM_COMPONENTS
    (0x8b4a, 1), // MAX_VERTEX_UNIFORM_COMPONENTS
    (0x8b4b, 1), // MAX_VARYING_FLOATS
    (0x8b4c, 1), // MAX_VERTEX_TEXTURE_IMAGE_UNITS
    (0x8b4d, 1), // MAX_COMBINED_TEXTURE_IMAGE_UNITS
    (0x8c29, 1), // MAX_GEOMETRY_TEXTURE_IMAGE_UNITS
    (0x8c2b, 1), // MAX_TEXTURE_BUFFER_SIZE
    (0x8c80, 1), // MAX_TRANSFORM_FEEDBACK_SEPARATE_COMPONENTS
    (0x8c8a, 1), // MAX_TRANSFORM_FEEDBACK_INTERLEAVED_COMPONENTS
    (0x8c8b, 1), // MAX_TRANSFORM_FEEDBACK_SEPARATE_ATTRIBS
    (0x8cdf, 1), // MAX_COLOR_ATTACHMENTS
    (0x8d57, 1), // MAX_SAMPLES
    (0x8ddf, 1), // MAX_GEOMETRY_UNIFORM_COMPONENTS
    (0x8de0, 1), // MAX_GEOMETRY_OUTPUT_VERTICES
    (0x8de1, 1), // MAX_GEOMETRY_TOTAL_OUTPUT_COMPONENTS
    (0x8dfb, 1), // MAX_VERTEX_UNIFORM_VECTORS
    (0x8dfc, 1), // MAX_VARYING_VECTORS
    (0x8dfd, 1), // MAX_FRAGMENT_UNIFORM_VECTORS
    (0x8e59, 1), // MAX_SAMPLE_MASK_WORDS
    (0x910e, 1), // MAX_COLOR_TEXTURE_SAMPLES
    (0x910f, 1), // MAX_DEPTH_TEXTURE_SAMPLES
    (0x9110, 1), // MAX_INTEGER_SAMPLES
    (0x9111, 1), // MAX_SERVER_WAIT_TIMEOUT
    (0x9122, 1), // MAX_VERTEX_OUTPUT_COMPONENTS
    (0x9123, 1), // MAX_GEOMETRY_INPUT_COMPONENTS
    (0x9124, 1), // MAX_GEOMETRY_OUTPUT_COMPONENTS
    (0x9125, 1), // MAX_FRAGMENT_INPUT_COMPONENTS
    (0x8b9a, 1), // IMPLEMENTATION_COLOR_READ_TYPE
    (0x8b9b, 1), // IMPLEMENTATION_COLOR_READ_FORMAT
];

/// Floating-point numbers that the renderer tells, and how many each is.
pub const FLOATS: &[(u32, usize)] = &[
    (0x0b12, 2), // POINT_SIZE_RANGE
    (0x0b13, 1), // POINT_SIZE_GRANULARITY
    (0x0b22, 2), // LINE_WIDTH_RANGE
    (0x0b23, 1), // LINE_WIDTH_GRANULARITY
    (0x846d, 2), // ALIASED_POINT_SIZE_RANGE
    (0x846e, 2), // ALIASED_LINE_WIDTH_RANGE
    (0x84fd, 1), // MAX_TEXTURE_LOD_BIAS
    (0x84ff, 1), // MAX_TEXTURE_MAX_ANISOTROPY
];

/// Among the integers: samples of a pixel in drawables that have several; not told where there are none. OpenGL has no number for it.
pub const DRAWABLE_SAMPLES: u32 = 0xffff_0001;

/// What a renderer's OpenGL is and can.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caps {
    /// By the numbers of [`STRINGS`].
    pub strings: BTreeMap<u32, String>,
    /// The extensions it has.
    pub extensions: Vec<String>,
    /// By the numbers of [`INTEGERS`], and more if it likes.
    pub integers: BTreeMap<u32, Vec<i64>>,
    /// By the numbers of [`FLOATS`], and more if it likes.
    pub floats: BTreeMap<u32, Vec<f64>>,
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Caps {
    /// Puts it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, count(self.strings.len()));
        for (&name, text) in &self.strings {
            put_u32(out, name);
            put_array(out, text.as_bytes());
        }
        put_u32(out, count(self.extensions.len()));
        for name in &self.extensions {
            put_array(out, name.as_bytes());
        }
        put_u32(out, count(self.integers.len()));
        for (&name, values) in &self.integers {
            put_u32(out, name);
            put_u32(out, count(values.len()));
            values.iter().for_each(|&value| put_i64(out, value));
        }
        put_u32(out, count(self.floats.len()));
        for (&name, values) in &self.floats {
            put_u32(out, name);
            put_u32(out, count(values.len()));
            values.iter().for_each(|&value| put_f64(out, value));
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut caps = Self::default();
        for _ in 0..r.count(8)? {
            caps.strings.insert(r.u32()?, r.text()?.to_owned());
        }
        for _ in 0..r.count(4)? {
            caps.extensions.push(r.text()?.to_owned());
        }
        for _ in 0..r.count(8)? {
            let name = r.u32()?;
            let values: Result<_, _> = (0..r.count(8)?).map(|_| r.i64()).collect();
            caps.integers.insert(name, values?);
        }
        for _ in 0..r.count(8)? {
            let name = r.u32()?;
            let values: Result<_, _> = (0..r.count(8)?).map(|_| r.f64()).collect();
            caps.floats.insert(name, values?);
        }
        r.end()?;
        Ok(caps)
    }
}
