//! What a linked program is: all that a program may ask of it, in one answer.

use crate::wire::{put_array, put_i32, put_u32};
use crate::{DecodeError, Reader};

/// An attribute, or a varying of transform feedback.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// As OpenGL names it.
    pub name: String,
    /// OpenGL's number of its type.
    pub kind: u32,
    /// Elements of an array.
    pub size: i32,
    /// Where it is, -1 for none.
    pub location: i32,
}

/// A uniform, or an array of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uniform {
    /// As OpenGL names it, `[0]` and all.
    pub name: String,
    /// OpenGL's number of its type.
    pub kind: u32,
    /// The location of each element; empty within a block.
    pub locations: Vec<i32>,
    /// Elements of an array.
    pub size: i32,
    /// The block it is in, -1 for none.
    pub block: i32,
    /// Its place within the block.
    pub offset: i32,
    /// From one element to the next within a block.
    pub array_stride: i32,
    /// From one column or row to the next within a block.
    pub matrix_stride: i32,
    /// Rows follow one another rather than columns: 1.
    pub row_major: i32,
}

/// A block of uniforms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: i32,
    /// Its binding when the program was linked.
    pub binding: i32,
    /// The indices of its uniforms.
    pub uniforms: Vec<i32>,
    /// Bits: 0 the vertex shader refers to it, 1 the fragment shader, 2 the geometry shader.
    pub stages: u32,
}

/// What a linked program is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reflection {
    /// Whether it was linked.
    pub linked: bool,
    /// The linker's words.
    pub log: String,
    /// In the order of their indices.
    pub attributes: Vec<Variable>,
    /// In the order of their indices.
    pub uniforms: Vec<Uniform>,
    /// In the order of their indices.
    pub blocks: Vec<Block>,
    /// Of transform feedback, in the order of their indices.
    pub varyings: Vec<Variable>,
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn put_variables(out: &mut Vec<u8>, variables: &[Variable]) {
    put_u32(out, count(variables.len()));
    for variable in variables {
        put_array(out, variable.name.as_bytes());
        put_u32(out, variable.kind);
        put_i32(out, variable.size);
        put_i32(out, variable.location);
    }
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[i32]) {
    put_u32(out, count(numbers.len()));
    numbers.iter().for_each(|&number| put_i32(out, number));
}

fn variables(r: &mut Reader<'_>) -> Result<Vec<Variable>, DecodeError> {
    let one = |r: &mut Reader<'_>| {
        Ok(Variable { name: r.text()?.to_owned(), kind: r.u32()?, size: r.i32()?, location: r.i32()? })
    };
    (0..r.count(16)?).map(|_| one(r)).collect()
}

fn numbers(r: &mut Reader<'_>) -> Result<Vec<i32>, DecodeError> {
    (0..r.count(4)?).map(|_| r.i32()).collect()
}

impl Reflection {
    /// Puts it, as the data of an answer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, u32::from(self.linked));
        put_array(out, self.log.as_bytes());
        put_variables(out, &self.attributes);
        put_u32(out, count(self.uniforms.len()));
        for uniform in &self.uniforms {
            put_array(out, uniform.name.as_bytes());
            put_u32(out, uniform.kind);
            put_numbers(out, &uniform.locations);
            let &Uniform { size, block, offset, array_stride, matrix_stride, row_major, .. } = uniform;
            for field in [size, block, offset, array_stride, matrix_stride, row_major] {
                put_i32(out, field);
            }
        }
        put_u32(out, count(self.blocks.len()));
        for block in &self.blocks {
            put_array(out, block.name.as_bytes());
            put_i32(out, block.size);
            put_i32(out, block.binding);
            put_numbers(out, &block.uniforms);
            put_u32(out, block.stages);
        }
        put_variables(out, &self.varyings);
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let r = &mut Reader::new(bytes);
        let linked = r.u32()? != 0;
        let log = r.text()?.to_owned();
        let attributes = variables(r)?;
        let uniform = |r: &mut Reader<'_>| {
            Ok(Uniform {
                name: r.text()?.to_owned(),
                kind: r.u32()?,
                locations: numbers(r)?,
                size: r.i32()?,
                block: r.i32()?,
                offset: r.i32()?,
                array_stride: r.i32()?,
                matrix_stride: r.i32()?,
                row_major: r.i32()?,
            })
        };
        let uniforms: Result<_, DecodeError> = (0..r.count(36)?).map(|_| uniform(r)).collect();
        let uniforms = uniforms?;
        let block = |r: &mut Reader<'_>| {
            Ok(Block {
                name: r.text()?.to_owned(),
                size: r.i32()?,
                binding: r.i32()?,
                uniforms: numbers(r)?,
                stages: r.u32()?,
            })
        };
        let blocks: Result<_, DecodeError> = (0..r.count(20)?).map(|_| block(r)).collect();
        let blocks = blocks?;
        let varyings = variables(r)?;
        r.end()?;
        Ok(Self { linked, log, attributes, uniforms, blocks, varyings })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{Block, Reflection, Uniform, Variable};

    #[test]
    fn a_programs_description_comes_back_as_it_was() {
        let position = Variable { name: "position".to_owned(), kind: 0x8b52, size: 1, location: 0 };
        let lights = Uniform {
            name: "lights[0]".to_owned(),
            kind: 0x8b52,
            locations: vec![4, 5, 6],
            size: 3,
            block: -1,
            ..Uniform::default()
        };
        let block =
            Block { name: "Matrices".to_owned(), uniforms: vec![1, 2], stages: 3, ..Block::default() };
        let whole = Reflection {
            linked: true,
            log: "warning".to_owned(),
            attributes: vec![position.clone()],
            uniforms: vec![lights],
            blocks: vec![block],
            varyings: vec![position],
        };
        let mut bytes = Vec::new();
        whole.encode(&mut bytes);
        assert_eq!(Reflection::decode(&bytes).unwrap(), whole);
        for cut in (0..bytes.len()).step_by(4) {
            assert!(Reflection::decode(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
