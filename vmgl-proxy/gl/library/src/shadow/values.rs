//! State that is a few numbers under one of OpenGL's names: a table of what it is at first, how it converts, and which
//! groups of attributes it belongs to.

/// How a value converts to other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Integers and enums.
    Integer,
    /// Rounded to integers.
    Float,
    /// 1.0 is the largest integer.
    Unit,
    /// On or off.
    Boolean,
}

/// Groups of attributes, as `glPushAttrib` has them.
pub(crate) mod group {
    pub(crate) const CURRENT: u32 = 0x1;
    pub(crate) const POINT: u32 = 0x2;
    pub(crate) const LINE: u32 = 0x4;
    pub(crate) const POLYGON: u32 = 0x8;
    pub(crate) const LIGHTING: u32 = 0x40;
    pub(crate) const FOG: u32 = 0x80;
    pub(crate) const DEPTH: u32 = 0x100;
    pub(crate) const ACCUM: u32 = 0x200;
    pub(crate) const STENCIL: u32 = 0x400;
    pub(crate) const VIEWPORT: u32 = 0x800;
    pub(crate) const TRANSFORM: u32 = 0x1000;
    pub(crate) const ENABLE: u32 = 0x2000;
    pub(crate) const COLOR: u32 = 0x4000;
    pub(crate) const HINT: u32 = 0x8000;
    pub(crate) const EVAL: u32 = 0x1_0000;
    pub(crate) const LIST: u32 = 0x2_0000;
    pub(crate) const TEXTURE: u32 = 0x4_0000;
    pub(crate) const SCISSOR: u32 = 0x8_0000;
    pub(crate) const MULTISAMPLE: u32 = 0x2000_0000;
    /// Belongs to no group: it stays as it is.
    pub(crate) const NONE: u32 = 0;
}

use Kind::{Boolean, Float, Integer, Unit};
use group::{
    ACCUM, COLOR, DEPTH, ENABLE, EVAL, FOG, HINT, LIGHTING, LINE, LIST, MULTISAMPLE, NONE, POINT, POLYGON,
    SCISSOR, STENCIL, TEXTURE, TRANSFORM, VIEWPORT,
};

/// One value of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: u32,
    pub(crate) groups: u32,
    pub(crate) kind: Kind,
    pub(crate) count: usize,
    first: [f64; 4],
}

const fn row(name: u32, groups: u32, kind: Kind, count: usize, first: [f64; 4]) -> Row {
    Row { name, groups, kind, count, first }
}

const fn one(name: u32, groups: u32, kind: Kind, first: f64) -> Row {
    row(name, groups, kind, 1, [first, 0.0, 0.0, 0.0])
}

/// A switch that is off at first.
const fn off(name: u32, groups: u32) -> Row {
    one(name, groups | ENABLE, Boolean, 0.0)
}

/// All of them, by their numbers.
pub(crate) static ROWS: &[Row] = &[
    one(0x0b11, POINT, Float, 1.0),                               // POINT_SIZE
    off(0x0b10, POINT),                                           // POINT_SMOOTH
    off(0x0b20, LINE),                                            // LINE_SMOOTH
    one(0x0b21, LINE, Float, 1.0),                                // LINE_WIDTH
    off(0x0b24, LINE),                                            // LINE_STIPPLE
    one(0x0b25, LINE, Integer, 65535.0),                          // LINE_STIPPLE_PATTERN
    one(0x0b26, LINE, Integer, 1.0),                              // LINE_STIPPLE_REPEAT
    one(0x0b32, LIST, Integer, 0.0),                              // LIST_BASE
    row(0x0b40, POLYGON, Integer, 2, [6914.0, 6914.0, 0.0, 0.0]), // POLYGON_MODE
    off(0x0b41, POLYGON),                                         // POLYGON_SMOOTH
    off(0x0b42, POLYGON),                                         // POLYGON_STIPPLE
    off(0x0b44, POLYGON),                                         // CULL_FACE
    one(0x0b45, POLYGON, Integer, 1029.0),                        // CULL_FACE_MODE
    one(0x0b46, POLYGON, Integer, 2305.0),                        // FRONT_FACE
    off(0x0b50, LIGHTING),                                        // LIGHTING
    one(0x0b51, LIGHTING, Boolean, 0.0),                          // LIGHT_MODEL_LOCAL_VIEWER
    one(0x0b52, LIGHTING, Boolean, 0.0),                          // LIGHT_MODEL_TWO_SIDE
    row(0x0b53, LIGHTING, Unit, 4, [0.2, 0.2, 0.2, 1.0]),         // LIGHT_MODEL_AMBIENT
    one(0x0b54, LIGHTING, Integer, 7425.0),                       // SHADE_MODEL
    one(0x0b55, LIGHTING, Integer, 1032.0),                       // COLOR_MATERIAL_FACE
    one(0x0b56, LIGHTING, Integer, 5634.0),                       // COLOR_MATERIAL_PARAMETER
    off(0x0b57, LIGHTING),                                        // COLOR_MATERIAL
    off(0x0b60, FOG),                                             // FOG
    one(0x0b61, FOG, Float, 0.0),                                 // FOG_INDEX
    one(0x0b62, FOG, Float, 1.0),                                 // FOG_DENSITY
    one(0x0b63, FOG, Float, 0.0),                                 // FOG_START
    one(0x0b64, FOG, Float, 1.0),                                 // FOG_END
    one(0x0b65, FOG, Integer, 2048.0),                            // FOG_MODE
    row(0x0b66, FOG, Unit, 4, [0.0; 4]),                          // FOG_COLOR
    row(0x0b70, VIEWPORT, Unit, 2, [0.0, 1.0, 0.0, 0.0]),         // DEPTH_RANGE
    off(0x0b71, DEPTH),                                           // DEPTH_TEST
    one(0x0b72, DEPTH, Boolean, 1.0),                             // DEPTH_WRITEMASK
    one(0x0b73, DEPTH, Unit, 1.0),                                // DEPTH_CLEAR_VALUE
    one(0x0b74, DEPTH, Integer, 513.0),                           // DEPTH_FUNC
    row(0x0b80, ACCUM, Unit, 4, [0.0; 4]),                        // ACCUM_CLEAR_VALUE
    off(0x0b90, STENCIL),                                         // STENCIL_TEST
    one(0x0b91, STENCIL, Integer, 0.0),                           // STENCIL_CLEAR_VALUE
    one(0x0b92, STENCIL, Integer, 519.0),                         // STENCIL_FUNC
    one(0x0b93, STENCIL, Integer, 4_294_967_295.0),               // STENCIL_VALUE_MASK
    one(0x0b94, STENCIL, Integer, 7680.0),                        // STENCIL_FAIL
    one(0x0b95, STENCIL, Integer, 7680.0),                        // STENCIL_PASS_DEPTH_FAIL
    one(0x0b96, STENCIL, Integer, 7680.0),                        // STENCIL_PASS_DEPTH_PASS
    one(0x0b97, STENCIL, Integer, 0.0),                           // STENCIL_REF
    one(0x0b98, STENCIL, Integer, 4_294_967_295.0),               // STENCIL_WRITEMASK
    one(0x0ba0, TRANSFORM, Integer, 5888.0),                      // MATRIX_MODE
    off(0x0ba1, TRANSFORM),                                       // NORMALIZE
    row(0x0ba2, VIEWPORT, Integer, 4, [0.0; 4]),                  // VIEWPORT
    off(0x0bc0, COLOR),                                           // ALPHA_TEST
    one(0x0bc1, COLOR, Integer, 519.0),                           // ALPHA_TEST_FUNC
    one(0x0bc2, COLOR, Unit, 0.0),                                // ALPHA_TEST_REF
    one(0x0bd0, COLOR | ENABLE, Boolean, 1.0),                    // DITHER
    off(0x0be2, COLOR),                                           // BLEND
    one(0x0bf0, COLOR, Integer, 5379.0),                          // LOGIC_OP_MODE
    off(0x0bf1, COLOR),                                           // INDEX_LOGIC_OP
    off(0x0bf2, COLOR),                                           // COLOR_LOGIC_OP
    row(0x0c10, SCISSOR, Integer, 4, [0.0; 4]),                   // SCISSOR_BOX
    off(0x0c11, SCISSOR),                                         // SCISSOR_TEST
    one(0x0c20, COLOR, Float, 0.0),                               // INDEX_CLEAR_VALUE
    one(0x0c21, COLOR, Integer, 4_294_967_295.0),                 // INDEX_WRITEMASK
    row(0x0c22, COLOR, Unit, 4, [0.0; 4]),                        // COLOR_CLEAR_VALUE
    row(0x0c23, COLOR, Boolean, 4, [1.0; 4]),                     // COLOR_WRITEMASK
    one(0x0c50, HINT, Integer, 4352.0),                           // PERSPECTIVE_CORRECTION_HINT
    one(0x0c51, HINT, Integer, 4352.0),                           // POINT_SMOOTH_HINT
    one(0x0c52, HINT, Integer, 4352.0),                           // LINE_SMOOTH_HINT
    one(0x0c53, HINT, Integer, 4352.0),                           // POLYGON_SMOOTH_HINT
    one(0x0c54, HINT, Integer, 4352.0),                           // FOG_HINT
    off(0x0d80, EVAL),                                            // AUTO_NORMAL
    one(0x2a00, POLYGON, Float, 0.0),                             // POLYGON_OFFSET_UNITS
    off(0x2a01, POLYGON),                                         // POLYGON_OFFSET_POINT
    off(0x2a02, POLYGON),                                         // POLYGON_OFFSET_LINE
    off(0x3000, TRANSFORM),                                       // CLIP_PLANE0
    off(0x3001, TRANSFORM),                                       // CLIP_PLANE1
    off(0x3002, TRANSFORM),                                       // CLIP_PLANE2
    off(0x3003, TRANSFORM),                                       // CLIP_PLANE3
    off(0x3004, TRANSFORM),                                       // CLIP_PLANE4
    off(0x3005, TRANSFORM),                                       // CLIP_PLANE5
    off(0x3006, TRANSFORM),                                       // CLIP_PLANE6
    off(0x3007, TRANSFORM),                                       // CLIP_PLANE7
    off(0x4000, LIGHTING),                                        // LIGHT0
    off(0x4001, LIGHTING),                                        // LIGHT1
    off(0x4002, LIGHTING),                                        // LIGHT2
    off(0x4003, LIGHTING),                                        // LIGHT3
    off(0x4004, LIGHTING),                                        // LIGHT4
    off(0x4005, LIGHTING),                                        // LIGHT5
    off(0x4006, LIGHTING),                                        // LIGHT6
    off(0x4007, LIGHTING),                                        // LIGHT7
    row(0x8005, COLOR, Unit, 4, [0.0; 4]),                        // BLEND_COLOR
    one(0x8009, COLOR, Integer, 32774.0),                         // BLEND_EQUATION_RGB
    off(0x8037, POLYGON),                                         // POLYGON_OFFSET_FILL
    one(0x8038, POLYGON, Float, 0.0),                             // POLYGON_OFFSET_FACTOR
    off(0x803a, TRANSFORM),                                       // RESCALE_NORMAL
    one(0x809d, MULTISAMPLE | ENABLE, Boolean, 1.0),              // MULTISAMPLE
    off(0x809e, MULTISAMPLE),                                     // SAMPLE_ALPHA_TO_COVERAGE
    off(0x809f, MULTISAMPLE),                                     // SAMPLE_ALPHA_TO_ONE
    off(0x80a0, MULTISAMPLE),                                     // SAMPLE_COVERAGE
    one(0x80aa, MULTISAMPLE, Unit, 1.0),                          // SAMPLE_COVERAGE_VALUE
    one(0x80ab, MULTISAMPLE, Boolean, 0.0),                       // SAMPLE_COVERAGE_INVERT
    one(0x80c8, COLOR, Integer, 0.0),                             // BLEND_DST_RGB
    one(0x80c9, COLOR, Integer, 1.0),                             // BLEND_SRC_RGB
    one(0x80ca, COLOR, Integer, 0.0),                             // BLEND_DST_ALPHA
    one(0x80cb, COLOR, Integer, 1.0),                             // BLEND_SRC_ALPHA
    one(0x8126, POINT, Float, 0.0),                               // POINT_SIZE_MIN
    one(0x8128, POINT, Float, 1.0),                               // POINT_FADE_THRESHOLD_SIZE
    row(0x8129, POINT, Float, 3, [1.0, 0.0, 0.0, 0.0]),           // POINT_DISTANCE_ATTENUATION
    one(0x8192, HINT, Integer, 4352.0),                           // GENERATE_MIPMAP_HINT
    one(0x81f8, LIGHTING, Integer, 33273.0),                      // LIGHT_MODEL_COLOR_CONTROL
    one(0x8450, FOG, Integer, 33874.0),                           // FOG_COORD_SRC
    off(0x8458, LIGHTING),                                        // COLOR_SUM
    one(0x84ef, HINT, Integer, 4352.0),                           // TEXTURE_COMPRESSION_HINT
    off(0x8642, POINT),                                           // PROGRAM_POINT_SIZE
    off(0x8643, NONE),                                            // VERTEX_PROGRAM_TWO_SIDE
    off(0x864f, TRANSFORM),                                       // DEPTH_CLAMP
    one(0x8800, STENCIL, Integer, 519.0),                         // STENCIL_BACK_FUNC
    one(0x8801, STENCIL, Integer, 7680.0),                        // STENCIL_BACK_FAIL
    one(0x8802, STENCIL, Integer, 7680.0),                        // STENCIL_BACK_PASS_DEPTH_FAIL
    one(0x8803, STENCIL, Integer, 7680.0),                        // STENCIL_BACK_PASS_DEPTH_PASS
    one(0x883d, COLOR, Integer, 32774.0),                         // BLEND_EQUATION_ALPHA
    off(0x884f, TEXTURE),                                         // TEXTURE_CUBE_MAP_SEAMLESS
    off(0x8861, POINT),                                           // POINT_SPRITE
    one(0x8b8b, HINT, Integer, 4352.0),                           // FRAGMENT_SHADER_DERIVATIVE_HINT
    off(0x8c89, NONE),                                            // RASTERIZER_DISCARD
    one(0x8ca0, POINT, Integer, 36002.0),                         // POINT_SPRITE_COORD_ORIGIN
    one(0x8ca3, STENCIL, Integer, 0.0),                           // STENCIL_BACK_REF
    one(0x8ca4, STENCIL, Integer, 4_294_967_295.0),               // STENCIL_BACK_VALUE_MASK
    one(0x8ca5, STENCIL, Integer, 4_294_967_295.0),               // STENCIL_BACK_WRITEMASK
    off(0x8db9, COLOR),                                           // FRAMEBUFFER_SRGB
    one(0x8e4f, LIGHTING, Integer, 36430.0),                      // PROVOKING_VERTEX
    off(0x8e51, MULTISAMPLE),                                     // SAMPLE_MASK
    off(0x8f9d, NONE),                                            // PRIMITIVE_RESTART
    one(0x8f9e, NONE, Integer, 0.0),                              // PRIMITIVE_RESTART_INDEX
];

const COUNT: usize = ROWS.len();

/// Where a name is in the table: a name that is not there does not compile.
pub(crate) const fn slot(name: u32) -> usize {
    let mut index = 0;
    while ROWS[index].name != name {
        index += 1;
    }
    index
}

/// Where a name is in the table.
pub(crate) fn find(name: u32) -> Option<usize> {
    ROWS.iter().position(|row| row.name == name)
}

/// The values of a context.
#[derive(Debug, Clone)]
pub(crate) struct Values([[f64; 4]; COUNT]);

impl Default for Values {
    fn default() -> Self {
        let mut values = [[0.0; 4]; COUNT];
        for (value, row) in values.iter_mut().zip(ROWS) {
            *value = row.first;
        }
        Self(values)
    }
}

impl Values {
    /// The numbers at a place of the table.
    pub(crate) fn get(&self, slot: usize) -> [f64; 4] {
        self.0.get(slot).copied().unwrap_or_default()
    }

    /// Changes the first number.
    #[inline]
    pub(crate) fn set(&mut self, slot: usize, value: impl Into<f64>) {
        if let Some(values) = self.0.get_mut(slot) {
            values[0] = value.into();
        }
    }

    /// Changes some numbers.
    pub(crate) fn set_all<const N: usize>(&mut self, slot: usize, values: [f64; N]) {
        if let Some(place) = self.0.get_mut(slot) {
            place.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        }
    }

    /// A switch of that name.
    pub(crate) fn switch(&mut self, name: u32, on: bool) {
        if let Some(slot) = find(name).filter(|&slot| ROWS[slot].kind == Boolean) {
            self.set(slot, f64::from(u8::from(on)));
        }
    }

    /// Takes from others all that belongs to the groups.
    pub(crate) fn restore(&mut self, from: &Self, groups: u32) {
        for ((value, saved), row) in self.0.iter_mut().zip(&from.0).zip(ROWS) {
            if row.groups & groups != 0 {
                *value = *saved;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{ROWS, Values, find, group, slot};

    #[test]
    fn no_name_stands_twice_in_the_table() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn what_is_restored_is_what_belongs_to_the_groups() {
        const DEPTH_TEST: usize = slot(0x0b71);
        const DEPTH_FUNC: usize = slot(0x0b74);
        let saved = Values::default();
        let mut values = saved.clone();
        values.switch(0x0b71, true);
        values.set(DEPTH_FUNC, 515);
        values.restore(&saved, group::ENABLE);
        assert!(values.get(DEPTH_TEST)[0] == 0.0 && values.get(DEPTH_FUNC)[0] == 515.0);
        values.restore(&saved, group::DEPTH);
        assert!(values.get(DEPTH_FUNC)[0] == 513.0);
    }

    #[test]
    fn a_value_is_no_switch() {
        let mut values = Values::default();
        values.switch(0x0b74, true);
        assert!(values.get(find(0x0b74).unwrap())[0] == 513.0);
    }
}
