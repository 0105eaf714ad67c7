//! Where objects are bound: targets and their places.

/// Targets of textures, and the names under which their bindings are asked for.
pub(crate) const TARGETS: [(u32, u32); 10] = [
    (0x0de0, 0x8068), // TEXTURE_1D
    (0x0de1, 0x8069), // TEXTURE_2D
    (0x806f, 0x806a), // TEXTURE_3D
    (0x8513, 0x8514), // TEXTURE_CUBE_MAP
    (0x84f5, 0x84f6), // TEXTURE_RECTANGLE
    (0x8c18, 0x8c1c), // TEXTURE_1D_ARRAY
    (0x8c1a, 0x8c1d), // TEXTURE_2D_ARRAY
    (0x8c2a, 0x8c2c), // TEXTURE_BUFFER
    (0x9100, 0x9104), // TEXTURE_2D_MULTISAMPLE
    (0x9102, 0x9105), // TEXTURE_2D_MULTISAMPLE_ARRAY
];

/// Targets of buffers but that of indices, and the names under which their bindings are asked for.
pub(crate) const BUFFERS: [(u32, u32); 8] = [
    (0x8892, 0x8894), // ARRAY_BUFFER
    (0x88eb, 0x88ed), // PIXEL_PACK_BUFFER
    (0x88ec, 0x88ef), // PIXEL_UNPACK_BUFFER
    (0x8a11, 0x8a28), // UNIFORM_BUFFER
    (0x8c2a, 0x8c2a), // TEXTURE_BUFFER
    (0x8c8e, 0x8c8f), // TRANSFORM_FEEDBACK_BUFFER
    (0x8f36, 0x8f36), // COPY_READ_BUFFER
    (0x8f37, 0x8f37), // COPY_WRITE_BUFFER
];

pub(crate) const ARRAY: usize = 0;
pub(crate) const PACK: usize = 1;
pub(crate) const UNPACK: usize = 2;
pub(crate) const ELEMENT_ARRAY: u32 = 0x8893;
pub(crate) const READ_FRAMEBUFFER: u32 = 0x8ca8;
pub(crate) const DRAW_FRAMEBUFFER: u32 = 0x8ca9;

/// The place of a target of textures.
pub(crate) fn texture_place(target: u32) -> Option<usize> {
    TARGETS.iter().position(|(is, _)| *is == target)
}

/// The place of a target of buffers but that of indices.
pub(crate) fn buffer_place(target: u32) -> Option<usize> {
    BUFFERS.iter().position(|(is, _)| *is == target)
}
