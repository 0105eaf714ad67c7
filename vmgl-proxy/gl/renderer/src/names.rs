//! The names of objects: what the program calls them, and what they are called here.
//!
//! Programs allocate their own names, so that none has to wait for one. Each share group has a [`Names`], and each context one
//! for what is its own alone; two programs are two processes, so there is no name by which one could reach the other's
//! objects.
//!
//! Invariant: 0 is 0. A name that was never heard of is none of OpenGL's either, unless a bind may make it.
//! Invariant: at most [`MOST`] names are kept.

use std::collections::HashMap;

use crate::fault::Fault;
use crate::gl::Gl;

/// Most names of a share group.
pub(crate) const MOST: usize = 1 << 20;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "OpenGL's own words")]
pub(crate) enum Class {
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

impl Class {
    /// Whether contexts that share objects share those of this class.
    pub(crate) fn is_shared(self) -> bool {
        !matches!(self, Self::Framebuffer | Self::VertexArray | Self::Query | Self::TransformFeedback)
    }
}

/// The names of a share group.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The program's name to that of the implementation.
    known: HashMap<(Class, u64), u64>,
}

impl Names {
    /// What the program calls `name` is `real` here.
    pub(crate) fn set(&mut self, class: Class, name: u64, real: u64) -> Result<(), Fault> {
        if self.known.len() >= MOST && !self.known.contains_key(&(class, name)) {
            return Err(Fault::TooManyNames);
        }
        self.known.insert((class, name), real);
        Ok(())
    }

    /// What it is called here, if it was heard of.
    pub(crate) fn get(&self, class: Class, name: u64) -> Option<u64> {
        if name == 0 { Some(0) } else { self.known.get(&(class, name)).copied() }
    }

    /// Forgets it; what it was called here.
    pub(crate) fn forget(&mut self, class: Class, name: u64) -> Option<u64> {
        self.known.remove(&(class, name))
    }

    /// What it is called here; one that was never heard of is made where a bind may do that.
    pub(crate) fn find(&mut self, gl: &Gl, class: Class, name: u64) -> Result<u64, Fault> {
        if let Some(real) = self.get(class, name) {
            return Ok(real);
        }
        let real = make(gl, class)?;
        self.set(class, name, real)?;
        Ok(real)
    }
}

/// A new name of the implementation's.
pub(crate) fn make(gl: &Gl, class: Class) -> Result<u64, Fault> {
    let generate = match class {
        Class::Texture => gl.GenTextures,
        Class::Buffer => gl.GenBuffers,
        Class::Framebuffer => gl.GenFramebuffers,
        Class::Renderbuffer => gl.GenRenderbuffers,
        Class::VertexArray => gl.GenVertexArrays,
        Class::Query => gl.GenQueries,
        Class::Sampler => gl.GenSamplers,
        Class::TransformFeedback => gl.GenTransformFeedbacks,
        Class::List => {
            let generate = gl.GenLists.ok_or(Fault::Missing)?;
            // SAFETY: a call without pointers.
            return Ok(unsafe { generate(1) }.into());
        }
        Class::Program | Class::Shader | Class::Sync => return Err(Fault::NoSuchName),
    };
    let generate = generate.ok_or(Fault::Missing)?;
    let mut name = 0u32;
    // SAFETY: room for the one name that is asked for.
    unsafe { generate(1, &raw mut name) };
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_what_it_was_given_for_its_class_only() {
        let (mut names, gl) = (Names::default(), Gl::default());
        assert_eq!(names.set(Class::Program, 7, 70), Ok(()));
        assert_eq!(names.find(&gl, Class::Program, 7), Ok(70));
        assert_eq!(names.find(&gl, Class::Program, 0), Ok(0));
        assert_eq!(names.find(&gl, Class::Shader, 7), Err(Fault::NoSuchName));
        assert_eq!(names.forget(Class::Program, 7), Some(70));
        assert_eq!(names.find(&gl, Class::Program, 7), Err(Fault::NoSuchName));
    }

    #[test]
    fn there_is_an_end_to_names() {
        let mut names = Names::default();
        for name in 0..MOST as u64 {
            assert_eq!(names.set(Class::Texture, name, name), Ok(()));
        }
        assert_eq!(names.set(Class::Texture, MOST as u64, 1), Err(Fault::TooManyNames));
        assert_eq!(names.set(Class::Texture, 3, 1), Ok(()));
    }
}
