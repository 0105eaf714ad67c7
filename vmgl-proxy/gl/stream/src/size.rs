//! How many elements an array has by the enum beside it, and how many bytes a picture has whose rows follow one another
//! without padding. None where OpenGL would refuse the arguments.

fn positive(value: i32) -> Option<usize> {
    usize::try_from(value).ok()
}

/// A count times a constant.
pub fn times(count: impl TryInto<usize>, factor: usize) -> Option<usize> {
    count.try_into().ok()?.checked_mul(factor)
}

/// Elements to bytes.
pub fn bytes(elements: Option<usize>, each: usize) -> Option<usize> {
    elements?.checked_mul(each)
}

/// One number.
pub fn one(_pname: u32) -> Option<usize> {
    Some(1)
}

/// `glFog`.
pub fn fog(pname: u32) -> Option<usize> {
    match pname {
        0x0b66 => Some(4),
        0x0b61..=0x0b65 | 0x8450 | 0x855a => Some(1),
        _ => None,
    }
}

/// `glLight`.
pub fn light(pname: u32) -> Option<usize> {
    match pname {
        0x1200..=0x1203 => Some(4),
        0x1204 => Some(3),
        0x1205..=0x1209 => Some(1),
        _ => None,
    }
}

/// `glLightModel`.
pub fn light_model(pname: u32) -> Option<usize> {
    match pname {
        0x0b53 => Some(4),
        0x0b51 | 0x0b52 | 0x81f8 => Some(1),
        _ => None,
    }
}

/// `glMaterial`.
pub fn material(pname: u32) -> Option<usize> {
    match pname {
        0x1200..=0x1202 | 0x1600 | 0x1602 => Some(4),
        0x1603 => Some(3),
        0x1601 => Some(1),
        _ => None,
    }
}

/// `glTexEnv`.
pub fn tex_env(pname: u32) -> Option<usize> {
    Some(if pname == 0x2201 { 4 } else { 1 })
}

/// `glTexGen`.
pub fn tex_gen(pname: u32) -> Option<usize> {
    match pname {
        0x2501 | 0x2502 => Some(4),
        0x2500 => Some(1),
        _ => None,
    }
}

/// `glTexParameter` and `glSamplerParameter`.
pub fn tex_parameter(pname: u32) -> Option<usize> {
    Some(if matches!(pname, 0x1004 | 0x8e46) { 4 } else { 1 })
}

/// `glPointParameter`.
pub fn point_parameter(pname: u32) -> Option<usize> {
    match pname {
        0x8129 => Some(3),
        0x8126..=0x8128 | 0x8ca0 => Some(1),
        _ => None,
    }
}

/// `glGetMultisample`.
pub fn multisample(pname: u32) -> Option<usize> {
    (pname == 0x8e50).then_some(2)
}

/// `glClearBuffer`.
pub fn clear_buffer(buffer: u32) -> Option<usize> {
    match buffer {
        0x1800 => Some(4),
        0x1801 | 0x1802 => Some(1),
        _ => None,
    }
}

/// Numbers of a point of an evaluator.
pub fn map_components(target: u32) -> Option<usize> {
    // Colour, index, normal, texture coordinates of one to four, vertices of three and four.
    const COMPONENTS: [usize; 9] = [4, 1, 3, 1, 2, 3, 4, 3, 4];
    let first = if target < 0x0db0 { 0x0d90 } else { 0x0db0 };
    let index = usize::try_from(target.checked_sub(first)?).ok()?;
    COMPONENTS.get(index).copied()
}

/// Bytes of indices.
pub fn index_bytes(kind: u32) -> Option<usize> {
    match kind {
        0x1401 => Some(1),
        0x1403 => Some(2),
        0x1405 => Some(4),
        _ => None,
    }
}

/// `glDrawElements`, in bytes.
pub fn indices(count: i32, kind: u32) -> Option<usize> {
    positive(count)?.checked_mul(index_bytes(kind)?)
}

/// `glBitmap`, in bytes.
pub fn bitmap(width: i32, height: i32) -> Option<usize> {
    positive(width)?.div_ceil(8).checked_mul(positive(height)?)
}

/// Bytes of a number of that type: of vertices, or of a pixel's component.
pub fn type_bytes(kind: u32) -> Option<usize> {
    match kind {
        0x1400 | 0x1401 => Some(1),
        0x1402 | 0x1403 | 0x140b => Some(2),
        0x1404..=0x1406 | 0x140c => Some(4),
        0x140a => Some(8),
        _ => None,
    }
}

/// Components of a pixel of that format.
pub fn components(format: u32) -> Option<usize> {
    match format {
        // Colour and stencil index, depth, red, green, blue, alpha, luminance, intensity and those of integers.
        0x1900..=0x1906 | 0x1909 | 0x8049 | 0x8d94..=0x8d97 => Some(1),
        // Luminance with alpha, red with green, depth with stencil.
        0x190a | 0x8227 | 0x8228 | 0x84f9 => Some(2),
        0x1907 | 0x80e0 | 0x8d98 | 0x8d9a => Some(3),
        0x1908 | 0x8000 | 0x80e1 | 0x8d99 | 0x8d9b => Some(4),
        _ => None,
    }
}

/// Bytes of a pixel; none for bitmaps.
pub fn pixel_bytes(format: u32, kind: u32) -> Option<usize> {
    match kind {
        0x8032 | 0x8362 => Some(1),
        0x8033 | 0x8034 | 0x8363..=0x8366 => Some(2),
        0x8035 | 0x8036 | 0x8367 | 0x8368 | 0x84fa | 0x8c3b | 0x8c3e => Some(4),
        0x8dad => Some(8),
        _ => components(format)?.checked_mul(type_bytes(kind)?),
    }
}

/// Bytes of a row of pixels without padding.
pub fn row_bytes(format: u32, kind: u32, width: usize) -> Option<usize> {
    if kind == 0x1a00 {
        return Some(width.div_ceil(8));
    }
    pixel_bytes(format, kind)?.checked_mul(width)
}

/// Bytes of pixels.
pub fn image_3d(format: u32, kind: u32, width: i32, height: i32, depth: i32) -> Option<usize> {
    let row = row_bytes(format, kind, positive(width)?)?;
    row.checked_mul(positive(height)?)?.checked_mul(positive(depth)?)
}

/// Bytes of pixels.
pub fn image_2d(format: u32, kind: u32, width: i32, height: i32) -> Option<usize> {
    image_3d(format, kind, width, height, 1)
}

/// Bytes of pixels.
pub fn image_1d(format: u32, kind: u32, width: i32) -> Option<usize> {
    image_3d(format, kind, width, 1, 1)
}

/// `glMap1` with a stride as small as can be: numbers of all points.
pub fn map_1(target: u32, stride: i32, order: i32) -> Option<usize> {
    let components = map_components(target)?;
    (positive(stride)? == components).then_some(())?;
    positive(order)?.checked_mul(components)
}

/// `glMap2` with strides as small as can be, the first direction outermost: numbers of all points.
pub fn map_2(target: u32, ustride: i32, uorder: i32, vstride: i32, vorder: i32) -> Option<usize> {
    let components = map_components(target)?;
    let row = positive(vorder)?.checked_mul(components)?;
    (positive(vstride)? == components && positive(ustride)? == row).then_some(())?;
    positive(uorder)?.checked_mul(row)
}

#[cfg(test)]
mod tests {
    use super::{bitmap, image_2d, image_3d, indices, map_1, map_2, pixel_bytes, times};

    const RGB: u32 = 0x1907;
    const RGBA: u32 = 0x1908;
    const BYTE: u32 = 0x1401;
    const FLOAT: u32 = 0x1406;

    #[test]
    fn pictures_have_the_bytes_of_their_pixels() {
        assert_eq!(image_2d(RGB, BYTE, 5, 3), Some(45));
        assert_eq!(image_2d(RGBA, FLOAT, 2, 2), Some(64));
        assert_eq!(image_3d(RGBA, 0x8367, 2, 2, 2), Some(32));
        assert_eq!(pixel_bytes(RGB, 0x8363), Some(2));
        assert_eq!(image_2d(0x84f9, 0x84fa, 3, 1), Some(12));
        assert_eq!(bitmap(9, 2), Some(4));
        assert_eq!(image_2d(0x1900, 0x1a00, 9, 2), Some(4));
    }

    #[test]
    fn numbers_that_make_no_sense_have_no_size() {
        assert_eq!(image_2d(RGB, BYTE, -1, 3), None);
        assert_eq!(image_2d(0, BYTE, 1, 1), None);
        assert_eq!(image_3d(RGBA, FLOAT, i32::MAX, i32::MAX, i32::MAX), None);
        assert_eq!(times(-1_i32, 4), None);
        assert_eq!(indices(3, FLOAT), None);
    }

    #[test]
    fn points_of_evaluators_are_counted_in_numbers() {
        // MAP1_VERTEX_3 and MAP2_TEXTURE_COORD_2.
        assert_eq!(map_1(0x0d97, 3, 4), Some(12));
        assert_eq!(map_2(0x0db4, 8, 2, 2, 4), Some(16));
        assert_eq!(map_1(0x0d97, 4, 4), None);
    }
}
