//! What the program asks of the state, answered from the shadow.

use vmgl_gl_stream::Caps;

use super::arrays::{Array, Fixed};
use super::bindings::{BUFFERS, TARGETS};
use super::matrix::{Matrix, transpose};
use super::values::{self, Kind, ROWS, slot};
use super::{PixelStore, State};

/// An answer: how it converts, and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Got {
    pub(crate) kind: Kind,
    pub(crate) values: Vec<f64>,
}

impl Got {
    fn new(kind: Kind, values: &[f64]) -> Self {
        Self { kind, values: values.to_vec() }
    }

    fn integer(value: impl Into<f64>) -> Self {
        Self::new(Kind::Integer, &[value.into()])
    }

    fn boolean(value: bool) -> Self {
        Self::new(Kind::Boolean, &[f64::from(u8::from(value))])
    }

    fn count(value: usize) -> Self {
        Self::integer(u32::try_from(value).unwrap_or(u32::MAX))
    }

    fn matrix(matrix: &Matrix) -> Self {
        Self::new(Kind::Float, matrix)
    }

    /// As integers.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, as OpenGL's conversion does")]
    pub(crate) fn integers(&self) -> impl Iterator<Item = i64> + '_ {
        let convert = |value: &f64| match self.kind {
            // The largest integer is 1.0, the smallest -1.0.
            Kind::Unit => (value * 2_147_483_647.5).floor() as i64,
            Kind::Integer | Kind::Float | Kind::Boolean => value.round() as i64,
        };
        self.values.iter().map(convert)
    }
}

/// An integer of 64 bits to the 32 that `glGetIntegerv` gives: masks keep their bits.
#[expect(clippy::cast_possible_truncation, reason = "the value is in range")]
pub(crate) fn narrow(value: i64) -> i32 {
    match u32::try_from(value) {
        Ok(bits) => bits.cast_signed(),
        Err(_) => value.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
    }
}

/// A name or a number of OpenGL's that was kept as a value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was put there as a u32 or i32"
)]
pub(crate) fn whole(value: f64) -> u32 {
    if value < 0.0 { (value as i32).cast_unsigned() } else { value as u32 }
}

/// How many values a name has that only the renderer knows.
pub(crate) fn count(name: u32) -> usize {
    match name {
        // Matrices.
        0x0ba6..=0x0ba8 | 0x84e3..=0x84e6 | 0x80b1 => 16,
        // Current raster position, colour, texture coordinates; grids of evaluators in two directions.
        0x0b04 | 0x0b06 | 0x0b07 | 0x0dd2 | 0x845f => 4,
        0x0dd0 | 0x0dd3 => 2,
        _ => 1,
    }
}

impl State {
    /// The answer, if it is known here.
    pub(crate) fn get(&mut self, caps: &Caps, name: u32) -> Option<Got> {
        if let Some(got) = self.get_special(name) {
            return Some(got);
        }
        if let Some(place) = values::find(name) {
            let row = &ROWS[place];
            return Some(Got::new(row.kind, &self.values.get(place)[..row.count]));
        }
        if let Some(on) = self.is_on(name) {
            return Some(Got::boolean(on));
        }
        if let Some(got) = self.get_bindings(name).or_else(|| self.get_arrays(name)) {
            return Some(got);
        }
        if let Some(values) = caps.integers.get(&name) {
            #[expect(clippy::cast_precision_loss, reason = "limits are small numbers")]
            let values: Vec<_> = values.iter().map(|&value| value as f64).collect();
            return Some(Got::new(Kind::Integer, &values));
        }
        caps.floats.get(&name).map(|values| Got::new(Kind::Float, values))
    }

    /// Whether something is enabled; none if it is no such thing, or not kept here.
    pub(crate) fn is_on(&mut self, cap: u32) -> Option<bool> {
        if let Some(place) = super::texture_place(cap) {
            return Some(self.unit().enabled & 1 << place != 0);
        }
        if (0x0c60..=0x0c63).contains(&cap) {
            return Some(self.unit().generated & 1 << (cap - 0x0c60) != 0);
        }
        if let Some(place) = values::find(cap).filter(|&place| ROWS[place].kind == Kind::Boolean) {
            return Some(self.values.get(place)[0] != 0.0);
        }
        let which = match cap {
            0x8074 => Fixed::Vertex,
            0x8075 => Fixed::Normal,
            0x8076 => Fixed::Color,
            0x8077 => Fixed::Index,
            0x8078 => {
                let unit = self.client_active;
                return self.arrays().textures.get(unit).map(|array| array.enabled);
            }
            0x8079 => Fixed::EdgeFlag,
            0x8457 => Fixed::FogCoord,
            0x845e => Fixed::SecondaryColor,
            _ => return None,
        };
        Some(self.arrays().fixed(which).enabled)
    }

    fn get_special(&mut self, name: u32) -> Option<Got> {
        let (major, minor) = self.strings.version;
        Some(match name {
            0x0b00 => Got::new(Kind::Unit, &self.attributes.color),
            0x0b01 => Got::new(Kind::Float, &[self.attributes.index]),
            0x0b02 => Got::new(Kind::Unit, &self.attributes.normal[..3]),
            0x0b03 => Got::new(Kind::Float, &self.unit().coordinate),
            0x8453 => Got::new(Kind::Float, &[self.attributes.fog]),
            0x8459 => Got::new(Kind::Unit, &self.attributes.secondary),
            0x0ba6 => Got::matrix(&self.modelview.top()),
            0x0ba7 => Got::matrix(&self.projection.top()),
            0x0ba8 => Got::matrix(&self.unit().matrix.top()),
            0x84e3 => Got::matrix(&transpose(&self.modelview.top())),
            0x84e4 => Got::matrix(&transpose(&self.projection.top())),
            0x84e5 => Got::matrix(&transpose(&self.unit().matrix.top())),
            0x0ba3 => Got::count(self.modelview.depth()),
            0x0ba4 => Got::count(self.projection.depth()),
            0x0ba5 => Got::count(self.unit().matrix.depth()),
            0x0bb0 => Got::count(self.depths().0),
            0x0bb1 => Got::count(self.depths().1),
            0x0b30 => Got::integer(self.recording().map_or(0, |(_, executes)| 0x1300 + u32::from(executes))),
            0x0b33 => Got::integer(self.recording().map_or(0, |(list, _)| list)),
            // The source and target of blending, and the equation, by their older names.
            0x0be0 => Got::integer(self.values.get(const { slot(0x80c8) })[0]),
            0x0be1 => Got::integer(self.values.get(const { slot(0x80c9) })[0]),
            0x84e0 => Got::count(0x84c0 + self.active),
            0x84e1 => Got::count(0x84c0 + self.client_active),
            0x0c31 | 0x0c32 => Got::boolean(true),
            0x0c30 | 0x0c33 => Got::boolean(false),
            0x0c00 => Got::integer(0),
            // Binary formats of programs and shaders: none.
            0x87fe | 0x8df9 => Got::integer(0),
            0x821b => Got::integer(major),
            0x821c => Got::integer(minor),
            0x821d => Got::count(self.strings.extensions.len()),
            0x821e => Got::integer(self.flags),
            0x9126 => Got::integer(if self.api == 1 { 1 } else { 2 }),
            0x0d52..=0x0d55 if self.draw_framebuffer == 0 => Got::integer(8),
            0x0d56 if self.draw_framebuffer == 0 => Got::integer(24),
            0x0d57 if self.draw_framebuffer == 0 => Got::integer(8),
            0x80a8 if self.draw_framebuffer == 0 => Got::integer(u8::from(self.samples > 0)),
            0x80a9 if self.draw_framebuffer == 0 => Got::integer(self.samples),
            0x0c01 | 0x8825 => Got::integer(self.draw_buffer(0)),
            0x8826..=0x882c => Got::integer(self.draw_buffer(usize::try_from(name - 0x8825).unwrap_or(0))),
            0x0c02 => {
                let (name, framebuffer) = self.framebuffer(super::bindings::READ_FRAMEBUFFER);
                let first = if name == 0 { 0x0405 } else { 0x8ce0 };
                Got::integer(framebuffer.read_buffer.unwrap_or(first))
            }
            _ => return Self::get_pixels(&self.unpack, &self.pack, name),
        })
    }

    fn draw_buffer(&mut self, index: usize) -> u32 {
        let (name, framebuffer) = self.framebuffer(super::bindings::DRAW_FRAMEBUFFER);
        let first = if name == 0 { 0x0405 } else { 0x8ce0 };
        match &framebuffer.draw_buffers {
            Some(buffers) => buffers.get(index).copied().unwrap_or(0),
            None if index == 0 => first,
            None => 0,
        }
    }

    fn get_pixels(unpack: &PixelStore, pack: &PixelStore, name: u32) -> Option<Got> {
        Some(match name {
            0x0cf0 => Got::boolean(unpack.swap_bytes != 0),
            0x0cf1 => Got::boolean(unpack.lsb_first != 0),
            0x0cf2 => Got::integer(unpack.row_length),
            0x0cf3 => Got::integer(unpack.skip_rows),
            0x0cf4 => Got::integer(unpack.skip_pixels),
            0x0cf5 => Got::integer(unpack.alignment),
            0x806d => Got::integer(unpack.skip_images),
            0x806e => Got::integer(unpack.image_height),
            0x0d00 => Got::boolean(pack.swap_bytes != 0),
            0x0d01 => Got::boolean(pack.lsb_first != 0),
            0x0d02 => Got::integer(pack.row_length),
            0x0d03 => Got::integer(pack.skip_rows),
            0x0d04 => Got::integer(pack.skip_pixels),
            0x0d05 => Got::integer(pack.alignment),
            0x806b => Got::integer(pack.skip_images),
            0x806c => Got::integer(pack.image_height),
            _ => return None,
        })
    }

    fn get_bindings(&mut self, name: u32) -> Option<Got> {
        if let Some(place) = TARGETS.iter().position(|(_, binding)| *binding == name) {
            return Some(Got::integer(self.unit().bound[place]));
        }
        if let Some(place) = BUFFERS.iter().position(|(_, binding)| *binding == name) {
            return Some(Got::integer(self.buffers[place]));
        }
        let bound = match name {
            0x8895 => self.arrays().elements,
            0x8b8d => self.program,
            0x8ca6 => self.draw_framebuffer,
            0x8caa => self.read_framebuffer,
            0x8ca7 => self.renderbuffer,
            0x85b5 => self.array_object,
            0x8919 => self.unit().sampler,
            0x8e25 => self.feedback,
            _ => return None,
        };
        Some(Got::integer(bound))
    }

    fn get_arrays(&mut self, name: u32) -> Option<Got> {
        let unit = self.client_active;
        let arrays = self.arrays();
        let mut fixed = |which| *arrays.fixed(which);
        let (array, part): (Array, fn(&Array) -> f64) = match name {
            0x807a => (fixed(Fixed::Vertex), size),
            0x807b => (fixed(Fixed::Vertex), kind),
            0x807c => (fixed(Fixed::Vertex), stride),
            0x807e => (fixed(Fixed::Normal), kind),
            0x807f => (fixed(Fixed::Normal), stride),
            0x8081 => (fixed(Fixed::Color), size),
            0x8082 => (fixed(Fixed::Color), kind),
            0x8083 => (fixed(Fixed::Color), stride),
            0x8085 => (fixed(Fixed::Index), kind),
            0x8086 => (fixed(Fixed::Index), stride),
            0x8088 => (*arrays.textures.get(unit)?, size),
            0x8089 => (*arrays.textures.get(unit)?, kind),
            0x808a => (*arrays.textures.get(unit)?, stride),
            0x808c => (fixed(Fixed::EdgeFlag), stride),
            0x8454 => (fixed(Fixed::FogCoord), kind),
            0x8455 => (fixed(Fixed::FogCoord), stride),
            0x845a => (fixed(Fixed::SecondaryColor), size),
            0x845b => (fixed(Fixed::SecondaryColor), kind),
            0x845c => (fixed(Fixed::SecondaryColor), stride),
            0x8896 => (fixed(Fixed::Vertex), buffer),
            0x8897 => (fixed(Fixed::Normal), buffer),
            0x8898 => (fixed(Fixed::Color), buffer),
            0x8899 => (fixed(Fixed::Index), buffer),
            0x889a => (*arrays.textures.get(unit)?, buffer),
            0x889b => (fixed(Fixed::EdgeFlag), buffer),
            0x889c => (fixed(Fixed::SecondaryColor), buffer),
            0x889d => (fixed(Fixed::FogCoord), buffer),
            _ => return None,
        };
        Some(Got::integer(part(&array)))
    }
}

fn size(array: &Array) -> f64 {
    array.size.into()
}

fn kind(array: &Array) -> f64 {
    array.kind.into()
}

fn stride(array: &Array) -> f64 {
    array.stride.into()
}

fn buffer(array: &Array) -> f64 {
    array.buffer.into()
}

#[cfg(test)]
#[path = "get_tests.rs"]
mod tests;
