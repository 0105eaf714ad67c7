//! Current attributes: what a command sets, generated for its many forms.

use vmgl_gl_stream::Command;

/// A current attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Color,
    Secondary,
    Normal,
    Fog,
    Index,
    /// By the unit's enum.
    Texture(u32),
    /// By its index.
    Generic(u32),
}

/// What a generic attribute was given as: OpenGL does not make one of the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Numbers {
    #[default]
    Floats,
    Signed,
    Unsigned,
}

/// An integer to what it stands for: as OpenGL before 4.2 has it for attributes.
fn scalar(value: f64, letter: &str, normalized: bool) -> f64 {
    if !normalized {
        return value;
    }
    match letter {
        "ub" => value / 255.0,
        "us" => value / 65_535.0,
        "ui" => value / 4_294_967_295.0,
        "b" => (2.0 * value + 1.0) / 255.0,
        "s" => (2.0 * value + 1.0) / 65_535.0,
        "i" => (2.0 * value + 1.0) / 4_294_967_295.0,
        _ => value,
    }
}

/// An element of an array of the program's.
fn element(bytes: &[u8], index: usize, letter: &str, normalized: bool) -> f64 {
    fn at<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
        bytes.chunks_exact(N).nth(index).and_then(|chunk| chunk.first_chunk().copied()).unwrap_or([0; N])
    }
    let value = match letter {
        "b" => f64::from(i8::from_le_bytes(at(bytes, index))),
        "ub" => f64::from(u8::from_le_bytes(at(bytes, index))),
        "s" => f64::from(i16::from_le_bytes(at(bytes, index))),
        "us" => f64::from(u16::from_le_bytes(at(bytes, index))),
        "i" => f64::from(i32::from_le_bytes(at(bytes, index))),
        "ui" => f64::from(u32::from_le_bytes(at(bytes, index))),
        "f" => f64::from(f32::from_le_bytes(at(bytes, index))),
        _ => f64::from_le_bytes(at(bytes, index)),
    };
    scalar(value, letter, normalized)
}

include!(concat!(env!("OUT_DIR"), "/attributes.rs"));

#[cfg(test)]
mod tests {
    use vmgl_gl_stream::Command;

    use super::{Numbers, Slot, attribute, numbers};

    #[test]
    fn colours_of_any_type_are_numbers_from_zero_to_one() {
        let bytes = Command::Color3ub { red: 255, green: 0, blue: 51 };
        assert_eq!(attribute(&bytes), Some((Slot::Color, [1.0, 0.0, 0.2, 1.0])));
        let vector = [0.5_f32, 0.25, 1.0, 0.0].map(f32::to_le_bytes).concat();
        let floats = Command::Color4fv { v: &vector };
        assert_eq!(attribute(&floats), Some((Slot::Color, [0.5, 0.25, 1.0, 0.0])));
    }

    #[test]
    fn what_is_not_given_is_zero_and_the_last_is_one() {
        let texture = Command::MultiTexCoord2f { target: 0x84c3, s: 3.0, t: 4.0 };
        assert_eq!(attribute(&texture), Some((Slot::Texture(0x84c3), [3.0, 4.0, 0.0, 1.0])));
        let generic = Command::VertexAttrib1f { index: 5, x: 2.0 };
        assert_eq!(attribute(&generic), Some((Slot::Generic(5), [2.0, 0.0, 0.0, 1.0])));
        let signed = Command::VertexAttribI2i { index: 5, x: -2, y: i32::MAX };
        assert_eq!(attribute(&signed), Some((Slot::Generic(5), [-2.0, f64::from(i32::MAX), 0.0, 1.0])));
        let bytes = [1, 2, 3, 255];
        let unsigned = Command::VertexAttribI4ubv { index: 5, v: &bytes };
        assert_eq!(attribute(&unsigned), Some((Slot::Generic(5), [1.0, 2.0, 3.0, 255.0])));
        let all = [numbers(&generic), numbers(&signed), numbers(&unsigned)];
        assert_eq!(all, [Numbers::Floats, Numbers::Signed, Numbers::Unsigned]);
        assert_eq!(attribute(&Command::Vertex2i { x: 1, y: 2 }), None);
    }
}
